"""Browser apps of other origins: Starlette's CORSMiddleware, with our error body.

It is installed only where `FULL_APP_CORS_ORIGINS` names origins, outside of
authentication: a browser sends its preflight request without the key, and shows the
application an error only if the error has the headers, too.
Source: WHATWG Fetch, the CORS protocol.
"""

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from examples.full_app.errors import OriginNotAllowedError, RequestError
from examples.full_app.web.error_responses import MethodNotAllowedError, render
from examples.s5_error_handling import request_id_var

METHODS = ("GET", "HEAD", "POST", "PATCH", "PUT", "DELETE")
EXPOSED_HEADERS = (
    "Content-Location",
    "Idempotent-Replayed",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Request-ID",
    "retry-after-ms",
    "x-provider",
    "x-ratelimit-limit-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-requests",
    "x-ratelimit-reset-tokens",
    "x-should-retry",
)


class BrowserMiddleware(CORSMiddleware):
    """Lets the pages of `origins` read answers, and send every header that they like.

    Cookies are not used, so no credentials are allowed. A browser may ask before a
    public page reaches a service on this machine (Private Network Access): it is told
    that these pages may.
    """

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=("*",),
            allow_private_network=True,
            expose_headers=EXPOSED_HEADERS,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """Starlette's answer. A refusal has our one error body."""
        response = super().preflight_response(request_headers)
        if response.status_code == 200:
            return response
        error: RequestError = MethodNotAllowedError(METHODS)
        if not self.is_allowed_origin(request_headers["origin"]):
            error = OriginNotAllowedError()
        refusal = render(error, request_id_var.get() or "")
        refusal.headers["Vary"] = response.headers["Vary"]
        return refusal
