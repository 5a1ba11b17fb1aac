"""Peers that send or read too slowly lose their connection.

asyncio tells every protocol when its connection is made, when its peer reads too slowly
(`pause_writing`) and when the peer has caught up (`resume_writing`). Timers begin and
end there.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from examples.full_app.web.connection.refusals import SlowHeadError, refusal
from examples.full_app.web.connection.transport import TRANSPORT
from examples.s5_error_handling import AIError

HEAD_SECONDS = 15.0  # where the application has no settings
READER_SECONDS = 20.0
LINGER_SECONDS = 1.0


class LimitedConnection(asyncio.Protocol):
    """A connection that is closed when its peer sends or reads too slowly.

    It stands before a protocol of uvicorn among the bases of a class. `settings` of the
    application say how long a peer may take.

    - If no complete head arrives in time, the connection is closed, with 408 if a part
      of one has arrived. So it is if a body goes on after its answer.
    - If the peer does not read, the connection is cut. Then the application sees that
      the client has left, and gives back what the answer holds.
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
        """Tell the application which connection it is, and expect the first head."""
        self.app_state = {**self.app_state, TRANSPORT: transport}
        super().connection_made(transport)
        self.expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop watching."""
        self.stop_timers()
        super().connection_lost(exc)

    # --- Slow senders ---

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

    # --- Slow readers ---

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
