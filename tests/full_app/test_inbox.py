"""The inbox of the page at `/` is there on a developer's machine only."""

import httpx2
import pytest

from examples.full_app.main import create_app
from tests.full_app.conftest import KEY, settings
from tests.servers import serve


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"api_keys": ""}, 200),
        ({}, 404),  # with keys
        ({"api_keys": "", "allow_loopback_webhooks": False}, 404),
    ],
)
def test_the_inbox_is_served_only_embedded_without_keys(
    given: dict[str, object], status: int
) -> None:
    with serve(create_app(settings(**given))) as url:
        headers = {"Authorization": f"Bearer {KEY}"}
        assert httpx2.get(f"{url}/inbox", headers=headers).status_code == status
