"""Sends events to a receiver that fails half the time, until all of them are delivered.

    python -m benchmarks.webhook_storm --events 10000

It starts a Redis and four workers, and a receiver that answers 500, 503, 302 or nothing
to every other request. At the end each event must have been accepted under its one id,
with the bytes and a signature that `openai`, `standardwebhooks` and `svix` verify.
Exit status 1: something is missing or does not verify.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.job_chaos import System, end_on_sigterm, prepare_forks

OWNER = "key:storm"
ATTEMPTS = 40  # 1 in 2 ** 40 events fails all of them
Headers = dict[str, str]


class Receiver:
    """Accepts every other request on average; keeps what it has accepted."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311  # when it fails is no secret
        self.answers: Counter[str] = Counter()
        self.accepted: dict[str, list[tuple[Headers, bytes]]] = {}

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """One connection: request after request, until one is hung up on."""
        try:
            while await self._answer(reader, writer):
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        for line in head[1:]:  # signatures are not to be lowered
            if line.lower().startswith("webhook-signature: "):
                headers["webhook-signature"] = line.split(": ", 1)[1]
        body = await reader.readexactly(int(headers["content-length"]))
        answer = "204"
        if self.chance.random() < 0.5:
            answer = self.chance.choice(["500", "503", "302", "hang up"])
        else:
            self.accepted.setdefault(headers["webhook-id"], []).append((headers, body))
        self.answers[answer] += 1
        if answer == "hang up":
            return False
        status = f"HTTP/1.1 {answer} X\r\nContent-Length: 0\r\n\r\n"
        writer.write(status.encode())
        return True


def verify(secret: str, accepted: dict[str, list[tuple[Headers, bytes]]]) -> list[str]:
    """The ids of which something does not verify, by any of the three libraries."""
    import openai
    import standardwebhooks
    import svix.webhooks

    client = openai.OpenAI(api_key="none", base_url="http://127.0.0.1:1")
    verifiers = (
        standardwebhooks.Webhook(secret).verify,
        svix.webhooks.Webhook(secret).verify,
        lambda body, headers: client.webhooks.unwrap(body, headers, secret=secret),
    )
    wrong = set()
    for event_id, deliveries in accepted.items():
        for headers, body in deliveries:
            if json.loads(body)["id"] != event_id:
                wrong.add(event_id)
            for check in verifiers:
                try:
                    check(body, headers)
                except Exception:  # they raise all sorts of things
                    wrong.add(event_id)
    return sorted(wrong)


async def send(events: int, url: str, environment: dict[str, str]) -> tuple[Any, ...]:
    """Register an endpoint and queue the events: its secret, and their ids."""
    os.environ.update(environment)
    from examples.full_app.observability.metrics import Metrics
    from examples.full_app.settings import Settings
    from examples.full_app.webhooks.models import event
    from examples.full_app.wiring import open_services

    async with open_services(Settings(), Metrics()) as services:
        store, queue = services["webhooks"].store, services["queue"]
        endpoint = await store.endpoints.create(OWNER, url)
        ids = []
        for number in range(events):
            news = event("job.succeeded", {"id": f"job_{number:032x}"})
            await store.save_event(news)
            await queue.add_delivery(OWNER, endpoint.id, news.id)
            ids.append(news.id)
    return endpoint.signing_secret, ids


async def run(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One whole run: its figures, and what was wrong."""
    receiver = Receiver(options.seed)
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    schedule = json.dumps([0.0] + [0.2] * (ATTEMPTS - 1))
    more = {"FULL_APP_WEBHOOK_SCHEDULE": schedule}
    more["FULL_APP_ALLOW_LOOPBACK_WEBHOOKS"] = "1"
    more["FULL_APP_DELIVERIES_PER_CALLER"] = "80"  # all slots: there is one caller
    began = time.monotonic()
    system = await asyncio.to_thread(System, folder, apis=0, workers=4, **more)
    try:
        await asyncio.to_thread(system.wait_for_redis)
        sent = send(options.events, f"http://127.0.0.1:{port}/", system.environment)
        secret, ids = await sent
        async with asyncio.timeout(options.patience):
            while len(receiver.accepted) < len(ids):  # noqa: ASYNC110  # it is polled
                await asyncio.sleep(0.05)
    except TimeoutError:
        print("out of patience", file=sys.stderr)
    finally:
        system.stop()
        server.close()
    seconds = time.monotonic() - began
    missing = sorted(set(ids) - receiver.accepted.keys())
    unverified = await asyncio.to_thread(verify, secret, receiver.accepted)
    return {
        "events": len(ids),
        "delivered": len(receiver.accepted),
        "accepted_more_than_once": sum(
            len(deliveries) > 1 for deliveries in receiver.accepted.values()
        ),
        "requests": sum(receiver.answers.values()),
        "answers": dict(receiver.answers.most_common()),
        "seconds": round(seconds, 1),
        "missing": missing[:10],
        "unverified": unverified[:10],
    }


def main() -> int:
    """Run it, and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000)
    parser.add_argument("--patience", type=float, default=240, help="in seconds")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    end_on_sigterm()
    prepare_forks()
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(run(options, Path(folder)))
    print(json.dumps(report, indent=2))
    return 1 if report["missing"] or report["unverified"] else 0


if __name__ == "__main__":
    sys.exit(main())
