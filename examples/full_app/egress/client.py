"""Calls to addresses that users name, kept away from everything that is not public.

Whoever names a callback URL could aim this service at its own network: a cloud's
metadata service, Redis, a printer (server-side request forgery, CWE-918). Checking
the URL is not enough: a name resolves to anything, and a moment later to something
else. So the check sits where the socket is opened: resolve once, check every address,
dial the checked address. TLS still proves the name.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpcore2
import httpx2

from examples.full_app.egress.rules import (
    EgressPolicy,
    ForbiddenTargetError,
    check_url,
    is_local,
    is_loopback,
    is_public,
)
from examples.full_app.tls import trusted

__all__ = [
    "EgressPolicy",
    "ForbiddenTargetError",
    "Resolver",
    "check_url",
    "guarded_client",
    "system_resolver",
]

Resolver = Callable[[str, int], Awaitable[list[str]]]
HEADERS = {"User-Agent": "full-app-webhooks/1", "Accept-Encoding": "identity"}


async def system_resolver(host: str, port: int) -> list[str]:
    """Every address the system's resolver gives for `host`. Raises OSError."""
    loop = asyncio.get_running_loop()
    infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(info[4][0]) for info in infos]


def guarded_client(
    policy: EgressPolicy,
    *,
    timeout: float = 10.0,
    resolve: Resolver = system_resolver,
    dialler: httpcore2.AsyncNetworkBackend | None = None,
) -> httpx2.AsyncClient:
    """A client that calls only what `policy` allows, else raises ForbiddenTargetError.

    It follows no redirects, uses no proxies, keeps no cookies (endpoints of different
    owners share it) and reads nothing from the environment. `timeout` bounds each
    step, not the whole: wrap a call in `asyncio.timeout` and cap what you read.
    """
    backend = GuardedBackend(policy, resolve, dialler or httpcore2.AnyIOBackend())
    return httpx2.AsyncClient(
        transport=GuardedTransport(policy, backend),
        trust_env=False,
        follow_redirects=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        headers=HEADERS,
        timeout=timeout,
    )


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Opens connections, and only to addresses it has checked itself."""

    def __init__(
        self,
        policy: EgressPolicy,
        resolve: Resolver,
        dialler: httpcore2.AsyncNetworkBackend,
    ) -> None:
        self._policy = policy
        self._resolve = resolve
        self._dialler = dialler

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore2's interface
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Dial the addresses of `host` in turn, if every one of them is allowed."""
        failure: Exception = httpcore2.ConnectError("the host has no address")
        for address in await self._checked_addresses(host, port, timeout):
            try:
                return await self._dialler.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure

    async def _checked_addresses(
        self, host: str, port: int, seconds: float | None
    ) -> list[str]:
        try:
            async with asyncio.timeout(seconds):
                addresses = await self._resolve(host, port)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout("the name took too long") from error
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError("the name does not resolve") from error
        local = self._policy.allow_loopback and is_local(host)
        allowed = is_loopback if local else is_public
        # One bad address refuses the name: mixed answers are how a retry is won.
        if not all(map(allowed, addresses)):
            raise ForbiddenTargetError(
                "The URL's host has an address that is not public.", param="url"
            )
        return addresses

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore2's interface
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Never."""
        raise ForbiddenTargetError("Sockets of this machine are not called.")

    async def sleep(self, seconds: float) -> None:
        """Part of the interface."""
        await self._dialler.sleep(seconds)


class GuardedTransport(httpx2.AsyncBaseTransport):
    """httpcore2's connection pool on a guarded backend.

    httpx2's own transport has no public place for a backend; reaching into a private
    attribute would open the guard without a sound on the day it is renamed.
    """

    def __init__(self, policy: EgressPolicy, backend: GuardedBackend) -> None:
        self._policy = policy
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=trusted(),
            max_connections=100,
            max_keepalive_connections=20,
            keepalive_expiry=5.0,
            network_backend=backend,
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Check the URL, then send. A redirect, if followed, comes through here too."""
        check_url(request.url, self._policy)
        url = httpcore2.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        outgoing = httpcore2.Request(
            request.method,
            url,
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _as_httpx2_errors():
            answer = await self._pool.handle_async_request(outgoing)
        return httpx2.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(answer),
            extensions=answer.extensions,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()


class _Body(httpx2.AsyncByteStream):
    """The response body as it comes in; errors in httpx2's terms."""

    def __init__(self, answer: httpcore2.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx2_errors():
            async for chunk in self._answer.aiter_stream():
                yield chunk

    async def aclose(self) -> None:
        await self._answer.aclose()


@contextmanager
def _as_httpx2_errors() -> Iterator[None]:
    """httpcore2's errors have namesakes in httpx2."""
    try:
        yield
    except (
        httpcore2.TimeoutException,
        httpcore2.NetworkError,
        httpcore2.ProtocolError,
    ) as error:
        namesake: Any = getattr(httpx2, type(error).__name__)
        raise namesake(str(error)) from error
