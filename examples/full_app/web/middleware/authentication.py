"""Who is calling: API keys, and a door that is shut unless a path is listed as public.

Keys are kept as SHA-256 digests; a presented key is looked up by a part of its digest
and compared in constant time, so the time of a refusal says nothing about any key.
Without configured keys only this machine is served, and of its web pages only the
service's own: any page that a browser shows can send requests to this machine, and
open WebSockets to it. So the headers `Origin` and `Host`, which no page can forge, are
checked. `X-User-ID` labels a call, it never authenticates.
Sources: RFC 6750 (bearer tokens); RFC 6454 and RFC 6455, section 10.2 (origins).
"""

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Collection, Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from examples.full_app.errors import (
    HostNotAllowedError,
    InvalidAPIKeyError,
    OriginNotAllowedError,
    PermissionDeniedError,
    RequestError,
)
from examples.full_app.identity import Identity, key_subject
from examples.full_app.settings import Grant, KeyScope
from examples.full_app.web.error_responses import render
from examples.s5_error_handling import AIError

PUBLIC_PATHS = frozenset(
    {"/", "/docs", "/redoc", "/openapi.json", "/health/live", "/health/ready"}
)
PUBLIC_PREFIXES = ("/static-offline-docs/", "/console/")
SCOPES: Mapping[str, KeyScope] = {  # of a path and what is below it
    "/v1/chat": "chat",
    "/v1/live": "chat",
    "/v1/responses": "chat",
    "/v1/embeddings": "embeddings",
    "/v1/jobs": "jobs",
    "/v1/webhooks": "webhooks",
    "/v1/webhook_endpoints": "webhooks",
    "/v1/webhook_event_types": "webhooks",
    "/metrics": "metrics",
}
MAX_KEY_LENGTH = 512
INDEX = 16  # hex digits of a digest that lead to its key
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
DEFAULT_PORTS = {"http": ":80", "https": ":443"}
HOST = re.compile(  # of RFC 3986, section 3.2.2 and 3.2.3
    r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._~%!$&'()*+,;=-]*)(?::[0-9]{0,5})?"
)
OTHER_KEY_HEADERS = ("api-key", "x-api-key", "x-goog-api-key")


_NOBODY: tuple[str, Identity | None] = ("", None)


class InvalidHostError(RequestError):
    """The request has several headers `Host`, or one that is no host.

    Two servers on its way could read it as two different requests. Source: RFC 9112,
    section 3.2.
    """

    code = "invalid_host"
    recovery = "Send one header `Host`, with a name and perhaps a port."

    def __init__(self) -> None:
        super().__init__("Send exactly one header `Host` that names a host.")


def check_host(headers: Headers) -> None:
    """Raise InvalidHostError unless there is one valid `Host`, or none (HTTP/1.0)."""
    hosts = headers.getlist("host")
    if len(hosts) > 1 or not all(map(HOST.fullmatch, hosts)):
        raise InvalidHostError


class Authenticator:
    """Tells who a request comes from, or refuses it."""

    def __init__(
        self,
        keys: Mapping[str, str],
        grants: Mapping[str, Grant] | None = None,
        *,
        origins: Collection[str] = (),
        hosts: Collection[str] = (),
    ) -> None:
        """`keys`: name to SHA-256 of the key, in hex; `grants` by the same names.

        Without keys, pages of `origins` may use the service, and `Host` may be one of
        `hosts` as well as a name of this machine.
        """
        self._origins = frozenset(origins)
        self._hosts = LOCAL_NAMES | frozenset(hosts)
        scopes = {name: grant.scopes for name, grant in (grants or {}).items()}
        self._known: Mapping[str, tuple[str, Identity | None]] = {
            digest[:INDEX]: (
                digest,
                Identity(key_subject(name), name, scopes.get(name)),
            )
            for name, digest in keys.items()
        }

    def identify(self, headers: Mapping[str, str], peer: str | None) -> Identity:
        """The caller. Raises InvalidAPIKeyError or PermissionDeniedError."""
        if not self._known:
            return self._local(headers, peer)
        scheme, _, token = headers.get("authorization", "").partition(" ")
        token = token.strip(" \t")  # what else looks like a space here is a byte of it
        if scheme.lower() != "bearer" or not 0 < len(token) <= MAX_KEY_LENGTH:
            for name in OTHER_KEY_HEADERS:
                if name in headers:
                    raise InvalidAPIKeyError(
                        f"Send the API key as `Authorization: Bearer <key>`, "
                        f"not as `{name}`."
                    )
            raise InvalidAPIKeyError("Send an API key: `Authorization: Bearer <key>`.")
        digest = hashlib.sha256(token.encode("latin-1")).hexdigest()
        # By a part, so that a thousand keys cost what one does; then as a whole.
        known, identity = self._known.get(digest[:INDEX], _NOBODY)
        if identity is None or not hmac.compare_digest(known, digest):
            raise InvalidAPIKeyError("The API key is not one this service knows.")
        return identity

    def _local(self, headers: Mapping[str, str], peer: str | None) -> Identity:
        """Without keys: only this machine, and no web page from elsewhere."""
        if _is_address(peer) and not ipaddress.ip_address(peer or "").is_loopback:
            raise PermissionDeniedError(
                "Without configured API keys only this machine is served."
            )
        host = headers.get("host", "")
        # A test client has a name in place of an address. A Unix socket has neither,
        # and what is in front of it may serve a network.
        if (peer is None or _is_address(peer)) and host_name(host) not in self._hosts:
            raise HostNotAllowedError
        origin = headers.get("origin")
        if origin is not None and not self._may_use(origin.lower(), host.lower()):
            raise OriginNotAllowedError
        return Identity(f"peer:{peer or 'unix'}")

    def _may_use(self, origin: str, host: str) -> bool:
        """Whether pages of `origin` may use this service, which was asked as `host`."""
        return origin in self._origins or is_same_origin(origin, host)


def host_name(host: str) -> str:
    """The name in a header `Host`, in lower case and without a port."""
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    return name.lower()


def is_same_origin(origin: str, host: str) -> bool:
    """Whether a page of `origin` came from `host`. Both are in lower case.

    The scheme is not compared: a proxy that ends TLS hides it from us. `null`, which
    pages without an origin send, is nobody's.
    """
    scheme, _, authority = origin.partition("://")
    port = DEFAULT_PORTS.get(scheme)
    if port is None:
        return False
    return authority.removesuffix(port) == host.removesuffix(port)


class AuthenticationMiddleware:
    """Pure ASGI: every path needs a caller, but the listed public ones."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator) -> None:
        self.app = app
        self.authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Put `identity` into the scope's state, or answer 401 or 403."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        client = scope.get("client")
        headers = Headers(scope=scope)
        try:
            check_host(headers)
            state["identity"] = identity = self.authenticator.identify(
                headers, client[0] if client else None
            )
            check_scope(identity, route_path(scope))
        except AIError as error:
            if not is_public(scope["path"]) or not isinstance(
                error, InvalidAPIKeyError
            ):
                refusal = render(error, state["request_id"])
                await refusal(scope, receive, send)
                return
        await self.app(scope, receive, send)


def is_public(path: str) -> bool:
    """Whether `path` is answered without an API key."""
    return path in PUBLIC_PATHS or path.startswith(PUBLIC_PREFIXES)


def route_path(scope: Scope) -> str:
    """The path that routes are compared with: without what a proxy put before it."""
    root = scope.get("root_path", "")
    path = str(scope["path"])
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


def needed_scope(path: str) -> KeyScope | None:
    """The scope that `path` needs; None: any key will do."""
    for prefix, scope in SCOPES.items():
        if path == prefix or path.startswith(f"{prefix}/"):
            return scope
    return None


def check_scope(identity: Identity, path: str) -> None:
    """Raise PermissionDeniedError where the caller's key lacks the scope of `path`."""
    scope = needed_scope(path)
    if scope and identity.scopes is not None and scope not in identity.scopes:
        raise PermissionDeniedError(f"This needs an API key with the scope `{scope}`.")


def _is_address(peer: str | None) -> bool:
    """Whether the peer is a network address (not a Unix socket or a test client)."""
    try:
        ipaddress.ip_address(peer or "")
    except ValueError:
        return False
    return True
