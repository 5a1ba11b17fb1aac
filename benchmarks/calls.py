"""How many Python functions full_app calls for an answer, layer by layer.

    python -m benchmarks.calls [--check] [--before FILE]

Time on a busy machine says little; a number of calls says the same on every machine of
the same Python and the same versions. Client and application are one process without
sockets between them; Redis and the upstream are processes of their own. Only the thread
of the event loop is counted. A coroutine that goes on after a wait is a call, too.
What is counted is the median of `REQUESTS` requests, after as many that warm it up. It
writes `results/calls.json` and `.md`; `--before` sets the layers beside those of
another such JSON file. `--check` writes nothing: it ends with 1 when an answer takes a
tenth more calls than the committed file says. CI does that. Who has a reason for more
calls counts anew and commits the result.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.apps.bare_chat import app as bare_chat
from benchmarks.full_app_layers import MANY, Once, asking, log_to_nowhere, running
from benchmarks.peers.bodies import OFFLINE_MODEL, WORDS, chat
from benchmarks.peers.contestants import KEYS, UPSTREAM
from benchmarks.peers.processes import redis_server
from benchmarks.places import ROOT
from examples.full_app.main import create_app
from examples.full_app.providers.base import Provider
from examples.full_app.providers.offline.models import ECHOES
from examples.full_app.providers.offline.provider import OfflineProvider
from examples.full_app.settings import Settings

RESULTS = ROOT / "benchmarks" / "results" / "calls"
REQUESTS = 15
FULL_APP = "examples/full_app/"
BARE, OFFLINE, EMBEDDED = "bare FastAPI", "full_app, offline", "full_app, embedded"
PROXIED = "full_app, proxied"
WHOLE, TOKEN = "a whole answer", "a token of a stream"
ALL = "all"
MARGIN = (
    1.1  # what waits for Redis differs from run to run by two or three in a hundred
)
OUR_OWN = ("examples/", "benchmarks/")
LIBRARIES = (
    "fakeredis",
    "fastapi",
    "starlette",
    "pydantic",
    "redis",
    "aiohttp",
    "prometheus_client",
    "opentelemetry",
    "anyio",
    "asyncio",
    "logging",
    "json",
)


class Row(BaseModel):
    """The calls of one layer for one answer, or for one token of a stream."""

    application: str
    answer: str
    layer: str
    calls: int


class Results(BaseModel):
    """What one run counted. The layer `ALL` is the sum of the others."""

    python: str
    rows: list[Row]

    def layers(self, application: str, answer: str) -> dict[str, int]:
        """The calls of one application for one kind of answer, by layer."""
        return {
            row.layer: row.calls
            for row in self.rows
            if (row.application, row.answer) == (application, answer)
        }


@dataclass(frozen=True)
class Case:
    """An application in its lifespan, with its state, and how it is called."""

    name: str
    app: FastAPI
    state: dict[str, Any]

    def asking(self, *, stream: bool) -> Once:
        """One request."""
        body = chat(OFFLINE_MODEL, stream=stream).encode()
        return asking(self.app, self.state, KEYS[:1], body)


def layer_of(code: CodeType) -> str:
    """Whose function it is: a room of full_app, a section, or a library."""
    path = code.co_filename.replace("\\", "/")
    for start in OUR_OWN:
        _, found, rest = path.rpartition(f"/{start}")
        if found and "site-packages" not in path:
            return _room(f"{start}{rest}")
    for name in LIBRARIES:
        if f"/{name}/" in path or path.endswith(f"/{name}.py"):
            return name
    return "other libraries"


def _room(path: str) -> str:
    if not path.startswith(FULL_APP):
        return path.removesuffix(".py").replace("/", ".")
    room = path.removeprefix(FULL_APP).partition("/")[0].removesuffix(".py")
    return f"full_app.{room}"


async def counted(once: Once) -> Counter[str]:
    """The calls of one request, by layer."""
    calls: Counter[CodeType] = Counter()

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            calls[frame.f_code] += 1

    sys.setprofile(profile)
    try:
        await once()
    finally:
        sys.setprofile(None)
    layers: Counter[str] = Counter()
    for code, times in calls.items():
        layers[layer_of(code)] += times
    return layers


async def median_of(once: Once) -> Counter[str]:
    """Medians of `REQUESTS` requests, after as many that warm it up."""
    for _ in range(REQUESTS):
        await once()
    counts = [await counted(once) for _ in range(REQUESTS)]
    names = set().union(*counts)
    return Counter(
        {
            name: round(statistics.median(count[name] for count in counts))
            for name in names
        }
    )


async def rows_of(case: Case) -> list[Row]:
    """A whole answer, and a token: what a stream calls, by its words."""
    whole = await median_of(case.asking(stream=False))
    stream = await median_of(case.asking(stream=True))
    token = Counter({name: round(n / len(WORDS)) for name, n in stream.items()})
    return [
        *_rows(case.name, WHOLE, whole, whole.total()),
        *_rows(case.name, TOKEN, token, round(stream.total() / len(WORDS))),
    ]


def _rows(name: str, answer: str, layers: Counter[str], total: int) -> Iterator[Row]:
    yield Row(application=name, answer=answer, layer=ALL, calls=total)
    for layer, calls in layers.most_common():
        if calls:
            yield Row(application=name, answer=answer, layer=layer, calls=calls)


def settings(redis_url: str | None, upstream: str | None) -> Settings:
    """Everything on, and no limit that is reached."""
    given: dict[str, Any] = {
        "redis_url": redis_url,
        "api_keys": json.dumps(
            [{"name": "bench", "key": KEYS[0], "budget_usd": "1000000"}]
        ),
        "offline_pace": 0,
        "requests_per_minute": MANY,
        "tokens_per_minute": MANY,
        "job_worker": False,
    }
    if upstream:
        given["upstream_base_url"] = f"{upstream}/v1"
        given["upstream_api_key"] = KEYS[0]
    return Settings.model_validate(given)


@contextlib.asynccontextmanager
async def full_app(
    name: str, redis_url: str | None, upstream: str | None
) -> AsyncIterator[Case]:
    """The complete service in its lifespan."""
    given = settings(redis_url, upstream)
    echoing: Provider | None = None
    if upstream is None:
        echoing = OfflineProvider(0, echoes=ECHOES | {OFFLINE_MODEL})
    app = create_app(given, provider=echoing)
    async with running(app) as state:
        yield Case(name, app, state)


async def measure(redis_url: str | None, upstream: str) -> list[Row]:
    """The rows of every application that can run here."""
    log_to_nowhere()
    rows = await rows_of(Case(BARE, bare_chat, {}))
    cases: list[tuple[str, str | None, str | None]] = [(EMBEDDED, None, None)]
    if redis_url:
        cases += [(OFFLINE, redis_url, None), (PROXIED, redis_url, upstream)]
    for name, redis, where in cases:
        async with full_app(name, redis, where) as case:
            rows += await rows_of(case)
    return rows


def run() -> Results:
    """Count everything; rows on Redis are left out without `redis-server`."""
    with contextlib.ExitStack() as stack:
        redis_url = None
        with contextlib.suppress(OSError):
            redis_url = stack.enter_context(redis_server())
        upstream = stack.enter_context(UPSTREAM.start(None))
        rows = loop_factory()(measure(redis_url, upstream.url))
    version = ".".join(map(str, sys.version_info[:2]))
    return Results(python=version, rows=rows)


def loop_factory() -> Callable[..., Any]:
    """What runs a coroutine: uvloop's loop as in production, where it exists."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    return uvloop.run


def table(results: Results) -> Iterator[str]:
    """The rows as Markdown: an application a column, a layer a line."""
    names = list(dict.fromkeys(row.application for row in results.rows))
    for answer in (WHOLE, TOKEN):
        columns = [results.layers(name, answer) for name in names]
        yield f"\n## Calls for {answer}\n"
        yield from _lines(names, columns)


def _lines(names: list[str], columns: list[dict[str, int]]) -> Iterator[str]:
    """A table of the layers, those with the most calls first."""
    layers = sorted(
        {layer for column in columns for layer in column},
        key=lambda layer: -max(column.get(layer, 0) for column in columns),
    )
    yield f"| layer | {' | '.join(names)} |"
    yield f"|---|{'--:|' * len(names)}"
    for layer in layers:
        cells = (f"{column.get(layer, 0):,}" for column in columns)
        yield f"| {layer} | {' | '.join(cells)} |"


def compared(before: Results, after: Results) -> Iterator[str]:
    """The layers of a proxied answer in two runs, as Markdown."""
    for answer in (WHOLE, TOKEN):
        columns = [each.layers(PROXIED, answer) for each in (before, after)]
        yield f"\n## Proxied, {answer}: before and after\n"
        yield from _lines(["before", "after"], columns)


def grown(committed: Results, counted_now: Results) -> list[str]:
    """A sentence for each sum that is larger than the committed one by `MARGIN`."""
    found = []
    for row in counted_now.rows:
        before = committed.layers(row.application, row.answer).get(ALL)
        if row.layer == ALL and before and row.calls > MARGIN * before:
            found.append(
                f"{row.application}, {row.answer}: {row.calls:,} calls with Python "
                f"{counted_now.python}, {before:,} are committed."
            )
    return found


def main() -> int:
    """Count and print; then write, or compare with what is committed."""
    parser = argparse.ArgumentParser(description="Count calls of Python functions.")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--before", type=Path, help="another run's JSON file")
    options = parser.parse_args()
    results = run()
    lines = [
        "# Python functions called for an answer",
        "",
        "Written by `python -m benchmarks.calls`, which says how, with Python "
        f"{results.python}.",
        *table(results),
    ]
    if options.before is not None:
        lines += compared(read(options.before), results)
    text = "\n".join(lines)
    print(text)
    if options.check:
        problems = grown(read(RESULTS.with_suffix(".json")), results)
        print(*problems, sep="\n", file=sys.stderr)
        return 1 if problems else 0
    RESULTS.with_suffix(".md").write_text(f"{text}\n", encoding="utf-8")
    data = results.model_dump_json(indent=2)
    RESULTS.with_suffix(".json").write_text(f"{data}\n", encoding="utf-8")
    return 0


def read(path: Path) -> Results:
    """The results of a run. Raises ValueError for another file."""
    return Results.model_validate_json(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main())
