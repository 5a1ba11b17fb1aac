"""Kind 5: a Redis that says nothing for a while, near and 100 ms away.

    python -m benchmarks.attacks.silent_redis [--seconds 20] [--spikes 8]

Callers with a budget call all the time. A Redis beside the service is silent for
`--seconds`, then one that is 100 ms away for two seconds, `--spikes` times. Counted are
the seconds until a paid call passes again, the log lines of each outage, and the money.
"""

import asyncio
import contextlib
import logging
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.attacks.run import Figures, run, wait_until, what_went_wrong
from benchmarks.attacks.service import CHAT
from examples.full_app.main import create_app
from examples.full_app.money import Prices, nano_usd
from tests.conftest import running_redis
from tests.full_app.conftest import KEY, settings
from tests.full_app.scripted import Scripted
from tests.servers import serve

CALLERS = 6
PAUSE_SECONDS = 0.005  # of a caller, between two calls
SPIKE_SECONDS = 2.0
PAID_BETWEEN = 200  # paid calls before each outage, and after the last
ONE_WAY_SECONDS = 0.05  # half of the distance
RECOVERY_SECONDS = 5.0
LINES_PER_MINUTE = 120
MODEL = "gpt-4o-mini"
HEADERS = {"Authorization": f"Bearer {KEY}"}
ASK = {"model": MODEL, "messages": [{"role": "user", "content": "one two"}]}


class Line:
    """A line to a server: bytes take `delay` seconds one way, and none pass on hold."""

    def __init__(self, port: int, delay: float) -> None:
        self.server_port = port
        self.delay = delay
        self.port = 0
        self._open = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    def hold(self) -> None:
        """Let nothing pass from now on."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def release(self) -> None:
        """Let all pass again, also what was held."""
        self._loop.call_soon_threadsafe(self._open.set)

    @contextlib.contextmanager
    def running(self) -> Iterator[int]:
        """The port at which the line begins, in a thread of its own."""
        self._open.set()
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", 0)
        )
        self.port = server.sockets[0].getsockname()[1]
        thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        thread.start()
        try:
            yield self.port
        finally:
            ended = asyncio.run_coroutine_threadsafe(self._end(server), self._loop)
            ended.result(10)
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join(10)
            self._loop.close()

    async def _end(self, server: asyncio.Server) -> None:
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0.1)  # until the sockets are closed

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.server_port)
        for source, target in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._carry(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter
    ) -> None:
        """Read without pause, and write each piece when it has arrived."""
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def arrive() -> None:
            data = b"x"
            while data:
                due, data = await pieces.get()
                await asyncio.sleep(max(0.0, due - self._loop.time()))
                await self._open.wait()
                target.write(data)
            target.close()

        arriving = asyncio.create_task(arrive())
        try:
            data = b"x"
            while data:
                data = await source.read(65_536)
                pieces.put_nowait((self._loop.time() + self.delay, data))
            await arriving
        except OSError:
            pass
        finally:
            arriving.cancel()
            target.close()


class Lines(logging.Handler):
    """Counts the warnings and errors that anything logs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """One more line."""
        self.count += 1


class Callers:
    """Call again and again; they remember what was answered, and what it cost."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.paid = 0
        self.refused = 0
        self.other: list[int] = []
        self.cost = 0  # nano-USD
        self.over = threading.Event()
        self._prices = Prices()
        self._lock = threading.Lock()

    def call_again_and_again(self) -> None:
        """What one caller does."""
        with client(self.url) as http:
            while not self.over.is_set():
                self._note(http.post(CHAT, json=ASK))
                time.sleep(PAUSE_SECONDS)

    def seconds_until_paid(self, calls: int) -> float:
        """The seconds until so many more paid calls have been answered."""
        before = self.paid
        return wait_until(lambda: self.paid >= before + calls, 30)

    def _note(self, answer: httpx2.Response) -> None:
        with self._lock:
            if answer.status_code == 200:
                usage = answer.json()["usage"]
                tokens = usage["prompt_tokens"], usage["completion_tokens"]
                self.paid += 1
                self.cost += self._prices.cost_of(MODEL, *tokens) or 0
            elif answer.status_code == 503:
                self.refused += 1
            else:
                self.other.append(answer.status_code)


def client(url: str) -> httpx2.Client:
    """A client with the key that has a budget."""
    return httpx2.Client(base_url=url, headers=HEADERS, timeout=60, trust_env=False)


def outages(
    delay: float, seconds: float, times: int, redis_port: int, database: int
) -> Figures:
    """Some outages of a Redis that is so far away, and what came of them."""
    line, lines = Line(redis_port, delay), Lines()
    log = logging.getLogger()
    log.addHandler(lines)
    recovered: list[float] = []
    logged: list[int] = []
    with contextlib.ExitStack() as stack:
        stack.callback(log.removeHandler, lines)
        port = stack.enter_context(line.running())
        given: dict[str, Any] = {
            "redis_url": f"redis://127.0.0.1:{port}/{database}",
            "redis_timeout_seconds": 0.25,
            "api_keys": [{"name": "alpha", "key": KEY, "budget_usd": "1000"}],
            "requests_per_minute": 1_000_000,
            "tokens_per_minute": 1_000_000_000,
            "job_worker": False,
        }
        app = create_app(settings(**given), provider=Scripted())
        url = stack.enter_context(serve(app))
        threads = stack.enter_context(ThreadPoolExecutor(CALLERS))
        callers = Callers(url)
        calls = [threads.submit(callers.call_again_and_again) for _ in range(CALLERS)]
        try:
            for _ in range(times):
                callers.seconds_until_paid(PAID_BETWEEN)
                lines_before = lines.count
                line.hold()
                time.sleep(seconds)
                line.release()
                recovered.append(callers.seconds_until_paid(4))
                logged.append(lines.count - lines_before)
            callers.seconds_until_paid(PAID_BETWEEN)
        finally:
            callers.over.set()
        for call in calls:
            call.result()
        with client(url) as http:
            wait_until(lambda: money(http)["reserved"] == 0, 30)
            found = money(http)
    return {
        "round_trip_ms": round(delay * 2000),
        "outages": times,
        "silent_seconds": seconds,
        "paid_calls": callers.paid,
        "refused_calls": callers.refused,
        "other_answers": callers.other[:10],
        "longest_recovery_seconds": max(recovered),
        "most_log_lines": max(logged),
        "spent_nano_usd": found["spent"],
        "cost_of_the_answers_nano_usd": callers.cost,
        "reserved_nano_usd": found["reserved"],
    }


def money(http: httpx2.Client) -> dict[str, int]:
    """What `GET /v1/usage` says that was spent and is reserved, in nano-USD."""
    answer = http.get("/v1/usage")
    if not answer.is_success:
        return {"spent": -1, "reserved": -1}
    found = answer.json()
    return {
        name: nano_usd(Decimal(found[f"{name}_usd"])) for name in ("spent", "reserved")
    }


def measure(seconds: int, spikes: int) -> Figures:
    """A long outage nearby, and short ones far away."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_redis(Path(folder)) as (url, _),
    ):
        port = int(url.rpartition(":")[2])
        near = outages(0.0, float(seconds), 1, port, 0)
        far = outages(ONE_WAY_SECONDS, SPIKE_SECONDS, spikes, port, 1)
    both = (near, far)
    return {
        "near": near,
        "far": far,
        "wrong": what_went_wrong(
            {
                "paid calls did not pass again in time": any(
                    one["longest_recovery_seconds"] > RECOVERY_SECONDS for one in both
                ),
                "the log is long": any(
                    one["most_log_lines"]
                    > LINES_PER_MINUTE * (one["silent_seconds"] + RECOVERY_SECONDS) / 60
                    for one in both
                ),
                "the money is not exact": any(
                    one["spent_nano_usd"] != one["cost_of_the_answers_nano_usd"]
                    or one["reserved_nano_usd"] != 0
                    for one in both
                ),
                "a call was answered in another way": any(
                    one["other_answers"] for one in both
                ),
                "no call was refused": not all(one["refused_calls"] for one in both),
            }
        ),
    }


if __name__ == "__main__":
    run(__doc__, measure, seconds=20, spikes=8)
