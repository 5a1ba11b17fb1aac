"""Any upstream that speaks OpenAI's API: OpenAI, vLLM, llama.cpp, Ollama, ourselves.

All calls of a process share one aiohttp session: it keeps connections open, has
explicit timeouts and sends no call a second time. An upstream that ends without a
finish_reason, resets or sends garbage is an error here, never an end: clients would
take half an answer for a whole one.
Source: OpenAI API reference; aiohttp, client reference.
"""

import asyncio
import contextlib
import io
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import aiohttp

from examples.full_app.errors import RequestError
from examples.full_app.observability.tracing import traceparent
from examples.full_app.providers.base import (
    CallContext,
    Delta,
    EmbeddingCall,
    Embeddings,
)
from examples.full_app.providers.upstream.answers import AnswerReader
from examples.full_app.providers.upstream.catalogue import embeddings_in, models_in
from examples.full_app.providers.upstream.errors import (
    NoResponsesRouteError,
    UnreadableAnswerError,
    UpstreamError,
    UpstreamRefusedError,
    check_status,
    translated,
)
from examples.full_app.providers.upstream.event_parser import EventParser
from examples.full_app.providers.upstream.responses import ResponseReader
from examples.full_app.schemas.catalogue import Model
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.full_app.tls import trusted
from examples.s2_models import Usage

CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 60.0  # between two bytes of a stream
WHOLE_SECONDS = 600.0  # a whole answer is silent until it is there
READ_TO_END_SECONDS = 0.25  # after the last event
AFTER_FINISH_SECONDS = 5.0  # for the usage, once all choices have finished
KEEPALIVE_SECONDS = 4.0  # less than the 5 s after which uvicorn and Node hang up
MAX_CONNECTIONS = 200  # to each upstream
MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_BLANKS = 64 * 1024  # bytes before an answer begins
LARGE_BODY_BYTES = 1024 * 1024  # aiohttp wants larger ones as a file
EVENT_STREAM = "text/event-stream"
RESPONSES = "responses"  # the path of the upstream's own route
BLANKS = b" \t\r\n\xef\xbb\xbf"  # white space, and UTF-8's byte order mark


@contextlib.asynccontextmanager
async def open_session() -> AsyncIterator[aiohttp.ClientSession]:
    """The session that all upstream calls of this process share.

    It reads no proxy and no password from the environment, keeps no cookies, and trusts
    the certificates that the whole service trusts.
    """
    connector = aiohttp.TCPConnector(
        limit=0,  # in all: as many as there are upstreams
        limit_per_host=MAX_CONNECTIONS,
        keepalive_timeout=KEEPALIVE_SECONDS,
        ssl=trusted(),
    )
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
    ) as session:
        yield session


class OpenAICompatibleProvider:
    """A provider that asks another server over HTTP."""

    name = "openai_compatible"

    def __init__(
        self, session: aiohttp.ClientSession, base_url: str, api_key: str | None
    ) -> None:
        self._session = session
        self._base_url = base_url.rstrip("/")
        self._authorization: dict[str, str] = {}
        if api_key is not None:
            self._authorization["Authorization"] = f"Bearer {api_key}"

    async def models(self) -> Sequence[Model]:
        """What the upstream lists; nothing while it does not answer."""
        try:
            async with self._session.get(
                f"{self._base_url}/models",
                headers=self._authorization,
                timeout=aiohttp.ClientTimeout(total=CONNECT_SECONDS),
                allow_redirects=False,
            ) as answer:
                if answer.status != 200:
                    return []
                return models_in(await _read_whole(answer))
        except (aiohttp.ClientError, TimeoutError, UpstreamError, ValueError):
            return []

    async def stream(
        self, request: ChatCompletionRequest, call: CallContext
    ) -> AsyncIterator[Delta | Usage]:
        """Deltas as the upstream sends them, then its usage, if it says it.

        Where nobody reads the pieces it is asked for a whole answer: a twentieth of
        the work, here and there. A call that has a `response_body` is asked for by
        `/responses`, whose events become the same deltas.
        """
        reader: AnswerReader | ResponseReader
        if call.response_body is None:
            path = "chat/completions"
            body = _chat_body(request, call)
            reader = AnswerReader(request.n)
        else:
            path = RESPONSES
            body = _response_body(request, call, call.response_body)
            reader = ResponseReader()
        with translated(request.model):
            answer = await self._post(
                path,
                body,
                call,
                accept="application/json" if call.whole else EVENT_STREAM,
            )
            try:
                await _check_status(answer, request.model, path)
                async for item in _items(answer, reader):
                    yield item
            finally:
                answer.close()  # and its connection, unless it was read to its end

    async def embed(self, request: EmbeddingCall, call: CallContext) -> Embeddings:
        """Vectors as the upstream sends them, as floats."""
        body = {
            **request.further,
            "model": request.model,
            "input": list(request.inputs),
            "encoding_format": "float",
            "dimensions": request.dimensions,
        }
        given = {name: value for name, value in body.items() if value is not None}
        with translated(request.model):
            answer = await self._post(
                "embeddings",
                json.dumps(given).encode("utf-8"),
                call,
                accept="application/json",
            )
            try:
                await check_status(answer, request.model)
                raw = await _read_whole(answer)
            finally:
                answer.close()
            return embeddings_in(raw, len(request.inputs))

    async def _post(
        self, path: str, body: bytes, call: CallContext, *, accept: str
    ) -> aiohttp.ClientResponse:
        """The head of the answer; whoever gets it closes it."""
        headers = {
            **self._authorization,
            "Content-Type": "application/json",
            "Accept": accept,
            "X-Request-ID": call.request_id,
        }
        if trace := call.traceparent or traceparent():
            headers["traceparent"] = trace
        return await self._session.post(
            f"{self._base_url}/{path}",
            data=io.BytesIO(body) if len(body) > LARGE_BODY_BYTES else body,
            headers=headers,
            timeout=_timeout(call),
            allow_redirects=False,
        )


def _chat_body(request: ChatCompletionRequest, call: CallContext) -> bytes:
    """What the caller sent; whether to stream, and with a usage, is ours to say."""
    body = request.model_dump_json(
        by_alias=True,
        exclude_unset=True,
        exclude_none=True,
        exclude={"stream", "stream_options"},
    ).encode("utf-8")
    if call.whole:
        return body
    asked = request.stream_options
    options = {**((asked and asked.model_extra) or {}), "include_usage": True}
    written = json.dumps(options).encode("utf-8")
    return body[:-1] + b',"stream":true,"stream_options":' + written + b"}"


def _response_body(
    request: ChatCompletionRequest, call: CallContext, body: Mapping[str, Any]
) -> bytes:
    """The same for `/responses`; the model is the one that this upstream has."""
    asked = {**body, "model": request.model, "stream": not call.whole}
    return json.dumps(asked).encode("utf-8")


async def _check_status(answer: aiohttp.ClientResponse, model: str, path: str) -> None:
    """Raise what an answer without a 2xx means, also that there is no such path."""
    try:
        await check_status(answer, model)
    except (UpstreamRefusedError, RequestError) as error:
        lacks_path = answer.status == 405 or isinstance(error, UpstreamRefusedError)
        if path == RESPONSES and answer.status in (404, 405) and lacks_path:
            raise NoResponsesRouteError(model) from None
        raise


def _timeout(call: CallContext) -> aiohttp.ClientTimeout:
    """No wait of a call is longer than its silence may be, or than its deadline."""
    seconds = WHOLE_SECONDS if call.whole else SILENCE_SECONDS
    if call.deadline is not None:
        seconds = min(seconds, max(0.001, call.deadline - time.monotonic()))
    return aiohttp.ClientTimeout(
        connect=seconds,  # until a connection is free
        sock_connect=min(CONNECT_SECONDS, seconds),
        sock_read=seconds,
    )


async def _read_whole(answer: aiohttp.ClientResponse) -> bytes:
    """The body. Raises UnreadableAnswerError for one that is too long."""
    body = bytearray()
    while piece := await answer.content.readany():
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            raise UnreadableAnswerError("The upstream's answer is too long.")
    return bytes(body)


async def _items(
    answer: aiohttp.ClientResponse, reader: AnswerReader | ResponseReader
) -> AsyncIterator[Delta | Usage]:
    """What an answer says, whole or streamed. Raises UpstreamError if it breaks off.

    Its first character says which of the two it is: some upstreams stream where they
    were not asked to, or answer whole, or name another content type. A body that is
    neither, such as the page of a proxy, raises UnreadableAnswerError.
    """
    start = await _first_piece(answer)
    if start.lstrip(BLANKS).startswith((b"{", b"[")):
        for item in reader.answer(start + await _read_whole(answer)):
            yield item
        _check_complete(reader)
        return
    parser = EventParser()
    is_event_stream = answer.content_type == EVENT_STREAM or not start
    piece = start
    while piece:
        for event in parser.feed(piece):
            is_event_stream = True
            data = event.data.strip()
            if data == b"[DONE]":
                for item in reader.end():
                    yield item
                _check_complete(reader)
                await _read_to_end(answer)
                return
            for item in reader.event(event.type, data):
                yield item
        piece = await _next_piece(answer, reader)
    for event in parser.end():
        is_event_stream = True
        data = event.data.strip()
        if data == b"[DONE]":
            for item in reader.end():
                yield item
        else:
            for item in reader.event(event.type, data):
                yield item
    if not is_event_stream:
        raise UnreadableAnswerError("The upstream sent something that is no answer.")
    _check_complete(reader)


async def _first_piece(answer: aiohttp.ClientResponse) -> bytes:
    """The beginning of the body, up to its first character that can be seen."""
    start = bytearray()
    while not start.strip(BLANKS) and (piece := await answer.content.readany()):
        start += piece
        if len(start) > MAX_ANSWER_BYTES or (
            len(start) > MAX_BLANKS and not start.strip(BLANKS)
        ):
            raise UnreadableAnswerError("The upstream's answer is too long.")
    return bytes(start)


async def _next_piece(
    answer: aiohttp.ClientResponse, reader: AnswerReader | ResponseReader
) -> bytes:
    """More of the body; nothing at its end.

    Once every choice has finished only a usage may follow. It is waited for a little,
    and a connection that breaks then takes nothing away.
    """
    if not reader.has_all_choices:
        return await answer.content.readany()
    with contextlib.suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(AFTER_FINISH_SECONDS):
            return await answer.content.readany()
    return b""


def _check_complete(reader: AnswerReader | ResponseReader) -> None:
    if not reader.complete:
        raise UpstreamError("The upstream's answer broke off.")


async def _read_to_end(answer: aiohttp.ClientResponse) -> None:
    """Take the end of the body: only then is the connection used again."""
    with contextlib.suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(READ_TO_END_SECONDS):
            while await answer.content.readany():
                pass
