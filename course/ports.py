"""A port to listen on: the one asked for, or the next free one."""

import errno
import socket

from course.places import CourseError, say

PORTS_TRIED = 50
HIGHEST = 2**16 - 1


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to `port`, or to the next free one; it says so.

    Raises CourseError for an address that is not this machine's or not allowed.
    """
    last = min(port + PORTS_TRIED, 2**16)
    for candidate in range(port, last) if port else [0]:
        listener = bind(host, candidate)
        if listener is None:
            continue
        if candidate != port:
            say(f"Port {port} is taken: using {candidate}")
        return listener
    raise CourseError(f"Ports {port} to {last - 1} are all taken: try another --port.")


def bind(host: str, port: int) -> socket.socket | None:
    """A socket bound to exactly this address; None where another program has it."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CourseError(f"{host!r} is not an address: {error.strerror}.") from error
    exclusive = getattr(socket, "SO_EXCLUSIVEADDRUSE", None)  # Windows
    option = socket.SO_REUSEADDR if exclusive is None else exclusive
    listener.setsockopt(socket.SOL_SOCKET, option, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE or getattr(error, "winerror", 0) == 10013:
            return None
        raise CourseError(
            f"Cannot listen on {host}:{port}: {error.strerror}."
        ) from error
    return listener
