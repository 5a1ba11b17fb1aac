"""One built site for all its tests, and a server of it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from course.groups import satisfied
from course.site import build
from tests.servers import serve_files, wait_until


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site, once a run, whatever the number of workers."""
    if not satisfied("docs"):
        assert not os.environ.get("COURSE_REQUIRE_DOCS"), "the docs group is missing"
        pytest.skip("needs `python3 -m course setup docs`")
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if run is None:
        target = tmp_path_factory.mktemp("site")
        build.build(target)
        return target
    target = tmp_path_factory.getbasetemp().parent / f"site-{run}"
    built = target.with_suffix(".built")
    try:
        target.mkdir()  # one of the workers builds it, the others wait
    except FileExistsError:
        wait_until(built.exists, seconds=280, what="the build of another worker")
    else:
        build.build(target)
        built.touch()
    return target


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    """Where it is served on loopback."""
    with serve_files(site) as url:
        yield f"{url}/"
