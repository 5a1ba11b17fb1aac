"""Any upstream that speaks OpenAI's API: OpenAI, vLLM, llama.cpp, Ollama, ourselves.

One pooled client, explicit timeouts, no hidden retries. An upstream that ends without
a finish_reason, resets or sends garbage is an error here, never an end: clients would
take half an answer for a whole one. Source: OpenAI API reference; WHATWG HTML (SSE).
"""

import contextlib
import email.utils
import json
import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

import httpx2
from pydantic import ValidationError

from examples.full_app.errors import ModelNotFoundError, RequestError
from examples.full_app.providers.protocol import (
    CallContext,
    Delta,
    EmbeddingCall,
    Embeddings,
)
from examples.full_app.schemas.answers import ChatCompletionChunk
from examples.full_app.schemas.catalogue import EmbeddingResponse, Model, ModelList
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.s2_models import Usage
from examples.s5_error_handling import (
    AIError,
    CodedError,
    ModelOverloadedError,
    ModelTimeoutError,
    RateLimitExceededError,
)

CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 60.0
MAX_CONNECTIONS = 200
MAX_ERROR_BYTES = 64 * 1024


class UpstreamError(CodedError):
    """The upstream refused, broke off or sent what is not an answer."""

    code, status_code, retryable = "upstream_error", 502, True
    recovery = "Retry with growing, random pauses; then use another model."


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
        with _translated(request.model):
            async with asked as source:
                await _check_status(source.response, request.model)
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
        with _translated(request.model):
            answer = await self.client.post(
                "embeddings",
                json={name: value for name, value in body.items() if value is not None},
                headers=_headers(call),
                timeout=_timeout(call),
            )
            await _check_status(answer, request.model)
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
            retries=0,  # whoever counts the calls must see each
            trust_env=False,
        ),
        follow_redirects=False,
        trust_env=False,
    ) as client:
        yield OpenAICompatibleProvider(client)


def _headers(call: CallContext) -> dict[str, str]:
    headers = {"X-Request-ID": call.request_id}
    if call.traceparent is not None:
        headers["traceparent"] = call.traceparent
    return headers


def _timeout(call: CallContext) -> httpx2.Timeout:
    left = SILENCE_SECONDS
    if call.deadline is not None:
        left = min(left, max(0.001, call.deadline - time.monotonic()))
    return httpx2.Timeout(left, connect=min(CONNECT_SECONDS, left))


@contextlib.contextmanager
def _translated(model: str) -> Iterator[None]:
    """Failures of the way there and of what came back, as errors of ours."""
    try:
        yield
    except httpx2.TimeoutException:
        raise ModelTimeoutError(f"The upstream of {model} did not answer.") from None
    except httpx2.ConnectError as error:
        raise ModelOverloadedError(retry_after=1) from error
    except httpx2.HTTPError as error:
        raise UpstreamError(f"The upstream of {model} broke off.") from error
    except (ValidationError, ValueError) as error:
        raise UpstreamError(f"The upstream of {model} sent no answer.") from error


async def _check_status(answer: httpx2.Response, model: str) -> None:
    if answer.is_success:
        return
    raw = bytearray()
    async for chunk in answer.aiter_bytes():
        raw += chunk
        if len(raw) > MAX_ERROR_BYTES:
            break
    raise _error(answer, _error_object(bytes(raw)), model)


def _error_object(raw: bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(raw)
    except ValueError:
        return {}
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {}


def _error(answer: httpx2.Response, error: Mapping[str, Any], model: str) -> AIError:
    """The upstream's refusal in our words; its keys and its fault are not the caller's.

    What the caller can mend (400, 404, 413, 422) passes with its message and code.
    """
    status = answer.status_code
    message = str(error.get("message") or "The upstream refused the request.")[:500]
    match status:
        case 404:
            return ModelNotFoundError(message)
        case 400 | 413 | 422:
            code, param = error.get("code"), error.get("param")
            return RequestError(
                message,
                code=code if isinstance(code, str) else None,
                param=param if isinstance(param, str) else None,
            )
        case 429:
            return RateLimitExceededError(_retry_after(answer))
        case 503:
            return ModelOverloadedError(_retry_after(answer))
        case 408 | 504:
            return ModelTimeoutError("The upstream did not answer in time.")
    return UpstreamError(f"The upstream of {model} answered {status}.")


def _retry_after(answer: httpx2.Response) -> float:
    """Seconds, from either form of Retry-After (RFC 9110, 10.2.3); 1 without any."""
    text = answer.headers.get("retry-after", "")
    if re.fullmatch("[0-9]{1,9}", text):
        return float(text)
    try:
        until = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return 1.0
    return max(0.0, until.timestamp() - time.time())


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
