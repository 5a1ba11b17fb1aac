"""The inbox of the page at `/` is there on a developer's machine only."""

import httpx2
import pytest

from examples.full_app.main import create_app
from tests.full_app.conftest import KEY, settings
from tests.servers import serve


@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        ({"api_keys": "", "allow_loopback_webhooks": None}, 200, True),
        ({}, 404, True),  # with keys, and told to
        ({"allow_loopback_webhooks": None}, 404, False),  # with keys
        ({"api_keys": "", "allow_loopback_webhooks": False}, 404, False),
    ],
)
def test_the_inbox_is_served_only_embedded_without_keys(
    given: dict[str, object],
    status: int,
    said: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Also, a service whose webhooks may reach this machine says so at its start."""
    headers = {"Authorization": f"Bearer {KEY}"}
    with serve(create_app(settings(**given))) as url:
        about = httpx2.get(f"{url}/console/about", timeout=30).json()
        inbox = httpx2.get(f"{url}/inbox", headers=headers, timeout=30)
        assert inbox.status_code == status

    assert about["inbox"] is (status == 200)
    assert ("webhooks may go to this machine" in caplog.text) is said
