"""How the application reaches the connection that a request or a WebSocket came on.

ASGI has no message for "cut this connection". But a server gives each request a copy of
the state that the lifespan has yielded, and our protocol adds the connection's
transport to it. Without our protocol there is none, and the application says so.
"""

import logging
from typing import Protocol

from starlette.types import Scope

log = logging.getLogger(__name__)

TRANSPORT = "transport"  # its key in the state of a request
OPTION = "--http examples.full_app.web.connection.protocol:FastProtocol"


class Transport(Protocol):
    """What is asked of asyncio's transports and uvloop's, which share no class."""

    def is_closing(self) -> bool: ...
    def get_write_buffer_size(self) -> int: ...
    def abort(self) -> None: ...


def transport_of(scope: Scope) -> Transport | None:
    """The transport under a request or a WebSocket; None without our protocol."""
    transport: Transport | None = scope.get("state", {}).get(TRANSPORT)
    return transport


def warn_without_limits(scope: Scope) -> None:
    """Log a warning if the server does not limit its connections as ours does."""
    if transport_of(scope) is None:
        log.warning(
            "connections have no limits of ours: nobody cuts peers that send or read "
            "too slowly; start uvicorn with %s",
            OPTION,
        )
