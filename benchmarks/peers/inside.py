"""What no peer has: jobs, streams that can be resumed, the limiter. full_app alone.

CPU is that of full_app and of Redis together. Rows of numbers, one run, no rounds: they
say what a part costs, not who is faster.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx2
from pydantic import BaseModel
from redis import Redis

from benchmarks.frameworks import Told
from benchmarks.load import Target, Tool, tool
from benchmarks.peers import workers
from benchmarks.peers.bodies import CHAT, OFFLINE_MODEL, WORDS, chat
from benchmarks.peers.contestants import KEYS, full_app
from benchmarks.peers.processes import Tree
from benchmarks.peers.results import Figure
from examples.full_app.limits.rates import Limiter, RateLimit
from examples.full_app.settings import Settings
from examples.s4_dependency_injection import open_redis

MANY = 10**9
AT_ONCE = (1, 32)
CONNECTIONS = 8
BEARER = {"Authorization": f"Bearer {KEYS[0]}"}
WORKERS = (1, 2, 4)
LONGER = (1, 4, 16)  # a busy machine may end no stream in the planned time


class Plan(BaseModel):
    """How much: seconds of a load, jobs that are timed singly, and in a lot."""

    seconds: float
    single: int
    lot: int
    workers: tuple[int, ...]


QUICK = Plan(seconds=1, single=5, lot=40, workers=(1,))
WHOLE = Plan(seconds=4, single=30, lot=300, workers=WORKERS)


def measure(
    quick: bool, redis_url: str | None, skipped: dict[str, str], told: Told
) -> list[Figure]:
    """All figures; what cannot be measured goes into `skipped`, with the reason."""
    plan = QUICK if quick else WHOLE
    found: list[Figure] = []

    def take(name: str, figures: Callable[[], list[Figure]]) -> None:
        told(f"inside full_app: {name}")
        try:
            found.extend(figures())
        except (OSError, ValueError, LookupError, httpx2.HTTPError) as error:
            skipped[name] = f"{type(error).__name__}: {error}"[:200]

    take("limiter, embedded", lambda: limiter(None, plan.seconds))
    if redis_url is None:
        skipped["jobs, resuming, limiter on Redis"] = "redis-server is not installed"
        return found
    url = redis_url
    take("limiter, on Redis", lambda: limiter(url, plan.seconds))
    take("resuming", lambda: resuming(tool(), url, plan.seconds))
    take(
        "jobs", lambda: workers.figures(url, plan.workers, plan.single, plan.lot, told)
    )
    return found


def limiter(redis_url: str | None, seconds: float) -> list[Figure]:
    """Admissions a second: a reservation and its settling, so many at once."""
    where = "embedded" if redis_url is None else "on Redis"
    rates = asyncio.run(_admissions(redis_url, seconds / len(AT_ONCE)))
    return [
        Figure(what=f"limiter {where}, {n} at once", value=rate, unit="admissions/s")
        for n, rate in zip(AT_ONCE, rates, strict=True)
    ]


async def _admissions(redis_url: str | None, seconds: float) -> list[float]:
    settings = Settings.model_validate({"redis_url": redis_url})
    async with open_redis(settings) as redis:
        limits = RateLimit("requests", MANY), RateLimit("tokens", MANY)
        measured = Limiter(redis, *limits)
        return [await _rate(measured, at_once, seconds) for at_once in AT_ONCE]


async def _rate(limiter: Limiter, at_once: int, seconds: float) -> float:
    """Raises ValueError when a request passed because Redis was too slow."""
    done, begun = 0, time.perf_counter()

    async def caller(name: str) -> None:
        nonlocal done
        while time.perf_counter() - begun < seconds:
            lease = await limiter.reserve(name, 10)
            if not lease.headers:
                raise ValueError("the limiter let requests pass without Redis")
            await limiter.settle(lease, 5)
            done += 1

    await asyncio.gather(*(caller(f"caller-{n}") for n in range(at_once)))
    return done / (time.perf_counter() - begun)


def resuming(load: Tool, redis_url: str, seconds: float) -> list[Figure]:
    """What a token costs more when its stream can be resumed, and when it is replayed.

    Raises OSError when a stream failed.
    """
    with full_app(redis_url).start(None) as tree, Redis.from_url(redis_url) as redis:
        spent = _Spent(tree, redis)
        plain = _token(load, spent, {}, seconds)
        kept = _token(load, spent, {"X-Resumable": "true"}, seconds)
        replayed = _replay(spent, seconds)
    rows = (("plain", plain), ("resumable", kept), ("replayed", replayed))
    return [
        *(
            Figure(what=f"token of a {name} stream", value=value, unit="CPU us")
            for name, value in rows
        ),
        Figure(what="to be resumable, a token", value=kept - plain, unit="CPU us"),
    ]


class _Spent:
    """CPU seconds of full_app and Redis since the last look."""

    def __init__(self, tree: Tree, redis: Redis) -> None:
        self.tree, self.redis, self.before = tree, redis, 0.0

    def look(self) -> float:
        info: dict[str, Any] = self.redis.info("cpu")
        redis = float(info["used_cpu_user"]) + float(info["used_cpu_sys"])
        now = self.tree.cpu_seconds() + redis
        since, self.before = now - self.before, now
        return since


def _token(load: Tool, spent: _Spent, headers: dict[str, str], seconds: float) -> float:
    """CPU microseconds a token, of streams that run one after the other."""
    body = chat(OFFLINE_MODEL, stream=True)
    url = f"{spent.tree.url}{CHAT}"
    load(Target(url, CONNECTIONS, 1, body, BEARER | headers))  # warm
    for longer in LONGER:
        spent.look()
        target = Target(url, CONNECTIONS, seconds * longer, body, BEARER | headers)
        done = load(target)
        used = spent.look()
        if done.requests or done.errors:
            break
    if done.errors or not done.requests:
        raise OSError(f"{done.errors} of {done.requests} streams failed")
    return used / done.requests / len(WORDS) * 1e6


def _replay(spent: _Spent, seconds: float) -> float:
    """CPU microseconds a token of a stream that is over and is read again."""
    with httpx2.Client(
        base_url=spent.tree.url, headers=BEARER, timeout=30, trust_env=False
    ) as client:
        body = chat(OFFLINE_MODEL, stream=True)
        headers = {"X-Resumable": "true", "Content-Type": "application/json"}
        first = client.post(CHAT, content=body, headers=headers)
        first.raise_for_status()
        where = first.headers["content-location"]
        spent.look()
        done, begun = 0, time.perf_counter()
        while time.perf_counter() - begun < seconds:
            again = client.get(where)
            again.raise_for_status()
            done += 1
            if again.text.count("data:") < len(WORDS):
                raise OSError("a replayed stream is not whole")
    return spent.look() / done / len(WORDS) * 1e6
