"""Cuts resumable streams at random places and compares what arrived with the whole.

    python -m benchmarks.stream_cuts --cuts 1000 [--redis-url redis://127.0.0.1:6379]

Two services share a Redis when one is named; every connection goes to one of them at
random and is cut after a random number of events. Exit status 1 when a text differs,
an event is missing or comes twice.
"""

import argparse
import random
import sys
from contextlib import ExitStack

import httpx2

from examples.full_app.main import create_app
from examples.full_app.settings import Settings
from tests.servers import serve

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


def run(clients: list[httpx2.Client], cuts: int, chance: random.Random) -> int:
    """How many streams came out wrong, after at least `cuts` cuts."""
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
    print(f"{streams} streams, {made} cuts, {wrong} wrong")
    return wrong


def main() -> int:
    """Read the options, start the services, cut."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--cuts", type=int, default=1000)
    options.add_argument("--redis-url")
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    settings = Settings(redis_url=given.redis_url, api_keys={}, offline_pace=0.05)
    with ExitStack() as stack:
        count = 2 if given.redis_url else 1
        urls = [stack.enter_context(serve(create_app(settings))) for _ in range(count)]
        clients = [
            stack.enter_context(httpx2.Client(base_url=url, timeout=30)) for url in urls
        ]
        chance = random.Random(given.seed)  # noqa: S311 - to be repeated
        return 1 if run(clients, given.cuts, chance) else 0


if __name__ == "__main__":
    sys.exit(main())
