"""A body that is refused costs no more CPU than one that is read, whatever is in it.

Costs are thread CPU time, measured against the standard library reading two MiB of
numbers in the same run: about 25 ms on the machine that the 50 ms of the contract are
meant for. Without its guard each of these costs four to twenty times that.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from examples.full_app.errors import TooManyValuesError
from examples.full_app.main import create_app
from examples.full_app.web.json_body import MAX_KEYS, JSONLimits, parse_json
from tests.full_app.conftest import KEY, settings

pytestmark = pytest.mark.usefixtures("untraced")
SIZE = 2 * 1024 * 1024 - 200
CHAT, EMBEDDINGS, JOBS = "/v1/chat/completions", "/v1/embeddings", "/v1/jobs"
WEBHOOKS = "/v1/webhooks"
HEAD = '{"model":"m","messages":[{"role":"user","content":"x"}]'
ITEM = HEAD + "}"
PART = '{"type":"text","text":""}'

Post = Callable[[str, str], tuple[dict[str, Any], float]]


def full(head: str, unit: str | Callable[[int], str], tail: str) -> str:
    """`unit` between head and tail as often as two MiB have room for."""
    first = unit if isinstance(unit, str) else unit(99_999)
    room = (SIZE - len(head) - len(tail)) // (len(first) + 1)
    units = (unit if isinstance(unit, str) else unit(i) for i in range(room))
    return head + ",".join(units) + tail


def key(number: int) -> str:
    return f'"{number:x}":1'


REFUSALS = (
    "request_too_large",
    "validation_error",
    "invalid_json",
    "unknown_parameter",
)
WIDE = {
    "messages that are not": (CHAT, full('{"model":"m","messages":[', "{}", "]}")),
    "many messages": (
        CHAT,
        full('{"model":"m","messages":[', '{"role":"user"}', "]}"),
    ),
    "many parts": (
        CHAT,
        full('{"messages":[{"role":"user","content":[', PART, "]}]}"),
    ),
    "unknown keys": (CHAT, full(HEAD + ",", key, "}")),
    "keys in metadata": (CHAT, full(HEAD + ',"metadata":{', key, "}}")),
    "one key, often": (CHAT, full(HEAD + ",", '"a":1', "}")),
    "numbers": (CHAT, full(HEAD + ',"zzz":[', "1.5", "]}")),
    "long numbers": (CHAT, full(HEAD + ',"zzz":[', "9" * 64 + "e-300", "]}")),
    "lists in lists": (CHAT, full(HEAD + ',"zzz":[', "[" * 60 + "]" * 60, "]}")),
    "strings": (CHAT, full(HEAD + ',"stop":[', '""', "]}")),
    "tools": (CHAT, full(HEAD + ',"tools":[', '{"type":"function"}', "]}")),
    "brackets": (CHAT, "[" * SIZE),
    "quotes": (CHAT, "," * 30_001 + '"' * (SIZE - 30_001)),
    "quotes and brackets": (
        CHAT,
        HEAD[:-3] + r"\"[" * (SIZE // 3 - 99) + '"}]}',
    ),
    "numbers to embed": (EMBEDDINGS, full('{"input":[', "1e1", "]}")),
    "fractions to embed": (EMBEDDINGS, '{"input":[' + "0.5," * 300_000 + "1]}"),
    "lists to embed": (EMBEDDINGS, full('{"input":[', '["x"]', "]}")),
    "keys to embed": (EMBEDDINGS, full("{", key, "}")),
    "objects to embed": (EMBEDDINGS, full('{"input":[', "{}", "]}")),
    "jobs of nothing": (JOBS, full('{"requests":[', "{}", "]}")),
    "jobs of keys": (JOBS, full('{"requests":[{', key, "}]}")),
    "19,000 good requests": (JOBS, '{"requests":[' + f"{ITEM}," * 18_999 + ITEM + "]}"),
    "parts in a job": (
        JOBS,
        '{"requests":[{"messages":[{"role":"user","content":['
        + f"{PART}," * 39_000
        + f"{PART}]}}]}}]}}",
    ),
    "keys of a webhook": (WEBHOOKS, full("{", key, "}")),
    "calls": (
        CHAT,
        '{"messages":['
        + f'{{"role":"assistant","tool_calls":[{"{}," * 100}{{}}]}},' * 130
        + "1]}",
    ),
}


@pytest.fixture(scope="module")
def post() -> Iterator[Post]:
    """Posts to the app in this thread: what it answers, and its CPU in seconds."""
    app = create_app(settings())
    with asyncio.Runner() as runner, contextlib.ExitStack() as stack:
        living = app.router.lifespan_context(app)
        state = runner.run(living.__aenter__())
        stack.callback(lambda: runner.run(living.__aexit__(None, None, None)))

        async def call(path: str, body: bytes) -> tuple[dict[str, Any], float]:
            sent: list[dict[str, Any]] = []
            given = iter([{"type": "http.request", "body": body, "more_body": False}])

            async def receive() -> dict[str, Any]:
                for message in given:
                    return message
                return await asyncio.Future()

            async def send(message: Any) -> None:
                sent.append(message)

            headers = {
                "authorization": f"Bearer {KEY}",
                "content-type": "application/json",
                "content-length": str(len(body)),
            }
            scope = {
                "type": "http",
                "asgi": {"version": "3.0", "spec_version": "2.3"},
                "http_version": "1.1",
                "method": "POST",
                "scheme": "http",
                "path": path,
                "query_string": b"",
                "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
                "client": ("127.0.0.1", 1),
                "server": ("127.0.0.1", 2),
                "state": dict(state or {}),
            }
            before = time.thread_time()
            await app(scope, receive, send)
            spent = time.thread_time() - before
            return json.loads(b"".join(m.get("body", b"") for m in sent)), spent

        def answer(path: str, body: str) -> tuple[dict[str, Any], float]:
            return runner.run(call(path, body.encode()))

        answer(CHAT, ITEM)
        yield answer


@pytest.fixture(scope="module")
def reading() -> float:
    """CPU seconds the standard library takes for two MiB of numbers."""
    text = full("[", "1", "]")

    def spent() -> float:
        before = time.thread_time()
        json.loads(text)
        return time.thread_time() - before

    return min(spent() for _ in range(3))


@pytest.mark.parametrize("shape", WIDE)
def test_a_wide_body_is_refused_for_less_than_reading_numbers_twice(
    post: Post, reading: float, shape: str
) -> None:
    path, body = WIDE[shape]
    tries = [post(path, body) for _ in range(2)]
    answer = tries[0][0]

    assert answer["code"] in REFUSALS
    assert len(json.dumps(answer)) <= 8192
    assert min(spent for _, spent in tries) < 2 * reading


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[" + "1," * 30 + "1]", "values"),
        ("[" + '"",' * 200 + "1]", "values"),
        ("[" + "{}," * 9 + "{}]", "objects"),
        ('{"a":{"b":1,"c":2,"d":3},"e":1,"f":2}', "keys"),
        ("[" + "1e0," * 10 + "1]", None),
    ],
)
def test_each_limit_has_its_own_name(text: str, what: str | None) -> None:
    limits = JSONLimits(values=20, objects=8, keys=5)
    if what is None:
        parse_json(text.encode(), limits)
        return
    with pytest.raises(TooManyValuesError, match=what):
        parse_json(text.encode(), limits)


def test_the_keys_of_one_object_have_a_limit_of_their_own() -> None:
    keys = "{" + ",".join(map(key, range(MAX_KEYS + 1))) + "}"

    with pytest.raises(TooManyValuesError, match="keys in one object"):
        parse_json(keys.encode())


@pytest.mark.parametrize(
    "number", ["1E5", "1.0e-1", "9" * 64 + "e-300", "0." + "1" * 60]
)
def test_numbers_that_are_slow_elsewhere_are_read_in_the_time_of_plain_ones(
    reading: float, number: str
) -> None:
    text = ("[" + f"{number}," * 29_000 + "1]").encode()

    def spent() -> float:
        before = time.thread_time()
        parse_json(text)
        return time.thread_time() - before

    assert min(spent() for _ in range(3)) < 2 * reading


@pytest.mark.parametrize(
    "text",
    [
        '"' + "," * 40_000 + '"',
        '"' + r"\"," * 40_000 + '"',
        '"' + r"\\" * 3 + '"',
        '["' + r"\\\"{[," * 40_000 + r'\\"]',
        '{"[": ",{", "1e999": "\\\\"}',
    ],
    ids=["commas", "quotes", "backslashes", "all", "keys"],
)
def test_what_is_in_a_string_is_not_counted(text: str) -> None:
    assert parse_json(text.encode()) == json.loads(text)


def test_many_short_texts_to_embed_cost_little_more_than_writing_them(
    post: Post,
) -> None:
    """Three million numbers, nearly all 0: none of them is looked at one by one."""
    body = {"model": "text-embedding-3-small", "input": ["a"] * 2_048}
    answer, spent = post(EMBEDDINGS, json.dumps(body))
    before = time.thread_time()
    json.dumps(answer)
    writing = time.thread_time() - before

    assert len(answer["data"]) == 2_048
    assert spent < 1.5 * writing
