"""What uvicorn's parsers do with some requests, done in our way.

    uvicorn --http examples.full_app.web.connection.protocol:FastProtocol ...

`--http` takes a class as well as a name (https://www.uvicorn.org/settings/). With this
one a connection has limits, as `timeouts.py` says, and beyond that

- A request that offers another protocol (`Upgrade: h2c`, as curl's `--http2` and Java's
  HttpClient send it) keeps its body. The fast parser takes what follows the head for
  the other protocol. RFC 9110, section 7.8, lets a server ignore the offer, and h11
  does. So the connection is handed to uvicorn's h11, as uvicorn hands over a WebSocket.
- Bytes that are no HTTP, such as a method that is no token, never reach an application.
  They are answered with the one error body, in place of plain text.
- A head of more than 64 KiB or 100 headers is answered with 431 (RFC 6585, section 5)
  before anything of it is kept, because it is read before anybody can ask for a key.

A service that is started without the class works, and logs a warning.
"""

import re

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from examples.full_app.web.connection.refusals import (
    MAX_HEAD,
    MAX_HEADERS,
    HeadTooLargeError,
    InvalidHTTPError,
    refusal,
)
from examples.full_app.web.connection.timeouts import LimitedConnection

END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
OTHER_PROTOCOL = re.compile(rb"\nupgrade:[ \t]*(?!websocket|[ \t])", re.IGNORECASE)


class TooManyHeaders(ValueError):
    """Tells the parser to stop."""


class PlainProtocol(LimitedConnection, H11Protocol):
    """uvicorn's h11, which ignores the offer of another protocol.

    h11 limits the head itself (`h11_max_incomplete_event_size`).
    """

    def data_received(self, data: bytes) -> None:
        """Pass the bytes on."""
        self.has_received = True
        super().data_received(data)
        self.after_data()

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are no HTTP; `msg` is uvicorn's description of them."""
        self.transport.write(refusal(InvalidHTTPError()))
        self.transport.close()


class FastProtocol(LimitedConnection, HttpToolsProtocol):
    """uvicorn's httptools, which leaves offers of another protocol to `PlainProtocol`.

    The head of a request is collected here, and parsed when it is complete. What comes
    while a request runs and is not its body waits until that is answered.
    """

    head = b""
    in_body = False

    def data_received(self, data: bytes) -> None:
        """Collect a head, or pass the bytes on to the parser that reads all of them."""
        if self.refused:
            return
        self.has_received = True
        if self.in_body:
            super().data_received(data)
        elif self.runs_a_request:
            self.hold(data)
        elif self.head or data:
            self.read_head(self.head + data)
        self.after_data()

    def hold(self, data: bytes) -> None:
        """Keep the next head until the request that runs is answered.

        Of a peer that sends more, no further request is answered.
        """
        self.head += data
        if len(self.head) > MAX_HEAD:
            self.head = b""
            self.cycle.keep_alive = False

    def read_head(self, head: bytes) -> None:
        """Parse a head that is complete, and wait for the rest of one that is not."""
        self.head = b""
        end = END_OF_HEAD.search(head)
        if (end.start() if end else len(head)) > MAX_HEAD:
            self.refuse(HeadTooLargeError())
        elif end is None:
            self.head = head
        elif OTHER_PROTOCOL.search(head, 0, end.start()):
            self.hand_over(head)
        else:
            super().data_received(head)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Raise TooManyHeaders, which ends the parsing, for one header too many."""
        if len(self.headers) >= MAX_HEADERS:
            raise TooManyHeaders
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The body begins."""
        super().on_headers_complete()
        self.in_body = True

    def on_message_complete(self) -> None:
        """The body has ended, perhaps after its request was answered."""
        super().on_message_complete()
        self.in_body = False

    def on_response_complete(self) -> None:
        """Read the head that waited for this answer."""
        super().on_response_complete()
        if self.head and not self.transport.is_closing():
            self.loop.call_soon(self.data_received, b"")

    def hand_over(self, data: bytes) -> None:
        """Let h11 serve this connection from here on; it begins with `data`."""
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        self.stop_timers()
        self.connections.discard(self)
        protocol = PlainProtocol(
            self.config, self.server_state, self.app_state, self.loop
        )
        protocol.connection_made(self.transport)
        self.transport.set_protocol(protocol)
        protocol.data_received(data)

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are no HTTP; `msg` is uvicorn's description of them."""
        if len(self.headers or ()) >= MAX_HEADERS:
            self.refuse(HeadTooLargeError())
            return
        self.transport.write(refusal(InvalidHTTPError()))
        self.transport.close()
