"""One built site for all its tests, and a server of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.once import served_site
from tests.servers import serve_files


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site, once a run, whatever the number of workers."""
    return served_site(tmp_path_factory) / "site"


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    """Where it is served on loopback."""
    with serve_files(site) as url:
        yield f"{url}/"
