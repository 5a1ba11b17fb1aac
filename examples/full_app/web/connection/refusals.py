"""Answers to what is refused before an application sees it, with the one error body."""

import http

from examples.full_app.errors import RequestError
from examples.full_app.web.error_responses import render
from examples.s5_error_handling import AIError, CodedError, new_request_id

MAX_HEAD = 64 * 1024  # bytes
MAX_HEADERS = 100


class InvalidHTTPError(RequestError):
    """The bytes are no HTTP request (RFC 9112)."""

    code = "invalid_http"
    recovery = "Send an HTTP/1.1 request; look at its first line and its headers."

    def __init__(self) -> None:
        super().__init__("This is no valid HTTP request.")


class HeadTooLargeError(RequestError):
    """The head is larger than the service reads (RFC 6585, section 5)."""

    code, status_code = "request_head_too_large", 431
    recovery = "Send fewer and shorter headers."

    def __init__(self) -> None:
        super().__init__(
            f"The head of a request may have {MAX_HEAD} bytes and {MAX_HEADERS} "
            f"headers.",
            details={"max_bytes": MAX_HEAD, "max_headers": MAX_HEADERS},
        )


class SlowHeadError(CodedError):
    """The head of the request did not arrive in time (RFC 9110, section 15.5.9)."""

    code, status_code, retryable = "request_timeout", 408, True
    recovery = "Send the whole request at once; the connection was closed."

    def __init__(self) -> None:
        super().__init__("The head of the request did not arrive in time.")


def refusal(error: AIError) -> bytes:
    """The bytes of an answer with this error, after which the connection is closed."""
    answer = render(error, new_request_id())
    answer.headers["Connection"] = "close"
    status = http.HTTPStatus(error.status_code)
    head = b"".join(b"%s: %s\r\n" % header for header in answer.raw_headers)
    line = f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode("ascii")
    return line + head + b"\r\n" + bytes(answer.body)
