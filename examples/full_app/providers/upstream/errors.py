"""An upstream's failures in our words: its keys and its bugs are not the caller's."""

import contextlib
import datetime
import email.utils
import json
import re
import time
from collections.abc import Iterator, Mapping

import aiohttp
from pydantic import ValidationError

from examples.full_app.errors import ModelNotFoundError, RequestError
from examples.s5_error_handling import (
    AIError,
    CodedError,
    ModelOverloadedError,
    ModelTimeoutError,
    RateLimitExceededError,
)

MAX_ERROR_BYTES = 64 * 1024
MAX_REASON = 500  # characters
MAX_REASONS = 20  # of a list
MAX_DEPTH = 16  # of an error's body
DECIMAL = r"[0-9]{1,9}(\.[0-9]{1,9})?"


class UpstreamError(CodedError):
    """The upstream refused, broke off or sent what is not an answer."""

    code, status_code, retryable = "upstream_error", 502, True
    recovery = "Retry with growing, random pauses; then use another model."


class UpstreamRefusedError(UpstreamError):
    """The upstream refuses us, not the caller: our key, our bill, our address of it.

    A retry is refused again. The status is 502, because 401 would read as if the
    caller's own key were wrong.
    """

    code, retryable = "upstream_refused", False
    recovery = "The operator has to mend it: the key, the bill or the base URL."


class NoResponsesRouteError(UpstreamRefusedError):
    """The upstream has no `/v1/responses`, by which a setting says to ask it."""

    code = "upstream_lacks_responses"
    recovery = (
        "The operator has to set FULL_APP_UPSTREAM_RESPONSES to translate: then the "
        "upstream is asked for chat completions."
    )

    def __init__(self, model: str) -> None:
        super().__init__(
            f"The upstream of {model} does not serve /v1/responses, and "
            "FULL_APP_UPSTREAM_RESPONSES=pass asks it there."
        )


class UnreadableAnswerError(UpstreamError):
    """The upstream answered something that is no answer, and may have charged it."""

    retryable = False
    recovery = "Use another model; the same request may be charged again."


@contextlib.contextmanager
def translated(model: str) -> Iterator[None]:
    """Failures of the way there and of what came back, as errors of ours."""
    try:
        yield
    except TimeoutError:  # aiohttp's own are among them
        raise ModelTimeoutError(f"The upstream of {model} did not answer.") from None
    except aiohttp.ClientConnectorError as error:
        raise ModelOverloadedError(retry_after=1) from error
    except aiohttp.ClientError as error:
        raise UpstreamError(f"The upstream of {model} broke off.") from error
    except (ValidationError, ValueError) as error:
        message = f"The upstream of {model} sent no answer that can be read."
        raise UnreadableAnswerError(message) from error


async def check_status(answer: aiohttp.ClientResponse, model: str) -> None:
    """Raise what an answer without a 2xx means; of its body 64 KiB are read."""
    if 200 <= answer.status < 300:
        return
    raw = bytearray()
    while len(raw) <= MAX_ERROR_BYTES:
        piece = await answer.content.readany()
        if not piece:
            break
        raw += piece
    raise _error(answer, _error_body(bytes(raw), answer.content_type), model)


def reason_in(body: object, depth: int = MAX_DEPTH) -> str | None:
    """What an error says to a person, in any of the forms that upstreams use.

    `error` as text or object, `detail`, `message`, a list of these, and what a router
    such as OpenRouter quotes of the server behind it. At most `MAX_REASON` characters,
    from at most `depth` levels of nesting.
    """
    if isinstance(body, str):
        text = body.strip().encode("utf-8", "replace").decode("utf-8")
        return text[:MAX_REASON] or None
    if depth == 0:
        return None
    if isinstance(body, list):
        found = (reason_in(item, depth - 1) for item in body[:MAX_REASONS])
        return "; ".join(filter(None, found))[:MAX_REASON] or None
    if not isinstance(body, Mapping):
        return None
    for name in ("error", "message", "detail", "msg", "errors", "reason", "title"):
        if reason := reason_in(body.get(name), depth - 1):
            return reason
    return None


def _error_body(raw: bytes, content_type: str) -> object:
    """The body of a refusal as JSON, or as text where it is plain text."""
    text = raw.decode("utf-8-sig", "replace")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text if content_type == "text/plain" else None


def _error(answer: aiohttp.ClientResponse, body: object, model: str) -> AIError:
    """The upstream's refusal in our words; its keys and its fault are not the caller's.

    What the caller can mend (most of 4xx) passes with its message, code and param.
    """
    status = answer.status
    holder = body[0] if isinstance(body, list) and body else body
    error = holder.get("error") if isinstance(holder, Mapping) else None
    named = error if isinstance(error, Mapping) else {}
    code = named.get("code") if isinstance(named.get("code"), str) else None
    param = named.get("param") if isinstance(named.get("param"), str) else None
    reason = reason_in(body)
    message = reason or "The upstream refused the request."
    match status:
        case 401 | 402 | 403:
            return UpstreamRefusedError(_told(model, status, reason))
        case 404 if _lacks_model(body, f"{reason or ''} {code or ''}"):
            return ModelNotFoundError(message)
        case 408 | 504:
            return ModelTimeoutError("The upstream did not answer in time.")
        case 429 if code == "insufficient_quota":
            return UpstreamRefusedError(_told(model, status, reason))
        case 429:
            return _with_reason(RateLimitExceededError(_retry_after(answer)), reason)
        case 503 | 529:
            return _with_reason(ModelOverloadedError(_retry_after(answer)), reason)
    if status == 404 or status < 400:
        return UpstreamRefusedError(_told(model, status, reason))
    if status < 500:
        return RequestError(message, code=code, param=param)
    return UpstreamError(_told(model, status, reason))


def _lacks_model(body: object, text: str) -> bool:
    """Whether a 404 is about the model, and not about an address that we got wrong.

    A JSON object without a reason is one: the path was understood.
    """
    return isinstance(body, Mapping) and (not text.strip() or "model" in text.lower())


def _told(model: str, status: int, reason: str | None) -> str:
    """What the upstream answered, in a sentence that says that it was the upstream."""
    return (
        f"The upstream of {model} answered {status}{f': {reason}' if reason else '.'}"
    )


def _with_reason(error: CodedError, reason: str | None) -> CodedError:
    error.message = reason or error.message
    return error


def _retry_after(answer: aiohttp.ClientResponse) -> float:
    """Seconds to wait; 1 without any word of it.

    From `retry-after-ms`, which OpenAI sends, or either form of Retry-After (RFC 9110,
    section 10.2.3), whose seconds may have decimals.
    """
    milliseconds = answer.headers.get("retry-after-ms", "").strip()
    if re.fullmatch(DECIMAL, milliseconds):
        return float(milliseconds) / 1000
    text = answer.headers.get("retry-after", "").strip()
    if re.fullmatch(DECIMAL, text):
        return float(text)
    try:
        until = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return 1.0
    if until.tzinfo is None:
        until = until.replace(tzinfo=datetime.UTC)
    return max(0.0, until.timestamp() - time.time())
