"""One built site for all its tests, and a server of it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from course.groups import satisfied
from course.site import build
from tests.once import once_a_run
from tests.servers import serve_files


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site, once a run, whatever the number of workers."""
    if not satisfied("docs"):
        assert not os.environ.get("COURSE_REQUIRE_DOCS"), "the docs group is missing"
        pytest.skip("needs `python3 -m course setup docs`")
    return once_a_run(tmp_path_factory, "site", build.build)


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    """Where it is served on loopback."""
    with serve_files(site) as url:
        yield f"{url}/"
