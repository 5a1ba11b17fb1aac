"""Cuts resumable streams at random places and compares what arrived with the whole.

    python -m benchmarks.stream_cuts --cuts 1000 [--embedded] [--responses]

Two API processes share a Redis that is started for them; `--embedded` is one service in
this process. Every connection goes to one of them at random and is cut after a random
number of events. The streams are chat completions, resumed by `Last-Event-ID`; with
`--responses` they are responses in the background, resumed by `starting_after`.
Exit status 1 when a text differs, an event is missing or comes twice.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.job_chaos import System, end_on_sigterm

PATH = "/v1/chat/completions"
ASK = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "Tell a long story of broken streams."}],
    "stream": True,
}


def events(response: httpx2.Response, most: int) -> list[tuple[str, str]]:
    """Id and data of up to `most` events; the caller then cuts the connection."""
    found: list[tuple[str, str]] = []
    event_id = ""
    for line in response.iter_lines():
        if line.startswith("id: "):
            event_id = line[4:]
        elif line.startswith("data: "):
            found.append((event_id, line[6:]))
            if len(found) == most:
                break
    return found


RESPONSES = "/v1/responses"
QUESTION = {
    "model": "gpt-4o-mini",
    "input": "Tell a long story of broken streams.",
    "stream": True,
    "background": True,
}
TERMINAL = ("response.completed", "response.incomplete", "response.failed")


def response_events(response: httpx2.Response, most: int) -> list[dict[str, Any]]:
    """Up to `most` events of a response; the caller then cuts the connection."""
    found: list[dict[str, Any]] = []
    for line in response.iter_lines():
        if line.startswith("data: {"):
            found.append(json.loads(line[6:]))
            if len(found) == most:
                break
    return found


def run_responses(
    clients: list[httpx2.Client], cuts: int, chance: random.Random
) -> Any:
    """The same figures for responses; what is kept has to agree with the last event."""
    began = time.monotonic()
    wrong = made = streams = 0
    while made < cuts:
        streams += 1
        with chance.choice(clients).stream(
            "POST", RESPONSES, json=QUESTION
        ) as response:
            seen = response_events(response, chance.randint(1, 6))
        where = f"{RESPONSES}/{seen[0]['response']['id']}"
        while seen[-1]["type"] not in TERMINAL:
            made += 1
            after = {"stream": "true", "starting_after": seen[-1]["sequence_number"]}
            with chance.choice(clients).stream("GET", where, params=after) as rest:
                seen += response_events(rest, chance.randint(1, 6))
        with chance.choice(clients).stream("GET", f"{where}?stream=true") as response:
            whole = response_events(response, sys.maxsize)
        kept = chance.choice(clients).get(where).json()
        numbers = [event["sequence_number"] for event in seen]
        wrong += (
            seen != whole
            or numbers != list(range(len(seen)))
            or seen[-1]["type"] != "response.completed"
            or seen[-1]["response"] != kept
            or written(seen) != kept["output"][0]["content"][0]["text"]
        )
    seconds = round(time.monotonic() - began, 1)
    return {"streams": streams, "cuts": made, "seconds": seconds, "wrong": wrong}


def written(seen: list[dict[str, Any]]) -> str:
    """The text of all deltas."""
    deltas = [it for it in seen if it["type"] == "response.output_text.delta"]
    return "".join(event["delta"] for event in deltas)


def run(clients: list[httpx2.Client], cuts: int, chance: random.Random) -> Any:
    """Figures of at least `cuts` cuts: how many streams came out wrong."""
    began = time.monotonic()
    wrong = made = streams = 0
    while made < cuts:
        streams += 1
        headers = {"X-Resumable": "true"}
        with chance.choice(clients).stream(
            "POST", PATH, json=ASK, headers=headers
        ) as response:
            where = response.headers["content-location"]
            seen = events(response, chance.randint(1, 6))
        while seen[-1][1] != "[DONE]":
            made += 1
            headers = {"Last-Event-ID": seen[-1][0]}
            with chance.choice(clients).stream("GET", where, headers=headers) as rest:
                seen += events(rest, chance.randint(1, 6))
        with chance.choice(clients).stream("GET", where) as response:
            whole = events(response, sys.maxsize)
        wrong += seen != whole or len({i for i, _ in seen}) != len(seen)
    seconds = round(time.monotonic() - began, 1)
    return {"streams": streams, "cuts": made, "seconds": seconds, "wrong": wrong}


@contextmanager
def two_processes(*, workers: int) -> Iterator[list[str]]:
    """The addresses of two API processes on one Redis, beside so many workers."""
    with tempfile.TemporaryDirectory() as folder:
        system = System(
            Path(folder), apis=2, workers=workers, FULL_APP_OFFLINE_PACE="0.05"
        )
        try:
            urls = [f"http://127.0.0.1:{port}" for port in system.ports]
            for url in urls:
                await_ready(url)
            yield urls
        finally:
            system.stop()


def await_ready(url: str) -> None:
    """Return once the service answers. Raises TimeoutError after half a minute."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if httpx2.get(f"{url}/health/ready", trust_env=False).is_success:
                return
        except httpx2.TransportError:
            time.sleep(0.05)
    raise TimeoutError(url)


@contextmanager
def embedded() -> Iterator[list[str]]:
    """The address of one service in this process."""
    from examples.full_app.main import create_app
    from examples.full_app.settings import Settings
    from tests.servers import serve

    settings = Settings(redis_url=None, api_keys={}, offline_pace=0.05)
    with serve(create_app(settings)) as url:
        yield [url]


def main() -> int:
    """Read the options, start the services, cut."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--cuts", type=int, default=1000)
    options.add_argument("--embedded", action="store_true")
    options.add_argument("--responses", action="store_true")
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    end_on_sigterm()
    with (
        ExitStack() as stack,
        embedded()
        if given.embedded
        else two_processes(workers=1 if given.responses else 0) as urls,
    ):
        clients = [
            stack.enter_context(
                httpx2.Client(base_url=url, timeout=30, trust_env=False)
            )
            for url in urls
        ]
        chance = random.Random(given.seed)  # noqa: S311 - to be repeated
        cut = run_responses if given.responses else run
        report = cut(clients, given.cuts, chance)
    print(json.dumps(report, indent=2))
    return 1 if report["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
