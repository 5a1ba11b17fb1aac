"""Any upstream that speaks OpenAI's API: OpenAI, vLLM, llama.cpp, Ollama, ourselves.

One pooled client, explicit timeouts, no hidden retries. An upstream that ends without
a finish_reason, resets or sends garbage is an error here, never an end: clients would
take half an answer for a whole one. Source: OpenAI API reference; WHATWG HTML (SSE).
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence

import httpx2
from pydantic import ValidationError

from examples.full_app.providers.lanes import Lanes
from examples.full_app.providers.protocol import (
    CallContext,
    Delta,
    EmbeddingCall,
    Embeddings,
)
from examples.full_app.providers.upstream_answers import (
    items_of_answer,
    items_of_chunk,
)
from examples.full_app.providers.upstream_errors import (
    UpstreamError,
    check_status,
    translated,
)
from examples.full_app.schemas.catalogue import EmbeddingResponse, Model, ModelList
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.full_app.tls import trusted
from examples.full_app.tracing import traceparent
from examples.s2_models import Usage

CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 60.0  # between two bytes of a stream
READ_OUT_SECONDS = 0.25  # after the last event
WHOLE_SECONDS = 600.0  # a whole answer is silent until it is there
EVENTS, JSON = "text/event-stream", "application/json"
STREAMED = '"stream":true,"stream_options":{"include_usage":true}'
MAX_CONNECTIONS = 200


class OpenAICompatibleProvider:
    """A provider that asks another server over HTTP."""

    name = "openai_compatible"

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self.client = client
        self._chat = client.base_url.join("chat/completions")
        self._fixed = {**client.headers, "Content-Type": JSON}
        del self._fixed["accept"]

    async def models(self) -> Sequence[Model]:
        """What the upstream lists; nothing while it does not answer."""
        try:
            answer = await self.client.get("models", timeout=CONNECT_SECONDS)
            answer.raise_for_status()
            return ModelList.model_validate_json(answer.content).data
        except (httpx2.HTTPError, ValidationError):
            return []

    async def stream(
        self, request: ChatCompletionRequest, call: CallContext
    ) -> AsyncIterator[Delta | Usage]:
        """Deltas as the upstream sends them, then its usage, if it says it.

        Where nobody reads the pieces it is asked for a whole answer: a twentieth of
        the work, here and there.
        """
        with translated(request.model):
            response = await self.client.send(self._asked(request, call), stream=True)
            try:
                await check_status(response, request.model)
                if call.whole and not _is_stream(response):
                    for item in items_of_answer(await response.aread()):
                        yield item
                    return
                async for item in _events(response):
                    yield item
            finally:
                await response.aclose()

    def _asked(
        self, request: ChatCompletionRequest, call: CallContext
    ) -> httpx2.Request:
        """The request to the upstream; address and fixed headers are known already."""
        body = request.model_dump_json(
            by_alias=True,
            exclude_unset=True,
            exclude_none=True,
            exclude={"stream", "stream_options"},
        )
        if not call.whole:
            body = f"{body[:-1]},{STREAMED}}}"
        return httpx2.Request(
            "POST",
            self._chat,
            headers={
                **self._fixed,
                **_headers(call),
                "Accept": JSON if call.whole else EVENTS,
            },
            content=body.encode("utf-8"),
            extensions={"timeout": _timeout(call).as_dict()},
        )

    async def embed(self, request: EmbeddingCall, call: CallContext) -> Embeddings:
        """Vectors as the upstream sends them, as floats."""
        body = {
            "model": request.model,
            "input": list(request.inputs),
            "encoding_format": "float",
            "dimensions": request.dimensions,
            "user": request.user,
        }
        with translated(request.model):
            answer = await self.client.post(
                "embeddings",
                json={name: value for name, value in body.items() if value is not None},
                headers=_headers(call),
                timeout=_timeout(call),
            )
            await check_status(answer, request.model)
            found = EmbeddingResponse.model_validate_json(answer.content)
        ordered = sorted(found.data, key=lambda item: item.index)
        vectors = [item.embedding for item in ordered]
        if any(isinstance(vector, str) for vector in vectors):
            raise UpstreamError("The upstream answered base64 where floats were asked.")
        return Embeddings(
            [vector for vector in vectors if not isinstance(vector, str)],
            found.usage.prompt_tokens,
        )


@contextlib.asynccontextmanager
async def open_upstream(
    base_url: str, api_key: str | None
) -> AsyncIterator[OpenAICompatibleProvider]:
    """The provider, its connections open as long as the block runs."""
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    verify = trusted()

    def open_lane() -> httpx2.AsyncBaseTransport:
        return httpx2.AsyncHTTPTransport(
            limits=httpx2.Limits(max_connections=1),
            verify=verify,
            retries=0,  # whoever counts the calls must see each
            trust_env=False,
        )

    async with httpx2.AsyncClient(
        base_url=base_url.rstrip("/") + "/",
        headers=headers,
        transport=Lanes(open_lane, MAX_CONNECTIONS),
        follow_redirects=False,
        trust_env=False,
    ) as client:
        yield OpenAICompatibleProvider(client)


def _headers(call: CallContext) -> dict[str, str]:
    headers = {"X-Request-ID": call.request_id}
    if trace := call.traceparent or traceparent():
        headers["traceparent"] = trace
    return headers


def _timeout(call: CallContext) -> httpx2.Timeout:
    left = WHOLE_SECONDS if call.whole else SILENCE_SECONDS
    if call.deadline is not None:
        left = min(left, max(0.001, call.deadline - time.monotonic()))
    return httpx2.Timeout(left, connect=min(CONNECT_SECONDS, left))


def _is_stream(response: httpx2.Response) -> bool:
    kind: str = response.headers.get("content-type", "")
    return kind.partition(";")[0].strip().lower() == EVENTS


async def _events(response: httpx2.Response) -> AsyncIterator[Delta | Usage]:
    """What a stream says. Raises UpstreamError if it breaks off."""
    events = aiter(httpx2.EventSource(response))
    async for event in events:
        if event.data == "[DONE]":
            await _read_out(events)
            return
        for item in items_of_chunk(event.data):
            yield item
    raise UpstreamError("The upstream's answer broke off.")


async def _read_out(events: AsyncIterator[httpx2.ServerSentEvent]) -> None:
    """Take the end of the body: only then is the connection used again."""
    with contextlib.suppress(TimeoutError, httpx2.HTTPError):
        async with asyncio.timeout(READ_OUT_SECONDS):
            async for _ in events:
                pass
