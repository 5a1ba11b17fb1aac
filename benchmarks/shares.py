"""Which layer a proxied answer spends its CPU time in, as shares of one run.

    python -m benchmarks.shares

full_app runs in this process as uvicorn serves it, with everything on. Redis, the
upstream and the tool that asks are processes of their own. A timer of the system goes
off each time that this process has used a few milliseconds more of CPU time
(`signal.ITIMER_PROF`, which Windows lacks), and the function that runs then is counted
for its layer. Python's own modules have no layer: their time belongs to whoever called
them. On a busy machine the times are longer, the shares are not. So the shares are
written to `results/proxied_shares.json`, unless an answer was an error, and the site
multiplies them by the CPU time of the committed run with peers.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from types import FrameType

import uvicorn
from pydantic import BaseModel

from benchmarks import load
from benchmarks.peers.bodies import CHAT, PROXY_MODEL, chat
from benchmarks.peers.contestants import UPSTREAM, full_app
from benchmarks.peers.processes import free_port, redis_server
from benchmarks.places import FULL_APP_PROTOCOL, ROOT

RESULT = ROOT / "benchmarks" / "results" / "proxied_shares.json"
CALLERS = 32
WARM_UP_SECONDS = 2.0
INTERVAL_SECONDS = 0.001  # Linux rounds it up to 4 ms
START_SECONDS = 30.0
SERVER = "uvicorn and uvloop: HTTP, the event loop"
WEB = "full_app: middlewares, the body, a client that leaves"
CALL = "full_app: the call, its account, its models"
MONEY = "full_app: limits and money"
SEEN = "log line, metrics, trace, with their libraries"
READING = "full_app: reading the upstream's answer"
AIOHTTP = "aiohttp: the call of the upstream"
STARLETTE = "Starlette and anyio"
# The first whose beginning fits the place of a file.
LAYERS = (
    ("examples/full_app/web/connection", SERVER),
    ("examples/full_app/web/middleware/telemetry", SEEN),
    ("examples/full_app/web", WEB),
    ("examples/full_app/routes", WEB),
    ("examples/full_app/lifecycle", WEB),
    ("examples/full_app/limits", MONEY),
    ("examples/full_app/money", MONEY),
    ("examples/full_app/observability", SEEN),
    ("examples/full_app/providers", READING),
    ("examples/full_app", CALL),
    ("examples/s2_models", CALL),
    ("examples", WEB),
    ("pythonjsonlogger", SEEN),
    ("opentelemetry", SEEN),
    ("prometheus_client", SEEN),
    ("fastapi", "FastAPI: routing and dependencies"),
    ("starlette", STARLETTE),
    ("anyio", STARLETTE),
    ("sniffio", STARLETTE),
    ("pydantic", "Pydantic: the request and the answer"),
    ("aiohttp", AIOHTTP),
    ("yarl", AIOHTTP),
    ("multidict", AIOHTTP),
    ("redis", "redis-py"),
    ("uvicorn", SERVER),
)


class Row(BaseModel):
    """One layer, and its share of all samples: of 1."""

    layer: str
    share: float


class Shares(BaseModel):
    """What one run found, the largest share first."""

    samples: int
    requests: int
    errors: int
    rows: list[Row]


def layer_of(path: str) -> str | None:
    """The layer of a file; None for one of Python's own modules."""
    place = path.replace("\\", "/").rpartition("site-packages/")[2]
    if "examples/" in place:
        place = place[place.rfind("examples/") :]
    return next((name for start, name in LAYERS if place.startswith(start)), None)


class Sampler:
    """Counts for which layer the main thread works, while it is entered."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def __enter__(self) -> None:
        signal.signal(signal.SIGPROF, self.look)
        signal.setitimer(signal.ITIMER_PROF, INTERVAL_SECONDS, INTERVAL_SECONDS)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)

    def look(self, _: int, frame: FrameType | None) -> None:
        """Count the layer of the innermost function that has one."""
        layer: str | None = None
        while frame is not None and layer is None:
            layer = layer_of(frame.f_code.co_filename)
            frame = frame.f_back
        self.seen[layer or SERVER] += 1

    def shares(self, asked: load.Load) -> Shares:
        """What was counted while `asked` was asked."""
        samples = self.seen.total()
        rows = [
            Row(layer=layer, share=round(times / samples, 4))
            for layer, times in self.seen.most_common()
        ]
        requests, errors = asked.requests, asked.errors
        return Shares(samples=samples, requests=requests, errors=errors, rows=rows)


async def measure(server: uvicorn.Server, target: load.Target) -> Shares:
    """Serve, and look while the tool asks. Raises TimeoutError if nothing starts."""
    ask = load.tool()
    serving = asyncio.create_task(server.serve())
    give_up = time.monotonic() + START_SECONDS
    while not server.started:
        if time.monotonic() > give_up:
            raise TimeoutError("full_app did not start")
        await asyncio.sleep(0.05)
    warm_up = load.Target(
        target.url, CALLERS, WARM_UP_SECONDS, target.body, target.headers
    )
    await asyncio.to_thread(ask, warm_up)
    sampler = Sampler()
    with sampler:
        asked = await asyncio.to_thread(ask, target)
    server.should_exit = True
    await serving
    return sampler.shares(asked)


def run(seconds: float) -> Shares:
    """Start everything, and measure for so long."""
    with contextlib.ExitStack() as stack:
        redis_url = stack.enter_context(redis_server())
        upstream = stack.enter_context(UPSTREAM.start(None)).url
        contestant = full_app(redis_url)
        os.environ |= contestant.command(0, upstream)[1]
        nowhere = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
        stack.enter_context(contextlib.redirect_stderr(nowhere))  # lines of the log
        port = free_port()
        server = uvicorn.Server(
            uvicorn.Config(
                "examples.full_app.main:app",
                port=port,
                http=FULL_APP_PROTOCOL,
                proxy_headers=False,
                access_log=False,
                log_level="warning",
            )
        )
        target = load.Target(
            f"http://127.0.0.1:{port}{CHAT}",
            CALLERS,
            seconds,
            chat(PROXY_MODEL),
            contestant.headers(upstream),
        )
        with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
            return runner.run(measure(server, target))


def main() -> int:
    """Measure, print and write; 1 if an answer was an error."""
    parser = argparse.ArgumentParser(description="Shares of a proxied answer's time")
    parser.add_argument("--seconds", type=float, default=30.0)
    shares = run(parser.parse_args().seconds)
    text = f"{shares.model_dump_json(indent=2)}\n"
    print(text)
    if shares.errors:
        return 1
    RESULT.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
