"""The server that is judged: an address, and three ways to ask it.

The official `openai` client asks as its users do, `send` asks what that client would
not send, and `exchange` writes the bytes of a request to a socket. All three talk to
the server of the address and to nobody else: they follow no redirect, use no proxy.
"""

import asyncio
import ipaddress
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai

from course.places import UsageError

CHAT = "/chat/completions"
QUESTION = "Say hello in one short sentence."
PORTS = {"http": 80, "https": 443}
HEAD_BYTES = 64 * 1024
NO_KEY = "none"  # the official client wants one, also where the server does not


class Server:
    """A server with the model that is asked, and the clients that ask it.

    `base_url` ends without a slash. `patience` is in seconds: how long one answer may
    take. `headers` go with every request.
    """

    def __init__(
        self,
        base_url: str,
        *,
        key: str | None,
        headers: dict[str, str],
        http: httpx2.AsyncClient,
        patience: float,
    ) -> None:
        self.base_url = base_url
        self.key = key
        self.headers = headers
        self.patience = patience
        self.model = ""
        self.http = http
        with _no_settings_of_another_server():
            self.client = openai.AsyncOpenAI(
                base_url=base_url,
                api_key=key or NO_KEY,
                default_headers=headers,
                max_retries=0,
                timeout=patience,
                http_client=http,
            )

    @property
    def is_local(self) -> bool:
        """Whether the server runs on this machine."""
        host = urlsplit(self.base_url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    def request(self, **changes: Any) -> dict[str, Any]:
        """The body of a chat request that asks for one token, with `changes`.

        Where a server accepts what it ought to refuse, this token is what it costs.
        """
        messages = [{"role": "user", "content": QUESTION}]
        body = {"model": self.model, "messages": messages, "max_tokens": 1}
        return {**body, **changes}

    async def send(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
        with_key: bool = True,
    ) -> httpx2.Response:
        """Send a request to `path` below the base URL, and read the whole answer."""
        return await self.http.request(
            method,
            f"{self.base_url}{path}",
            json=json,
            content=content,
            headers={**self._headers(with_key=with_key), **(headers or {})},
        )

    @asynccontextmanager
    async def streaming(self, path: str, body: Any) -> AsyncIterator[httpx2.Response]:
        """Send `body` as JSON, and yield the answer while its body still arrives."""
        async with self.http.stream(
            "POST",
            f"{self.base_url}{path}",
            json=body,
            headers=self._headers(with_key=True),
        ) as answer:
            yield answer

    @asynccontextmanager
    async def socket(
        self,
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection to the server on which nothing was sent yet."""
        parts = urlsplit(self.base_url)
        reader, writer = await asyncio.open_connection(
            parts.hostname,
            parts.port or PORTS[parts.scheme],
            ssl=True if parts.scheme == "https" else None,
        )
        try:
            yield reader, writer
        finally:
            writer.transport.abort()  # a polite goodbye could take for ever

    def head(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        *,
        with_key: bool = True,
    ) -> bytes:
        """The bytes of a request line and its headers, for a socket (RFC 9112)."""
        parts = urlsplit(self.base_url)
        all_headers = {
            "Host": parts.netloc,
            **self._headers(with_key=with_key),
            **(headers or {}),
        }
        lines = [f"{method} {parts.path}{path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in all_headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    async def exchange(self, request: bytes) -> tuple[int, str]:
        """Write the bytes of a request: the status of the answer, and its headers.

        Raises OSError if the server closes the connection without an answer.
        """
        async with self.socket() as (reader, writer):
            writer.write(request)
            await writer.drain()
            return await status_and_headers(reader)

    def _headers(self, *, with_key: bool) -> dict[str, str]:
        if not self.key or not with_key:
            return self.headers
        return {**self.headers, "Authorization": f"Bearer {self.key}"}


async def status_and_headers(reader: asyncio.StreamReader) -> tuple[int, str]:
    """The status and the headers of the answer on a socket.

    Raises OSError if the connection ends before, or if this is no HTTP.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        raise OSError("the server closed the connection without an answer") from None
    except asyncio.LimitOverrunError:
        raise OSError(f"the headers are longer than {HEAD_BYTES} bytes") from None
    status, _, headers = head.decode("latin-1").partition("\r\n")
    words = status.split(" ")
    if len(words) < 2 or not words[1].isdecimal():
        raise OSError(f"this is no HTTP: {status!r}")
    return int(words[1]), headers


@asynccontextmanager
async def connected(
    url: str, *, key: str | None, headers: dict[str, str], patience: float
) -> AsyncIterator[Server]:
    """The server at `url`. Nothing is sent yet."""
    async with httpx2.AsyncClient(
        timeout=patience, follow_redirects=False, trust_env=False
    ) as http:
        yield Server(url, key=key, headers=headers, http=http, patience=patience)


def base_url(text: str) -> str:
    """The base URL that a person means; `/v1` is added to an address without a path.

    Raises UsageError for what is no address of a server.
    """
    parts = urlsplit(text)
    try:
        whole = parts.scheme in PORTS and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, or too large
        whole = False
    if not whole or parts.query or parts.fragment or parts.username:
        raise UsageError(
            f"{text!r} is not the address of a server. "
            "Write it like http://127.0.0.1:8000/v1"
        )
    path = parts.path.rstrip("/") or "/v1"
    return f"{parts.scheme}://{parts.netloc}{path}"


@contextmanager
def _no_settings_of_another_server() -> Iterator[None]:
    """Hide OPENAI_API_KEY, OPENAI_CUSTOM_HEADERS and the like from the official client.

    It would send them along, and they are secrets between their owner and OpenAI.
    """
    names = [name for name in os.environ if name.startswith("OPENAI_")]
    hidden = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(hidden)
