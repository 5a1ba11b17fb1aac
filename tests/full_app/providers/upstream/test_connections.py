"""How an upstream is reached: connections, times, sizes, certificates, redirects."""

import asyncio
import contextlib
import gzip
import json
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from examples.full_app.providers.base import CallContext, Delta, EmbeddingCall
from examples.full_app.providers.upstream import client, event_parser
from examples.full_app.providers.upstream.client import (
    OpenAICompatibleProvider,
    open_session,
)
from examples.full_app.providers.upstream.errors import UpstreamError
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.s2_models import Usage
from examples.s5_error_handling import ModelOverloadedError, ModelTimeoutError
from tests.full_app.upstreams import ASK, FRAMES, HELLO, head

WHOLE = json.dumps(
    {
        "choices": [
            {"index": 0, "message": {"content": "hello"}, "finish_reason": "stop"}
        ]
    }
).encode()
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """An upstream on loopback; `handler` gets each request that was read whole."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.url = ""
        self.connections = 0
        self.open = 0
        self.requests: list[bytes] = []

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """One connection: requests until the other side, or the handler, has enough."""
        self.connections += 1
        self.open += 1
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while not writer.is_closing():
                    top = await reader.readuntil(b"\r\n\r\n")
                    length = 0
                    for line in top.lower().split(b"\r\n"):
                        if line.startswith(b"content-length:"):
                            length = int(line.split(b":")[1])
                    self.requests.append(top + await reader.readexactly(length))
                    await self.handler(reader, writer)
                    await writer.drain()
        finally:
            self.open -= 1
            writer.close()


@contextlib.asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[Server]:
    """A `Server` that runs as long as the block."""
    upstream = Server(handler)
    listener = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    upstream.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
    try:
        yield upstream
    finally:
        listener.close()


@contextlib.asynccontextmanager
async def provider_of(
    url: str, api_key: str | None = None
) -> AsyncIterator[OpenAICompatibleProvider]:
    """A provider with a session of its own."""
    async with open_session() as session:
        yield OpenAICompatibleProvider(session, url, api_key)


def answer(body: bytes, kind: str = "application/json", *more: str) -> bytes:
    """A whole answer after which the connection stays open."""
    lines = ["HTTP/1.1 200 OK", f"content-type: {kind}", *more]
    lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def says(data: bytes) -> Handler:
    """A handler that says always the same."""

    async def handle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    return handle


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A handler that says nothing until the caller hangs up."""
    await reader.read()
    writer.close()


async def hello_and_silence(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """A handler that begins a stream and never ends it."""
    writer.write(head(200, "text/event-stream") + HELLO)
    await silent(reader, writer)


def request(**more: object) -> ChatCompletionRequest:
    """The question of all tests."""
    return ChatCompletionRequest.model_validate({**ASK, **more})


def whole(seconds: float | None = None) -> CallContext:
    """A call that wants a whole answer, within `seconds`."""
    deadline = None if seconds is None else time.monotonic() + seconds
    return CallContext("r-1", deadline=deadline, whole=True)


async def ask(
    provider: OpenAICompatibleProvider, call: CallContext | None = None
) -> list[Delta | Usage]:
    """All that one call says."""
    return [item async for item in provider.stream(request(), call or whole())]


async def until(happened: Callable[[], bool]) -> None:
    """Poll for what the server sees a moment later."""
    async with asyncio.timeout(1):
        while not happened():  # noqa: ASYNC110  # what is polled is a plain number
            await asyncio.sleep(0.005)


# --- connections


async def test_whole_answers_one_after_the_other_share_a_connection() -> None:
    async with (
        serving(says(answer(WHOLE))) as upstream,
        provider_of(upstream.url) as provider,
    ):
        for _ in range(5):
            await ask(provider)

    assert (len(upstream.requests), upstream.connections) == (5, 1)


async def test_two_providers_of_a_session_share_its_connections() -> None:
    async with serving(says(answer(WHOLE))) as upstream, open_session() as session:
        for key in ("one", "two"):
            await ask(OpenAICompatibleProvider(session, upstream.url, key))

    assert upstream.connections == 1
    assert b"authorization: bearer one" in upstream.requests[0].lower()
    assert b"authorization: bearer two" in upstream.requests[1].lower()


async def test_calls_at_once_have_a_connection_each_and_all_are_closed_at_the_end() -> (
    None
):
    async with serving(hello_and_silence) as upstream:
        async with provider_of(upstream.url) as provider:
            streams = [provider.stream(request(), CallContext("r")) for _ in range(20)]
            await asyncio.gather(*(anext(stream) for stream in streams))
            assert upstream.open == 20
        await until(lambda: upstream.open == 0)


async def test_a_call_that_finds_no_free_connection_waits_for_one_in_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "MAX_CONNECTIONS", 1)
    async with (
        serving(hello_and_silence) as upstream,
        provider_of(upstream.url) as provider,
    ):
        first = provider.stream(request(), CallContext("r"))
        await anext(first)
        with pytest.raises(ModelTimeoutError):
            await ask(provider, whole(seconds=0.05))
        upstream.handler = says(answer(WHOLE))
        second = asyncio.create_task(ask(provider))
        await asyncio.sleep(0)
        assert not second.done()
        await first.aclose()  # type: ignore[attr-defined]  # an async generator
        assert await second

    assert len(upstream.requests) == 2


async def test_a_call_that_is_cancelled_closes_its_connection() -> None:
    async with serving(silent) as upstream, provider_of(upstream.url) as provider:
        call = asyncio.create_task(ask(provider))
        await until(lambda: len(upstream.requests) == 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await until(lambda: upstream.open == 0)


async def test_a_stream_that_is_left_closes_its_connection() -> None:
    async with (
        serving(hello_and_silence) as upstream,
        provider_of(upstream.url) as provider,
    ):
        stream = provider.stream(request(), CallContext("r"))
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]  # an async generator
        await until(lambda: upstream.open == 0)


async def test_a_connection_whose_call_failed_is_not_used_again() -> None:
    async with serving(says(answer(b"{"))) as upstream:
        async with provider_of(upstream.url) as provider:
            for _ in range(3):
                with pytest.raises(UpstreamError):
                    await ask(provider)
            upstream.handler = says(answer(WHOLE))
            assert await ask(provider)
        await until(lambda: upstream.open == 0)


async def test_what_one_call_sets_as_a_cookie_the_next_does_not_send() -> None:
    cookie = "set-cookie: session=of-another-caller; Path=/"
    async with (
        serving(says(answer(WHOLE, "application/json", cookie))) as upstream,
        provider_of(upstream.url) as provider,
    ):
        for _ in range(2):
            await ask(provider)

    assert b"of-another-caller" not in upstream.requests[1]


# --- the way there


async def test_a_proxy_in_the_environment_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(silent) as proxy, serving(says(answer(WHOLE))) as upstream:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        async with provider_of(upstream.url) as provider:
            assert await ask(provider)

    assert (proxy.connections, upstream.connections) == (0, 1)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_refused_and_the_key_goes_nowhere_else(status: int) -> None:
    async with serving(says(answer(WHOLE))) as other:
        to = f"location: {other.url}/chat/completions"
        moved = head(status, "text/plain", to, "content-length: 0")
        async with (
            serving(says(moved)) as upstream,
            provider_of(upstream.url, "sk-secret") as provider,
        ):
            with pytest.raises(UpstreamError, match=str(status)):
                await ask(provider)
            assert await provider.models() == []

    assert other.connections == 0


async def test_certificates_are_checked_with_what_the_service_trusts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hosts: list[object] = []

    class Recording(ssl.SSLContext):
        def wrap_bio(self, *args: object, **more: object) -> ssl.SSLObject:
            hosts.append(more["server_hostname"])
            return super().wrap_bio(*args, **more)  # type: ignore[arg-type]  # as given

    context = Recording(ssl.PROTOCOL_TLS_CLIENT)
    monkeypatch.setattr(client, "trusted", lambda: context)
    async with serving(silent) as upstream:
        url = upstream.url.replace("http://127.0.0.1", "https://localhost")
        async with provider_of(url) as provider:
            call = asyncio.create_task(ask(provider))
            await until(lambda: "localhost" in hosts)
            call.cancel()
            with contextlib.suppress(asyncio.CancelledError, ModelOverloadedError):
                await call

    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


# --- times


async def test_a_silent_upstream_is_waited_for_until_the_deadline() -> None:
    async with serving(silent) as upstream, provider_of(upstream.url) as provider:
        with pytest.raises(ModelTimeoutError):
            await ask(provider, whole(seconds=0.05))
        await until(lambda: upstream.open == 0)


async def test_a_stream_may_be_silent_for_so_long_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "SILENCE_SECONDS", 0.05)
    async with (
        serving(hello_and_silence) as upstream,
        provider_of(upstream.url) as provider,
    ):
        stream = provider.stream(request(), CallContext("r"))
        assert isinstance(await anext(stream), Delta)
        with pytest.raises(ModelTimeoutError):
            await anext(stream)
        await until(lambda: upstream.open == 0)


async def test_models_of_a_silent_upstream_are_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "CONNECT_SECONDS", 0.05)
    async with serving(silent) as upstream, provider_of(upstream.url) as provider:
        assert await provider.models() == []


# --- sizes


async def test_an_answer_that_is_too_long_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "MAX_ANSWER_BYTES", len(WHOLE) - 1)
    async with (
        serving(says(answer(WHOLE))) as upstream,
        provider_of(upstream.url) as provider,
    ):
        with pytest.raises(UpstreamError, match="too long"):
            await ask(provider)


async def test_a_small_answer_that_unpacks_to_a_long_one_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "MAX_ANSWER_BYTES", 1024 * 1024)
    packed = gzip.compress(b" " * 64 * 1024 * 1024)
    body = answer(packed, "application/json", "content-encoding: gzip")
    async with (
        serving(says(body)) as upstream,
        provider_of(upstream.url) as provider,
    ):
        with pytest.raises(UpstreamError, match="too long"):
            await ask(provider)


async def test_an_event_without_end_is_an_error_of_ours() -> None:
    length = event_parser.MAX_EVENT_BYTES

    async def endless(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(head(200, "text/event-stream") + b"data: ")
        for _ in range(length // 65_536 + 1):
            writer.write(b"x" * 65_536)
            await writer.drain()
        await silent(reader, writer)

    async with serving(endless) as upstream, provider_of(upstream.url) as provider:
        with pytest.raises(UpstreamError):
            await ask(provider, CallContext("r"))
        await until(lambda: upstream.open == 0)


async def test_a_large_request_arrives_whole() -> None:
    text = "é" * 90_000
    messages = [{"role": "user", "content": text}] * 8
    async with (
        serving(says(answer(WHOLE))) as upstream,
        provider_of(upstream.url) as provider,
    ):
        large = request(messages=messages, model="gpt-4.1")
        assert [item async for item in provider.stream(large, whole())]

    body = json.loads(upstream.requests[0].partition(b"\r\n\r\n")[2])
    assert body["messages"] == messages


# --- encodings


async def test_a_packed_answer_is_unpacked() -> None:
    packed = answer(gzip.compress(WHOLE), "application/json", "content-encoding: gzip")
    async with (
        serving(says(packed)) as upstream,
        provider_of(upstream.url) as provider,
    ):
        first, *_ = await ask(provider)

    assert isinstance(first, Delta)
    assert first.content == "hello"


async def test_a_stream_without_length_ends_when_the_connection_does() -> None:
    old = b"HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + FRAMES

    async def say_and_hang_up(
        _: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(old)
        writer.close()

    async with (
        serving(say_and_hang_up) as upstream,
        provider_of(upstream.url) as provider,
    ):
        items = await ask(provider, CallContext("r"))

    assert items[0] == Delta(content="hello")


async def test_packed_events_arrive_as_they_are_sent() -> None:
    async def packed(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        squeeze = zlib.compressobj(wbits=31)
        writer.write(head(200, "text/event-stream", "content-encoding: gzip"))
        writer.write(squeeze.compress(HELLO) + squeeze.flush(zlib.Z_SYNC_FLUSH))
        await silent(reader, writer)

    async with serving(packed) as upstream, provider_of(upstream.url) as provider:
        stream = provider.stream(request(), CallContext("r"))
        async with asyncio.timeout(5):
            assert await anext(stream) == Delta(content="hello")
        await stream.aclose()  # type: ignore[attr-defined]  # an async generator


async def test_vectors_are_read_whole() -> None:
    body = {
        "object": "list",
        "model": "m",
        "data": [{"object": "embedding", "index": 0, "embedding": [1.0]}],
        "usage": {"prompt_tokens": 1, "total_tokens": 1},
    }
    async with (
        serving(says(answer(json.dumps(body).encode()))) as upstream,
        provider_of(upstream.url) as provider,
    ):
        for _ in range(2):
            vectors = await provider.embed(EmbeddingCall("m", ["a"]), whole())

    assert list(vectors.vectors) == [[1.0]]
    assert upstream.connections == 1
