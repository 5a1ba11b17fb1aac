"""Kills workers at random under a running load, then asks the records what was lost.

    python -m benchmarks.job_chaos --kills 200

It starts a Redis with an append-only file, two API processes and four workers on free
ports, submits jobs through both APIs, and kills (SIGKILL) one worker after the other;
`--api-kills` and `--redis-kills` do the same to those; `--kills 0 --seconds 15` kills
nobody. At the end every job that was accepted must have succeeded, with each item
answered once, by its own record. Needs `redis-server` and a system with `fork`. Exit
status 1: something was lost or doubled, or nothing was accepted.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.places import FULL_APP_PROTOCOL, ROOT

ITEMS = (1, 3, 6)  # of a job, in turn
ENDED = ("succeeded", "failed", "cancelled")
ENVIRONMENT = {
    "FULL_APP_JOB_ATTEMPTS": "50",  # five kills in a row hit a job in a thousand
    "FULL_APP_JOB_LEASE_SECONDS": "2",
    "FULL_APP_JOB_WORKER": "0",
    "FULL_APP_JOBS_PER_CALLER": "40",
    "FULL_APP_OFFLINE_PACE": "3",
    "FULL_APP_REDIS_TIMEOUT_SECONDS": "5",
    "FULL_APP_REQUESTS_PER_MINUTE": "10000000",
    "FULL_APP_TOKENS_PER_MINUTE": "10000000000",
}
_fork = multiprocessing.get_context("forkserver")


def work(environment: dict[str, str]) -> None:
    """What a worker process runs: the program of `python -m examples.full_app.worker`.

    Forked from a process that has imported it, so that 200 starts do not take an hour.
    """
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # its log
    from examples.full_app.worker import main

    sys.exit(main())


def end_on_sigterm() -> None:
    """Let SIGTERM end this process by an exception, so that what it started is ended.

    By default it ends at once, and its servers and workers run on without it.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def prepare_forks() -> None:
    """Have the process that workers are forked from import what they need."""
    os.environ["PYTHONPATH"] = str(ROOT)
    _fork.set_forkserver_preload(["examples.full_app.worker"])


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class System:
    """Redis, API processes and workers, each of which can be killed and comes back."""

    def __init__(
        self, folder: Path, *, apis: int, workers: int, **environment: str
    ) -> None:
        self.folder = folder
        self.redis_port = free_port()
        self.ports = [free_port() for _ in range(apis)]
        url = f"redis://127.0.0.1:{self.redis_port}/0"
        self.environment = {**ENVIRONMENT, "REDIS_URL": url, **environment}
        self.apis: list[subprocess.Popen[bytes]] = []
        self.workers: list[BaseProcess] = []
        self.redis = self._start_redis()
        try:
            for port in self.ports:
                self.apis.append(self._start_api(port))
            for _ in range(workers):
                self.workers.append(self._start_worker())
        except BaseException:
            self.stop()
            raise

    def wait_for_redis(self) -> None:
        """Return when Redis accepts connections. Raises TimeoutError after 30 s."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.redis_port)) == 0:
                    return
            time.sleep(0.02)
        raise TimeoutError("Redis did not start.")

    def kill_worker(self, choose: random.Random) -> None:
        """One worker dies, another is started."""
        index = choose.randrange(len(self.workers))
        self.workers[index].kill()
        self.workers[index].join()
        self.workers[index] = self._start_worker()

    def kill_api(self, choose: random.Random) -> None:
        """One API process dies and is started again on its port."""
        index = choose.randrange(len(self.apis))
        self._end(self.apis[index])
        self.apis[index] = self._start_api(self.ports[index])

    def kill_redis(self, _: random.Random) -> None:
        """Redis dies and is started again from its append-only file."""
        self._end(self.redis)
        self.redis = self._start_redis()

    def stop(self) -> None:
        """End all that was started."""
        for worker in self.workers:
            worker.kill()
            worker.join()
        for process in (*self.apis, self.redis):
            self._end(process)

    def _start_redis(self) -> "subprocess.Popen[bytes]":
        binary = shutil.which("redis-server")
        if binary is None:
            sys.exit("redis-server is not installed")
        command = [binary, "--port", str(self.redis_port), "--bind", "127.0.0.1"]
        command += ["--dir", str(self.folder), "--appendonly", "yes", "--save", ""]
        command += ["--appendfsync", "everysec", "--maxmemory-policy", "noeviction"]
        return self._start(command)

    def _start_api(self, port: int) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "uvicorn", "--no-proxy-headers"]
        command += ["--http", FULL_APP_PROTOCOL]
        command += ["examples.full_app.main:app", "--port", str(port)]
        return self._start([*command, "--log-level", "critical"])

    def _start(self, command: list[str]) -> "subprocess.Popen[bytes]":
        with (self.folder / "processes.log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=log,
            )

    def _start_worker(self) -> BaseProcess:
        worker = _fork.Process(target=work, args=(self.environment,), daemon=True)
        worker.start()
        return worker

    @staticmethod
    def _end(process: "subprocess.Popen[bytes]") -> None:
        process.kill()
        process.wait()


class Load:
    """Submits jobs until it is told to stop, and keeps `open_jobs` of them running."""

    def __init__(
        self, client: httpx2.AsyncClient, ports: list[int], open_jobs: int
    ) -> None:
        self.client = client
        self.ports = ports
        self.open_jobs = open_jobs
        self.accepted: dict[str, list[str]] = {}
        self.ended: dict[str, dict[str, Any]] = {}
        self.stopping = asyncio.Event()

    async def run(self) -> None:
        """Return when every job that was accepted has ended."""
        async with asyncio.TaskGroup() as group:
            for number in range(self.open_jobs):
                group.create_task(self._jobs(number))

    async def _jobs(self, number: int) -> None:
        turn = number
        while not self.stopping.is_set():
            turn += 1
            texts = [secrets.token_hex(8) for _ in range(ITEMS[turn % len(ITEMS)])]
            requests = [
                {"model": "offline-echo", "messages": [{"role": "user", "content": t}]}
                for t in texts
            ]
            key = {"Idempotency-Key": secrets.token_hex(16)}
            body = {"requests": requests}
            job = await self._ask("POST", "/v1/jobs", turn, json=body, headers=key)
            job_id = job["id"]
            self.accepted[job_id] = texts
            # A submission that was repeated may find its job at the end already, and
            # only a GET answers with results.
            while job["status"] not in ENDED or job.get("results") is None:
                await asyncio.sleep(0.3)
                job = await self._ask("GET", f"/v1/jobs/{job_id}", turn)
            self.ended[job_id] = job

    async def _ask(self, method: str, path: str, turn: int, **more: Any) -> Any:
        """An answer, asked for at each API in turn until one gives it."""
        while True:
            turn += 1
            url = f"http://127.0.0.1:{self.ports[turn % len(self.ports)]}{path}"
            try:
                answer = await self.client.request(method, url, **more)
            except httpx2.TransportError:
                await asyncio.sleep(0.1)
                continue
            if answer.status_code in (200, 202):
                return answer.json()
            if answer.status_code not in (409, 429, 500, 503):
                raise AssertionError(f"{answer.status_code}: {answer.text}")
            await asyncio.sleep(0.2)


async def check(load: Load) -> dict[str, list[str]]:
    """What is wrong, by its kind: nothing, if all went well."""
    wrong: dict[str, list[str]] = {"lost": [], "not succeeded": [], "doubled": []}
    if not load.accepted:
        wrong["nothing accepted"] = ["no job at all"]
    wrong["lost"] = sorted(load.accepted.keys() - load.ended.keys())
    for job_id, texts in load.accepted.items():
        job = load.ended.get(job_id, {})
        answers = [
            item["response"]["choices"][0]["message"]["content"]
            for item in job.get("results", [])
            if item["response"]
        ]
        if job.get("status") != "succeeded" or answers != texts:
            failed = [
                item["error"]["error"]
                for item in job.get("results", ())
                if item["error"]
            ]
            reason = job.get("error") or failed or f"{answers} in place of {texts}"
            wrong["not succeeded"].append(f"{job_id}: {job.get('status')} {reason}")
        url = f"http://127.0.0.1:{load.ports[0]}/v1/jobs/{job_id}/events"
        lines = (await load.client.get(url)).text.splitlines()
        ends = [line for line in lines if line.startswith("event: job.succeeded")]
        steps = [line for line in lines if line == "event: job.progress"]
        if len(ends) != 1 or len(steps) != len(texts):
            wrong["doubled"].append(job_id)
    return wrong


async def attack(system: System, options: argparse.Namespace) -> None:
    """All the kills, shuffled, about `--every` seconds apart."""
    choose = random.Random(options.seed)  # noqa: S311  # which worker is no secret
    plan: list[Callable[[random.Random], None]] = []
    plan += [system.kill_worker] * options.kills
    plan += [system.kill_api] * options.api_kills
    plan += [system.kill_redis] * options.redis_kills
    choose.shuffle(plan)
    for done, kill in enumerate(plan, 1):
        await asyncio.sleep(options.every * choose.uniform(0.5, 1.5))
        await asyncio.to_thread(kill, choose)
        if sys.stderr.isatty() or done % 20 == 0:
            print(f"{done} of {len(plan)} kills", file=sys.stderr)


async def run(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One whole run: its figures, and what was wrong."""
    began = time.monotonic()
    system = System(folder, apis=2, workers=options.workers)
    try:
        async with httpx2.AsyncClient(timeout=10, trust_env=False) as client:
            load = Load(client, system.ports, options.open_jobs)
            running = asyncio.create_task(load.run())
            await attack(system, options)
            await asyncio.sleep(began + options.seconds - time.monotonic())
            load.stopping.set()
            await asyncio.wait({running}, timeout=options.patience)
            running.cancel()
            wrong = await check(load)
        if not load.accepted:
            print((folder / "processes.log").read_text("utf-8"), file=sys.stderr)
    finally:
        system.stop()
    return {
        "worker_kills": options.kills,
        "api_kills": options.api_kills,
        "redis_kills": options.redis_kills,
        "jobs": len(load.accepted),
        "items": sum(map(len, load.accepted.values())),
        "attempts": sum(job["attempt"] for job in load.ended.values()),
        "seconds": round(time.monotonic() - began, 1),
        "workers": options.workers,
        "wrong": {kind: ids for kind, ids in wrong.items() if ids},
    }


def main() -> int:
    """Run it, and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="of workers")
    parser.add_argument("--api-kills", type=int, default=0)
    parser.add_argument("--redis-kills", type=int, default=0)
    parser.add_argument("--every", type=float, default=1.0, help="seconds")
    parser.add_argument("--open-jobs", type=int, default=12)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=0, help="at least")
    parser.add_argument("--patience", type=float, default=60, help="for the rest, s")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    end_on_sigterm()
    prepare_forks()
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(run(options, Path(folder)))
    print(json.dumps(report, indent=2))
    return 1 if report["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
