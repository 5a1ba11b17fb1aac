"""Kind 9: what a hanging Redis or a broken connection leaves behind, and odd job ids.

    python -m benchmarks.attacks.leftovers [--calls 300] [--kills 40] [--ids 500]

- Calls that Redis is too slow for must give their slots back when it answers again.
- Admissions whose answers are lost on the way must count once.
- Whoever follows a stream must get each event once, however often connections are cut.
- Unknown job ids must be 404, whatever their form.
"""

import asyncio
import random
import signal
import string
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

from redis.asyncio import Redis
from redis.exceptions import RedisError

from benchmarks.attacks.run import Figures, run, what_went_wrong
from benchmarks.attacks.service import running
from examples.full_app.events.follower import EventWatch, open_watch
from examples.full_app.limits.rates import Limiter, RateLimit
from examples.full_app.limits.slots import NoSlotError, Slots
from tests.conftest import running_redis
from tests.full_app.limits.test_ledger import over_a_wire

MANY = 100_000
A_YEAR = 365 * 24 * 3600
FOLLOWERS = 20
EVENTS_PER_KILL = 5
ODD = (*string.printable, "\x7f", "é", "日", "%00", "%2e", "{*}", "job_")


def limiter(redis: Redis, timeout: float | None = None, each: int = MANY) -> Limiter:
    """The limiter of a process that may hold so many slots."""
    slots = Slots(redis, each=each, overall=MANY, lease_seconds=600)
    requests = RateLimit("requests", MANY, A_YEAR)  # so that none comes back meanwhile
    return Limiter(redis, requests, RateLimit("tokens", MANY), timeout, slots)


async def slots_left(
    url: str, server: "subprocess.Popen[bytes]", calls: int
) -> tuple[int, int]:
    """Slots that are held after calls met a Redis that hangs, and how many failed."""
    async with Redis.from_url(url, decode_responses=True) as redis:
        slow = limiter(redis, timeout=0.1)
        await slow.settle(await slow.reserve("ada", 0), 0)
        server.send_signal(signal.SIGSTOP)
        begun = [slow.reserve("ada", 5) for _ in range(calls)]
        answers = await asyncio.gather(*begun, return_exceptions=True)
        server.send_signal(signal.SIGCONT)
        slow.scripts.timeout = 60
        await slow.scripts.idle()
        await slow.undo_unheard()
        failed = [one for one in answers if isinstance(one, BaseException)]
        held = await redis.zcard("slots:overall")
        return held, len([one for one in failed if not isinstance(one, NoSlotError)])


async def counted(url: str, calls: int) -> int:
    """How many requests are counted for `calls` admissions with lost answers."""
    async with (
        Redis.from_url(url, decode_responses=True) as redis,
        over_a_wire(redis) as (client, wire),
    ):
        lossy = limiter(client)
        await lossy.settle(await lossy.reserve("bob", 0), 0)
        for _ in range(calls):
            wire.lose = 1
            lease = await lossy.reserve("bob", 0)
            await lossy.settle(lease, 0)
        lease = await lossy.reserve("bob", 0)
        left = int(lease.headers["x-ratelimit-remaining-requests"])
        return MANY - left - 2  # the first and the last were not lossy


async def follow(watch: EventWatch, events: int) -> list[int]:
    """The events of a stream in order; after an error it is read on from the last."""
    found: list[int] = []
    after = "0-0"
    while len(found) < events:
        try:
            async for batch in watch.follow("stream", after, 1.0):
                found += [int(event.data) for event in batch]
                after = batch[-1].id if batch else after
                if len(found) >= events:
                    break
        except RedisError:
            await asyncio.sleep(0.01)
    return found


async def write(redis: Redis, kills: int) -> None:
    """Write the events; between some of them all other connections are cut."""
    for kill in range(kills):
        for number in range(EVENTS_PER_KILL):
            data = str(kill * EVENTS_PER_KILL + number)
            await redis.xadd("stream", {"event": "e", "data": data})
            await asyncio.sleep(0.01)
        await redis.client_kill_filter(_type="normal", skipme=True)
        await asyncio.sleep(0.02)


async def lost_events(url: str, kills: int) -> int:
    """How many followers did not get every event once."""
    events = kills * EVENTS_PER_KILL
    async with (
        Redis.from_url(url, decode_responses=True) as writer,
        Redis.from_url(url, decode_responses=True) as redis,
        open_watch(redis, url) as watch,
    ):
        readers = [asyncio.create_task(follow(watch, events)) for _ in range(FOLLOWERS)]
        await write(writer, kills)
        await asyncio.wait(readers, timeout=30)
        found = [reader.result() if reader.done() else [] for reader in readers]
        for reader in readers:
            reader.cancel()
    return sum(one != list(range(events)) for one in found)


def odd_ids(ids: int) -> dict[str, int]:
    """How often each status came for job ids that are none."""
    chance = random.Random(0)  # noqa: S311 - to be repeated
    statuses: dict[str, int] = {}
    with running() as service, service.client() as http:
        for _ in range(ids):
            odd = "".join(chance.choices(ODD, k=chance.randint(1, 60)))
            place = quote(odd, safe="%{*}'")
            for method, end in (("GET", ""), ("GET", "/events"), ("DELETE", "")):
                answer = http.request(method, f"/v1/jobs/{place}{end}")
                status = str(answer.status_code)
                statuses[status] = statuses.get(status, 0) + 1
    return statuses


async def on_redis(
    url: str, server: "subprocess.Popen[bytes]", calls: int, kills: int
) -> tuple[int, int, int, int]:
    """The figures that need a Redis: each in a database of its own."""
    held, failed = await slots_left(f"{url}/0", server, calls)
    return (
        held,
        failed,
        await counted(f"{url}/1", calls),
        await lost_events(f"{url}/2", kills),
    )


def measure(calls: int, kills: int, ids: int) -> Figures:
    """All four."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_redis(Path(folder)) as (url, server),
    ):
        held, failed, requests, lost = asyncio.run(on_redis(url, server, calls, kills))
    statuses = odd_ids(ids)
    return {
        "calls_on_a_hanging_redis": calls,
        "failed": failed,
        "slots_held_afterwards": held,
        "admissions_with_lost_answers": calls,
        "counted": requests,
        "followers": FOLLOWERS,
        "connections_cut": kills,
        "followers_that_lost_events": lost,
        "odd_job_ids": ids,
        "statuses": statuses,
        "wrong": what_went_wrong(
            {
                "a call failed": failed > 0,
                "a slot was not given back": held > 0,
                "an admission did not count once": requests != calls,
                "a follower lost or repeated an event": lost > 0,
                "an odd job id was not a 404": {*statuses} != {"404"},
            }
        ),
    }


if __name__ == "__main__":
    run(__doc__, measure, calls=300, kills=40, ids=500)
