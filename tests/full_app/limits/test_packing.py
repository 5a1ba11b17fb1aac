"""Commands are packed in C, and say what redis-py's own packing says."""

import pytest
from redis.asyncio import BlockingConnectionPool, Connection, Redis
from redis.exceptions import DataError, ResponseError
from redis.typing import EncodableT

from examples.full_app.limits.packing import (
    PackedConnection,
    PackedSSLConnection,
    pack_with_hiredis,
    packed,
)


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("GET", "a key"), id="text"),
        pytest.param((b"SET", b"\x00\r\n", "é\u2028"), id="bytes and unicode"),
        pytest.param(("EVALSHA", "0" * 40, 2, "a", "b", -1), id="numbers"),
        pytest.param(("INCRBYFLOAT", "a", 0.1), id="a float"),
        pytest.param(("SCRIPT LOAD", "return 1"), id="a command of two words"),
        pytest.param(("SET", "large", "x" * 100_000), id="a large value"),
    ],
)
def test_a_command_is_written_as_redis_py_writes_it(
    command: tuple[EncodableT, ...],
) -> None:
    assert b"".join(packed(*command)) == b"".join(Connection().pack_command(*command))


@pytest.mark.parametrize("word", [None, [], object()], ids=["None", "list", "object"])
def test_what_is_no_word_is_a_data_error(word: object) -> None:
    with pytest.raises(DataError):
        packed("SET", "key", word)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        pytest.param("redis://127.0.0.1:1", PackedConnection, id="TCP"),
        pytest.param("rediss://127.0.0.1:1", PackedSSLConnection, id="TLS"),
    ],
)
def test_the_connections_of_a_pool_pack_in_c(url: str, kind: type[Connection]) -> None:
    pool = BlockingConnectionPool.from_url(url)
    pack_with_hiredis(pool)

    assert pool.connection_class is kind


async def test_a_redis_understands_what_is_packed(redis_server: str) -> None:
    async with Redis.from_url(f"{redis_server}/9", decode_responses=True) as redis:
        pack_with_hiredis(redis.connection_pool)
        await redis.set("a", "é", ex=60)
        assert await redis.get("a") == "é"
        pipeline = redis.pipeline(transaction=False)
        pipeline.eval("return {KEYS[1], ARGV[1]}", 1, "key", "1.5")
        pipeline.execute_command("NONSENSE")
        first, second = await pipeline.execute(raise_on_error=False)
        assert first == ["key", "1.5"]
        assert isinstance(second, ResponseError)
