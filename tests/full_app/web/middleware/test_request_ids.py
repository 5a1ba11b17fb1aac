"""Ids: unguessable, never twice, and the caller's own where it has one."""

import os
import sys
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from examples.full_app import ids
from examples.full_app.main import create_app
from tests.full_app.conftest import settings


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(create_app(settings())) as client:
        yield client


def test_no_id_comes_twice_and_few_ask_the_system(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    urandom = os.urandom

    def counted(size: int) -> bytes:
        asked.append(size)
        return urandom(size)

    monkeypatch.setattr(os, "urandom", counted)
    found = [ids.random_hex() for _ in range(1000)]

    assert len(set(found)) == 1000
    assert all(len(bytes.fromhex(each)) == 16 for each in found)
    assert 3 <= len(asked) <= 4
    assert sum(asked) >= 16 * (1000 - ids.PAGE_BYTES // 16)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_both_sides_of_a_fork_have_ids_of_their_own() -> None:
    ids.random_hex()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, ids.random_hex().encode("ascii"))
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(read, 32).decode("ascii")
    os.close(read)
    os.close(write)

    assert theirs not in {ids.random_hex() for _ in range(ids.PAGE_BYTES // 16)}


@pytest.mark.parametrize("told", ["mine-1", "x" * 64])
def test_the_callers_id_is_kept(client: TestClient, told: str) -> None:
    answer = client.get("/health/live", headers={"X-Request-ID": told})

    assert answer.headers["x-request-id"] == told


def test_requests_without_an_id_or_with_a_bad_one_get_one(client: TestClient) -> None:
    given = [client.get("/health/live", headers=headers) for headers in ({}, {}, BAD)]
    found = {answer.headers["x-request-id"] for answer in given}

    assert len(found) == 3
    assert all(len(each) == 36 and each.startswith("req_") for each in found)


BAD = {"X-Request-ID": "not an id"}
