"""Who is calling: API keys, and a door that is shut unless a path is listed as public.

Keys are kept as SHA-256 digests; a presented key is looked up by its digest, so the
time a refusal takes says nothing about any key. Without configured keys only this
machine is served. `X-User-ID` labels a call, it never authenticates.
Source: RFC 6750 (bearer tokens).
"""

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from examples.full_app.errors import (
    InvalidAPIKeyError,
    PermissionDeniedError,
    render_error,
)
from examples.s5_error_handling import AIError

PUBLIC_PATHS = frozenset(
    {"/", "/docs", "/redoc", "/openapi.json", "/health/live", "/health/ready"}
)
PUBLIC_PREFIXES = ("/static-offline-docs/", "/console/")
MAX_KEY_LENGTH = 512
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(frozen=True, slots=True)
class APIKey:
    """A configured key: its name in logs and its digest, never the key."""

    name: str
    digest: bytes

    @classmethod
    def parse(cls, entry: str, position: int) -> "APIKey":
        """From `key`, `name:key` or `name:sha256:<64 hex digits>`."""
        name, _, secret = entry.rpartition(":")
        if name.endswith(":sha256"):
            return cls(name.removesuffix(":sha256"), bytes.fromhex(secret))
        return cls(name or f"key{position}", _digest(secret))


@dataclass(frozen=True, slots=True)
class Identity:
    """The caller: `subject` is what limits, budgets and jobs belong to."""

    subject: str
    key_name: str | None = None


def parse_keys(configured: SecretStr | None) -> tuple[APIKey, ...]:
    """The keys of `FULL_APP_API_KEYS`, a comma-separated list."""
    text = configured.get_secret_value() if configured else ""
    entries = (entry.strip() for entry in text.split(","))
    return tuple(
        APIKey.parse(entry, position)
        for position, entry in enumerate(filter(None, entries), 1)
    )


class Authenticator:
    """Tells who a request comes from, or refuses it."""

    def __init__(self, keys: Iterable[APIKey]) -> None:
        self._keys = {key.digest: key for key in keys}

    def identify(self, headers: Headers, peer: str | None) -> Identity:
        """The caller. Raises InvalidAPIKeyError or PermissionDeniedError."""
        if not self._keys:
            return self._local(headers, peer)
        scheme, _, token = headers.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not 0 < len(token) <= MAX_KEY_LENGTH:
            raise InvalidAPIKeyError("Send an API key: `Authorization: Bearer <key>`.")
        digest = _digest(token)
        key = self._keys.get(digest)
        if key is None or not hmac.compare_digest(key.digest, digest):
            raise InvalidAPIKeyError("The API key is not one this service knows.")
        return Identity(f"key:{key.name}", key.name)

    def _local(self, headers: Headers, peer: str | None) -> Identity:
        """Without keys: only this machine, and no web page that was rebound to it."""
        if _is_address(peer):
            if not ipaddress.ip_address(peer or "").is_loopback:
                raise PermissionDeniedError(
                    "Without configured API keys only this machine is served."
                )
            host = headers.get("host", "")
            name = host if host.endswith("]") else host.rpartition(":")[0] or host
            if name.lower() not in _LOCAL_NAMES:
                raise PermissionDeniedError(
                    "Without configured API keys the host must be localhost."
                )
        return Identity(f"peer:{peer or 'unix'}")


class AuthenticationMiddleware:
    """Pure ASGI: every path needs a caller, but the listed public ones."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator) -> None:
        self.app = app
        self.authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Put `identity` into the scope's state, or answer 401 or 403."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        state = scope.setdefault("state", {})
        client = scope.get("client")
        try:
            state["identity"] = self.authenticator.identify(
                Headers(scope=scope), client[0] if client else None
            )
        except AIError as error:
            if not is_public(scope["path"]) or isinstance(error, PermissionDeniedError):
                refusal = render_error(error, state["request_id"])
                return await refusal(scope, receive, send)
        await self.app(scope, receive, send)


def is_public(path: str) -> bool:
    """Whether `path` is answered without an API key."""
    return path in PUBLIC_PATHS or path.startswith(PUBLIC_PREFIXES)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def _is_address(peer: str | None) -> bool:
    """Whether the peer is a network address (not a Unix socket or a test client)."""
    try:
        ipaddress.ip_address(peer or "")
    except ValueError:
        return False
    return True
