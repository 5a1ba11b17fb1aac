"""Kind 6: a tenant with 600 jobs and a dead receiver, beside twenty who do nothing.

    python -m benchmarks.attacks.fairness [--jobs 600] [--tenants 20]

Redis, one API and two workers are started, with the service's own shares. Each idle
tenant then hands in one job with a webhook. Counted are the seconds until the job
begins, and from its end until its webhook arrives.
"""

import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.attacks.run import Figures, run, what_went_wrong
from benchmarks.attacks.service import await_listening
from benchmarks.job_chaos import System, prepare_forks

WITHIN_SECONDS = 1.0
WORKERS = 2
ITEMS = 3  # of each job of the busy tenant
NOISY_HEAD_START_SECONDS = 2.0
PATIENCE_SECONDS = 60.0
SHARES = {"FULL_APP_JOBS_PER_CALLER": "4", "FULL_APP_DELIVERIES_PER_CALLER": "5"}
ASK = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Why?"}]}


class Receiver:
    """Receives webhooks: it answers some at once, and others never."""

    def __init__(self) -> None:
        self.arrived: dict[str, float] = {}
        self.hanging = 0
        self._never = asyncio.Event()

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """One request."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            if head.startswith("POST /dead"):
                self.hanging += 1
                await self._never.wait()
            length = int(head.lower().partition("content-length:")[2].split()[0])
            job = json.loads(await reader.readexactly(length))["data"]["id"]
            self.arrived[job] = time.monotonic()
            writer.write(b"HTTP/1.1 204 X\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class Tenant:
    """Hands in jobs under a key of its own."""

    def __init__(self, http: httpx2.AsyncClient, key: str, receiver: str) -> None:
        self.http = http
        self.receiver = receiver
        self.headers = {"Authorization": f"Bearer {key}"}

    async def hand_in(self, items: int) -> str:
        """The id of a new job."""
        body = {"requests": [ASK] * items, "webhook": {"url": self.receiver}}
        answer = await self.http.post("/v1/jobs", json=body, headers=self.headers)
        job_id: str = answer.raise_for_status().json()["id"]
        return job_id

    async def when(self, job_id: str, *statuses: str) -> float:
        """Poll until the job has one of these: the time."""
        path = f"/v1/jobs/{job_id}?results=false"
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                answer = await self.http.get(path, headers=self.headers)
                if answer.json()["status"] in statuses:
                    return time.monotonic()
                await asyncio.sleep(0.02)


async def one_job(tenant: Tenant, receiver: Receiver) -> tuple[float, float]:
    """Seconds until a job begins, and from its end until its webhook arrives."""
    job_id = await tenant.hand_in(1)
    handed_in = time.monotonic()
    try:
        begun = await tenant.when(job_id, "running", "succeeded")
        ended = await tenant.when(job_id, "succeeded")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while job_id not in receiver.arrived:  # noqa: ASYNC110 - it is polled
                await asyncio.sleep(0.02)
    except TimeoutError:
        return PATIENCE_SECONDS, PATIENCE_SECONDS
    return begun - handed_in, max(0.0, receiver.arrived[job_id] - ended)


async def attack(system: System, jobs: int, tenants: int) -> Figures:
    """The busy tenant begins, and then each idle one hands in its job."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    url = f"http://127.0.0.1:{system.ports[0]}"
    async with httpx2.AsyncClient(base_url=url, timeout=60, trust_env=False) as http:
        busy = Tenant(http, "sk-busy", f"{address}/dead")
        handed_in: list[str] = []
        for _ in range(0, jobs, 20):
            handed_in += await asyncio.gather(*(busy.hand_in(ITEMS) for _ in range(20)))
        await asyncio.sleep(NOISY_HEAD_START_SECONDS)
        times = []
        for number in range(tenants):
            idle = Tenant(http, f"sk-idle-{number}", f"{address}/quick")
            times.append(await one_job(idle, receiver))
        listed = await http.get("/v1/jobs?limit=100", headers=busy.headers)
        waiting = [j for j in listed.json()["data"] if j["status"] == "queued"]
    server.close()
    begun = [begun for begun, _ in times]
    delivered = [delivered for _, delivered in times]
    return {
        "jobs_of_the_busy_tenant": len(handed_in),
        "requests_that_the_dead_receiver_holds": receiver.hanging,
        "idle_tenants": tenants,
        "longest_until_begun_seconds": round(max(begun), 2),
        "longest_until_delivered_seconds": round(max(delivered), 2),
        "wrong": what_went_wrong(
            {
                "a job of an idle tenant began late": max(begun) > WITHIN_SECONDS,
                "a webhook of an idle tenant came late": (
                    max(delivered) > WITHIN_SECONDS
                ),
                "the busy tenant was not busy to the end": not waiting,
                "the dead receiver was not asked": not receiver.hanging,
            }
        ),
    }


def measure(jobs: int, tenants: int) -> Figures:
    """One run."""
    prepare_forks()
    keys: list[dict[str, Any]] = [{"name": "busy", "key": "sk-busy"}]
    keys += [{"name": f"idle-{i}", "key": f"sk-idle-{i}"} for i in range(tenants)]
    given = {
        **SHARES,
        "FULL_APP_API_KEYS": json.dumps(keys),
        "FULL_APP_ALLOW_LOOPBACK_WEBHOOKS": "1",
        "FULL_APP_OFFLINE_PACE": "0.3",
    }
    with tempfile.TemporaryDirectory() as folder:
        system = System(Path(folder), apis=1, workers=WORKERS, **given)
        try:
            await_listening(system.ports[0])
            return asyncio.run(attack(system, jobs, tenants))
        finally:
            system.stop()


if __name__ == "__main__":
    run(__doc__, measure, jobs=600, tenants=20)
