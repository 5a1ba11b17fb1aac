"""What uvicorn's parsers do with some requests and connections, done in our way.

- A request that offers another protocol (`Upgrade: h2c`, as curl's `--http2` and Java's
  HttpClient send it) loses its body: the parser takes what follows the head for the
  other protocol. RFC 9110, section 7.8, lets a server ignore the offer, and h11 does.
  So the connection is handed to uvicorn's h11, as uvicorn hands over a WebSocket.
- Bytes that are no HTTP, such as a method that is no token, never reach an application.
  They are answered with the one error body, in place of plain text.
- A head of more than 64 KiB or 100 headers is answered with 431 (RFC 6585, section 5)
  before anything of it is kept, because it is read before anybody can ask for a key.
- A connection on which no complete head arrives in time is closed, with 408 if a part
  of one has arrived. So is one whose body goes on after the answer.
- A connection whose peer does not read is cut. Then the application sees that the
  client has left, and gives back what the answer holds.

The last two use what asyncio tells every protocol: `connection_made`, `pause_writing`
when a peer reads too slowly, and `resume_writing` when it has caught up.

uvicorn takes a protocol class as the option `http`: `uvicorn --http
examples.full_app.web.http_protocol:FastProtocol`. A service that is started without the
option must not be open to these peers. So the class is put there when the application
is started as well: in the ASGI lifespan, before the first connection. With another
server nothing happens.
"""

import asyncio
import http
import re
from typing import Any

import uvicorn
from starlette.types import Receive
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import (
    HttpToolsProtocol,
    RequestResponseCycle,
)

from examples.full_app.errors import RequestError
from examples.full_app.web.error_responses import render
from examples.s5_error_handling import AIError, CodedError, new_request_id

MAX_HEAD = 64 * 1024  # bytes
MAX_HEADERS = 100
HEAD_SECONDS = 15.0  # where the application has no settings
READER_SECONDS = 20.0
LINGER_SECONDS = 1.0
NO_HTTP = "This is no valid HTTP request."
END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
OTHER_PROTOCOL = re.compile(rb"\nupgrade:[ \t]*(?!websocket|[ \t])", re.IGNORECASE)


class InvalidHTTPError(RequestError):
    """The bytes are no HTTP request (RFC 9112)."""

    code = "invalid_http"
    recovery = "Send an HTTP/1.1 request; look at its first line and its headers."


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


class TooManyHeaders(ValueError):
    """Tells the parser to stop."""


def refusal(error: AIError) -> bytes:
    """The bytes of an answer that refuses a request before an application sees it."""
    answer = render(error, new_request_id())
    answer.headers["Connection"] = "close"
    status = http.HTTPStatus(error.status_code)
    head = b"".join(b"%s: %s\r\n" % header for header in answer.raw_headers)
    line = f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode("ascii")
    return line + head + b"\r\n" + bytes(answer.body)


class LimitedConnection(asyncio.Protocol):
    """A connection that is closed when its peer sends or reads too slowly.

    It stands before a protocol of uvicorn among the bases of a class. `settings` of the
    application say how long a peer may take.
    """

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    app_state: dict[str, Any]
    head_timer: asyncio.TimerHandle | None = None
    reader_timer: asyncio.TimerHandle | None = None
    refused = False
    has_received = False

    @property
    def runs_a_request(self) -> bool:
        """Whether a request was read that is not answered yet."""
        cycle: RequestResponseCycle | None = getattr(self, "cycle", None)
        return cycle is not None and not cycle.response_complete

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Expect the first head."""
        super().connection_made(transport)
        self.expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop watching."""
        self.stop_timers()
        super().connection_lost(exc)

    def expect_head(self) -> None:
        """A head has to be complete in time, or the connection is closed."""
        if self.head_timer is None:
            seconds = self.setting("header_timeout_seconds", HEAD_SECONDS)
            self.head_timer = self.loop.call_later(seconds, self.on_slow_head)

    def after_data(self) -> None:
        """Expect a head, or the rest of one, unless a request runs now."""
        if not self.runs_a_request:
            self.expect_head()
        elif self.head_timer is not None:
            self.head_timer.cancel()
            self.head_timer = None

    def on_slow_head(self) -> None:
        """Close the connection, unless it has become a WebSocket's meanwhile."""
        self.head_timer = None
        if self.transport.get_protocol() is not self or self.runs_a_request:
            return
        if self.has_received and not self.refused:
            self.transport.write(refusal(SlowHeadError()))
        self.transport.close()

    def refuse(self, error: AIError) -> None:
        """Answer with `error`; what the peer still sends is read for a moment, unkept.

        A connection that is closed while its peer sends is reset, and the peer may
        lose the answer. Source: RFC 9112, section 9.6.
        """
        self.refused = True
        self.transport.write(refusal(error))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def pause_writing(self) -> None:
        """The peer has not read enough: it has to catch up in time."""
        super().pause_writing()
        if self.reader_timer is None:
            seconds = self.setting("stream_send_seconds", READER_SECONDS)
            self.reader_timer = self.loop.call_later(seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The peer has caught up."""
        super().resume_writing()
        if self.reader_timer is not None:
            self.reader_timer.cancel()
            self.reader_timer = None

    def stop_timers(self) -> None:
        """Forget what was expected of this connection."""
        for timer in (self.head_timer, self.reader_timer):
            if timer is not None:
                timer.cancel()
        self.head_timer = None
        self.reader_timer = None

    def setting(self, name: str, default: float) -> float:
        """A setting of the application, once its lifespan has begun."""
        seconds: float = getattr(self.app_state.get("settings"), name, default)
        return seconds


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
        self.transport.write(refusal(InvalidHTTPError(NO_HTTP)))
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
        self.transport.write(refusal(InvalidHTTPError(NO_HTTP)))
        self.transport.close()


def use_our_protocol(receive: Receive) -> None:
    """Have the server behind a lifespan's `receive` use our protocols, if it can.

    Only uvicorn with one of its own two parsers is changed.
    """
    config = getattr(getattr(receive, "__self__", None), "config", None)
    if not isinstance(config, uvicorn.Config):
        return
    if config.http_protocol_class is HttpToolsProtocol:
        config.http_protocol_class = FastProtocol
    elif config.http_protocol_class is H11Protocol:
        config.http_protocol_class = PlainProtocol
