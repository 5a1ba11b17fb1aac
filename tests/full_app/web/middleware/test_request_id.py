"""Every answer carries a request id: the caller's own, if it sent a good one."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from examples.full_app.main import create_app
from tests.full_app.conftest import settings

BAD = {"X-Request-ID": "not an id"}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(create_app(settings())) as client:
        yield client


@pytest.mark.parametrize("request_id", ["mine-1", "x" * 64], ids=["short", "longest"])
def test_the_callers_id_is_kept(client: TestClient, request_id: str) -> None:
    answer = client.get("/health/live", headers={"X-Request-ID": request_id})

    assert answer.headers["x-request-id"] == request_id


def test_requests_without_an_id_or_with_a_bad_one_get_one(client: TestClient) -> None:
    answers = [client.get("/health/live", headers=headers) for headers in ({}, {}, BAD)]
    request_ids = {answer.headers["x-request-id"] for answer in answers}

    assert len(request_ids) == 3
    assert all(len(each) == 36 and each.startswith("req_") for each in request_ids)
