"""Commands for Redis, packed by hiredis.

redis-py reads answers with hiredis, which is written in C, where that is installed. Its
asyncio client packs commands in Python all the same, one word after the other, and a
call of a script has twenty words. These connections have hiredis do that, too.
"""

from typing import Any

import hiredis
from redis.asyncio import Connection, ConnectionPool, SSLConnection
from redis.exceptions import DataError
from redis.typing import EncodableT


def packed(command: EncodableT, *words: EncodableT) -> list[bytes]:
    """The bytes of one command, as RESP writes it.

    A command of two words ("SCRIPT LOAD") may be given as one. Raises DataError for a
    word that is neither text nor bytes nor a number.
    """
    name = command.encode() if isinstance(command, str) else command
    if not isinstance(name, bytes):
        raise DataError(f"not the name of a command: {command!r}")
    line: tuple[Any, ...] = (*name.split(), *words)
    try:
        return [hiredis.pack_command(line)]
    except TypeError as error:
        raise DataError(str(error)) from error


class PackedConnection(Connection):
    """A connection whose commands are packed in C."""

    def pack_command(self, *args: EncodableT) -> list[bytes]:
        """The bytes of one command; see `packed`."""
        return packed(*args)


class PackedSSLConnection(SSLConnection):
    """The same over TLS."""

    def pack_command(self, *args: EncodableT) -> list[bytes]:
        """The bytes of one command; see `packed`."""
        return packed(*args)


def pack_with_hiredis(pool: ConnectionPool) -> None:
    """Have the connections that a pool opens from now on packed in C.

    Unix sockets and the Redis inside this process stay as they are.
    """
    if pool.connection_class is Connection:
        pool.connection_class = PackedConnection
    elif pool.connection_class is SSLConnection:
        pool.connection_class = PackedSSLConnection
