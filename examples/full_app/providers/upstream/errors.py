"""An upstream's failures in our words: its keys and its bugs are not the caller's."""

import contextlib
import email.utils
import json
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

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


class UpstreamError(CodedError):
    """The upstream refused, broke off or sent what is not an answer."""

    code, status_code, retryable = "upstream_error", 502, True
    recovery = "Retry with growing, random pauses; then use another model."


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
        raise UpstreamError(f"The upstream of {model} sent no answer.") from error


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
    raise _error(answer, _error_object(bytes(raw)), model)


def _error_object(raw: bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(raw)
    except ValueError:
        return {}
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {}


def _error(
    answer: aiohttp.ClientResponse, error: Mapping[str, Any], model: str
) -> AIError:
    """The upstream's refusal in our words; its keys and its fault are not the caller's.

    What the caller can mend (400, 404, 413, 422) passes with its message and code.
    """
    status = answer.status
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


def _retry_after(answer: aiohttp.ClientResponse) -> float:
    """Seconds, from either form of Retry-After (RFC 9110, 10.2.3); 1 without any."""
    text = answer.headers.get("retry-after", "")
    if re.fullmatch("[0-9]{1,9}", text):
        return float(text)
    try:
        until = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return 1.0
    return max(0.0, until.timestamp() - time.time())
