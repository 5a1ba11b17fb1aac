"""Worker processes of full_app: how soon they begin a job, how many they finish."""

import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2

from benchmarks.frameworks import Told
from benchmarks.peers.contestants import KEYS, full_app
from benchmarks.peers.jobs import PATIENCE_SECONDS, ended, submit, wait
from benchmarks.peers.processes import Tree
from benchmarks.peers.results import Figure
from benchmarks.places import ROOT

SENDERS = 16
STEP = 10  # a job of ten is watched: looking is work for the API, too
LAST = 8


def figures(
    redis_url: str, workers: tuple[int, ...], single: int, lot: int, told: Told
) -> list[Figure]:
    """From the POST to `job.running`, and jobs a second by how many workers.

    Raises OSError when a worker does not start, or a job does not succeed.
    """
    contestant = full_app(redis_url)
    _, settings = contestant.command(0, None)
    found = []
    with contestant.start(None) as api:
        for number in workers:
            told(f"jobs with {number} worker processes")
            with contextlib.ExitStack() as stack:
                trees = [stack.enter_context(worker(settings)) for _ in range(number)]
                waits, rate = asyncio.run(_run(api.url, trees, single, lot))
            if number == workers[0]:
                median = 1000 * statistics.median(waits)
                found.append(Figure(what="a job's start", value=median, unit="ms"))
            name = f"jobs, {number} worker{'s' * (number > 1)}"
            found.append(Figure(what=name, value=rate, unit="jobs/s"))
    return found


@contextlib.contextmanager
def worker(settings: dict[str, str]) -> Iterator[Tree]:
    """A worker process that has begun to work."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "examples.full_app.worker"],
                cwd=ROOT,
                env={**os.environ, **settings},
                stdout=out,
                stderr=out,
            )
        tree = Tree(process, "")
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while b"worker started" not in log.read_bytes():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise OSError("a worker did not start")
                time.sleep(0.05)
            yield tree
        finally:
            tree.end()


async def _run(
    url: str, workers: list[Tree], single: int, lot: int
) -> tuple[list[float], float]:
    """Seconds until each of `single` jobs began, alone; jobs a second of a lot."""
    async with httpx2.AsyncClient(base_url=url, timeout=30, trust_env=False) as client:
        await ended(client, await _submit_all(client, LAST * len(workers)))
        waits = [await wait(client, KEYS[0]) for _ in range(single)]
        for tree in workers:  # they begin when all has been accepted
            tree.pause()
        try:
            ids = await _submit_all(client, lot)
        finally:
            for tree in workers:
                tree.go_on()
        begun = time.perf_counter()
        listed = list(ids.items())
        await ended(client, dict(listed[::STEP] + listed[-LAST:]))
        took = time.perf_counter() - begun
        await ended(client, ids)
    return waits, lot / took


async def _submit_all(client: httpx2.AsyncClient, lot: int) -> dict[str, str]:
    """Jobs of keys that take turns: a caller may have few running. Ids with keys."""
    gate = asyncio.Semaphore(SENDERS)

    async def one(key: str) -> tuple[str, str]:
        async with gate:
            return await submit(client, key), key

    keys = [KEYS[number % len(KEYS)] for number in range(lot)]
    return dict(await asyncio.gather(*map(one, keys)))
