"""What uvicorn's fast parser does with two kinds of requests, done in our way.

- A request that offers another protocol (`Upgrade: h2c`, as curl's `--http2` and Java's
  HttpClient send it) loses its body: the parser takes what follows the head for the
  other protocol. RFC 9110, section 7.8, lets a server ignore the offer, and h11 does.
  So the connection is handed to uvicorn's h11, as uvicorn hands over a WebSocket.
- Bytes that are no HTTP, such as a method that is no token, never reach an application.
  They are answered with the one error body, in place of plain text.

uvicorn takes a protocol class as the option `http` of its `Config`, but its command
line does not. So the class is put there when the application is started: in the ASGI
lifespan, before the first connection. With another server nothing happens.
"""

import re
from typing import Protocol

import uvicorn
from starlette.types import Receive
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import (
    HttpToolsProtocol,
    RequestResponseCycle,
)

from examples.full_app.errors import RequestError
from examples.full_app.web.error_responses import render
from examples.s5_error_handling import new_request_id

MAX_HEAD = 64 * 1024  # bytes that are looked at before a request is parsed
END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
OTHER_PROTOCOL = re.compile(rb"\nupgrade:[ \t]*(?!websocket|[ \t])", re.IGNORECASE)


class InvalidHTTPError(RequestError):
    """The bytes are no HTTP request (RFC 9112)."""

    code = "invalid_http"
    recovery = "Send an HTTP/1.1 request; look at its first line and its headers."


class WritesTransport(Protocol):
    """What is asked of the transport under a protocol."""

    def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...


def refuse(transport: WritesTransport) -> None:
    """Answer bytes that are no HTTP, and close the connection."""
    error = InvalidHTTPError("This is no valid HTTP request.")
    answer = render(error, new_request_id())
    answer.headers["Connection"] = "close"
    head = b"".join(b"%s: %s\r\n" % header for header in answer.raw_headers)
    transport.write(b"HTTP/1.1 400 Bad Request\r\n" + head + b"\r\n" + answer.body)
    transport.close()


class PlainProtocol(H11Protocol):
    """uvicorn's h11, which ignores the offer of another protocol."""

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are no HTTP; `msg` is uvicorn's description of them."""
        refuse(self.transport)


class FastProtocol(HttpToolsProtocol):
    """uvicorn's httptools, which leaves offers of another protocol to `PlainProtocol`.

    The head of a request is looked at as a whole, before it is parsed.
    """

    head = b""

    def data_received(self, data: bytes) -> None:
        """Pass the bytes on to the parser that reads all of them."""
        cycle: RequestResponseCycle | None = self.cycle  # None before the first one
        if cycle is not None and (not cycle.response_complete or cycle.more_body):
            super().data_received(data)  # it belongs to the request that runs
            return
        head = self.head + data
        if END_OF_HEAD.search(head) is None and len(head) < MAX_HEAD:
            self.head = head
            return
        self.head = b""
        end = END_OF_HEAD.search(head)
        if OTHER_PROTOCOL.search(head, 0, end.start() if end else MAX_HEAD):
            self.hand_over(head)
        else:
            super().data_received(head)

    def hand_over(self, data: bytes) -> None:
        """Let h11 serve this connection from here on; it begins with `data`."""
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        self.connections.discard(self)
        protocol = PlainProtocol(
            self.config, self.server_state, self.app_state, self.loop
        )
        protocol.connection_made(self.transport)
        self.transport.set_protocol(protocol)
        protocol.data_received(data)

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are no HTTP; `msg` is uvicorn's description of them."""
        refuse(self.transport)


def use_our_protocol(receive: Receive) -> None:
    """Have the server behind a lifespan's `receive` use `FastProtocol`, if it can.

    Only uvicorn with its default parser is changed.
    """
    config = getattr(getattr(receive, "__self__", None), "config", None)
    if not isinstance(config, uvicorn.Config):
        return
    if config.http_protocol_class is HttpToolsProtocol:
        config.http_protocol_class = FastProtocol
