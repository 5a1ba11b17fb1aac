"""Kind 8: an upstream whose answers have millions of characters, or no end.

    python -m benchmarks.attacks.large_answers [--answers 10]

Whole answers of 1, 3 and 15 million bytes must arrive as they are. What is larger than
the limits of an answer (16 MiB) and of an upstream (64 MiB) must be refused, never with
a 500, and a stream without an end must break off with an error event.
"""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx2

from benchmarks.attacks.run import Figures, run, what_went_wrong
from tests.full_app.upstreams import ASK, PATH, SSE, answering, chunk, in_front_of

MILLION = 1_000_000
MIB = 1024 * 1024
SIZES = (1 * MILLION, 3 * MILLION, 15 * MILLION)  # bytes
LETTERS = {"x": 1, "日": 3}  # with the bytes of each in UTF-8
REFUSED = {"17 MiB": 17 * MIB, "70 MiB": 70 * MIB}


@contextlib.contextmanager
def service(upstream: str) -> Iterator[httpx2.Client]:
    """A service that asks `upstream`, without a limit of tokens, and a client of it."""
    with in_front_of(upstream, tokens_per_minute=10**12) as http:
        http.timeout = httpx2.Timeout(60)
        yield http


def whole(text: str) -> bytes:
    """The whole answer of an upstream that says `text`."""
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    body = json.dumps({"choices": [choice]}, ensure_ascii=False).encode("utf-8")
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode("ascii") + body


@contextlib.contextmanager
def endless_stream() -> Iterator[tuple[str, list[int]]]:
    """An upstream whose stream does not end: its address, and the bytes it has sent."""
    sent: list[int] = []
    piece = chunk(delta={"content": "x" * 100_000})
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(65_536)
                        sent.append(0)
                        with contextlib.suppress(OSError):
                            connection.sendall(SSE)
                            while True:
                                connection.sendall(piece)
                                sent[-1] += len(piece)

        threading.Thread(target=answer, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1", sent
        server.shutdown(socket.SHUT_RDWR)


def arrived(answers: int) -> tuple[int, int, list[int]]:
    """How many answers arrived as they are, of how many, and other statuses."""
    fine = asked = 0
    other: list[int] = []
    for size in SIZES:
        for letter, length in LETTERS.items():
            text = letter * (size // length)
            with answering(whole(text)) as (upstream, _), service(upstream) as http:
                for _ in range(answers):
                    answer = http.post(PATH, json=ASK)
                    asked += 1
                    if answer.status_code != 200:
                        other.append(answer.status_code)
                        continue
                    message = answer.json()["choices"][0]["message"]
                    fine += message["content"] == text
    return fine, asked, other


def refused(size: int, answers: int) -> tuple[list[int], int]:
    """The statuses for answers of so many bytes, and how many were asked for."""
    with (
        answering(whole("x" * size)) as (upstream, requests),
        service(upstream) as http,
    ):
        statuses = [http.post(PATH, json=ASK).status_code for _ in range(answers)]
        return statuses, len(requests)


def cut(answers: int) -> tuple[list[str], int]:
    """The codes in which endless streams end, and the most that one has delivered."""
    codes, most = [], 0
    with endless_stream() as (upstream, _), service(upstream) as http:
        for _ in range(answers):
            asked: Any = {**ASK, "stream": True}
            answer = http.post(PATH, json=asked)
            most = max(most, len(answer.content))
            lines = [line for line in answer.text.splitlines() if line[:6] == "data: "]
            error = json.loads(lines[-1][6:]).get("error", {})
            codes.append(error.get("code", "no error"))
    return codes, most


def measure(answers: int) -> Figures:
    """Answers that must arrive, and answers that must not."""
    fine, asked, other = arrived(answers)
    too_large = {name: refused(size, answers) for name, size in REFUSED.items()}
    codes, most = cut(answers)
    statuses = {status for found, _ in too_large.values() for status in found}
    return {
        "answers": asked,
        "arrived": fine,
        "largest_bytes": max(SIZES),
        "other_statuses": sorted(set(other)),
        "too_large": answers * len(REFUSED),
        "statuses_of_too_large": sorted(statuses),
        "endless_streams": len(codes),
        "cut_with": sorted(set(codes)),
        "most_of_an_endless_stream_bytes": most,
        "wrong": what_went_wrong(
            {
                "an answer did not arrive": fine != asked,
                "one that is too large was not refused with 502": statuses != {502},
                "an upstream was paid twice": any(
                    requests != answers for _, requests in too_large.values()
                ),
                "an endless stream did not break off as it should": (
                    set(codes) != {"answer_too_large"}
                ),
                "an endless stream was long": most > 18 * MIB,
            }
        ),
    }


if __name__ == "__main__":
    run(__doc__, measure, answers=10)
