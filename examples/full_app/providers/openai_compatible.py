"""Any upstream that speaks OpenAI's API: OpenAI, vLLM, llama.cpp, Ollama, ourselves.

One pooled client, explicit timeouts, no hidden retries. An upstream that ends without
a finish_reason, resets or sends garbage is an error here, never an end: clients would
take half an answer for a whole one. Source: OpenAI API reference; WHATWG HTML (SSE).
"""

import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence

import httpx2
from pydantic import ValidationError

from examples.full_app.providers.protocol import (
    CallContext,
    Delta,
    EmbeddingCall,
    Embeddings,
)
from examples.full_app.providers.upstream_errors import (
    UpstreamError,
    check_status,
    translated,
)
from examples.full_app.schemas.answers import ChatCompletionChunk
from examples.full_app.schemas.catalogue import EmbeddingResponse, Model, ModelList
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.full_app.tls import trusted
from examples.full_app.tracing import traceparent
from examples.s2_models import Usage

CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 60.0
MAX_CONNECTIONS = 200


class OpenAICompatibleProvider:
    """A provider that asks another server over HTTP."""

    name = "openai_compatible"

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self.client = client

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
        """Deltas as the upstream sends them, then its usage, or an estimate of ours."""
        body = request.model_dump(
            mode="json", by_alias=True, exclude_unset=True, exclude_none=True
        )
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        asked = self.client.sse(
            "chat/completions",
            method="POST",
            json=body,
            headers=_headers(call),
            timeout=_timeout(call),
        )
        with translated(request.model):
            async with asked as source:
                await check_status(source.response, request.model)
                ended = False
                async for event in source:
                    if event.data == "[DONE]":
                        ended = True
                        break
                    for item in _items(event.data):
                        yield item
        if not ended:
            raise UpstreamError("The upstream's answer broke off.")

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
    async with httpx2.AsyncClient(
        base_url=base_url.rstrip("/") + "/",
        headers=headers,
        transport=httpx2.AsyncHTTPTransport(
            limits=httpx2.Limits(max_connections=MAX_CONNECTIONS),
            verify=trusted(),
            retries=0,  # whoever counts the calls must see each
            trust_env=False,
        ),
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
    left = SILENCE_SECONDS
    if call.deadline is not None:
        left = min(left, max(0.001, call.deadline - time.monotonic()))
    return httpx2.Timeout(left, connect=min(CONNECT_SECONDS, left))


def _items(data: str) -> Iterator[Delta | Usage]:
    """What one event says. Raises UpstreamError when it says the answer failed."""
    chunk = json.loads(data)
    if not isinstance(chunk, dict):
        raise UpstreamError("The upstream sent what is not a chunk.")
    if "error" in chunk:
        error = chunk["error"] if isinstance(chunk["error"], dict) else {}
        raise UpstreamError(str(error.get("message") or "The upstream failed.")[:500])
    parsed = ChatCompletionChunk.model_validate(chunk)
    for choice in parsed.choices:
        yield Delta(
            index=choice.index,
            content=choice.delta.content,
            tool_calls=tuple(choice.delta.tool_calls or ()),
            finish_reason=choice.finish_reason,
            logprobs=choice.logprobs,
        )
    if parsed.usage is not None:
        yield parsed.usage
