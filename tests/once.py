"""What is made once in a run of the tests, whatever the number of workers."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import httpx2
import pytest

from course.groups import satisfied
from course.site import build
from tests.servers import process, wait_until

_made: dict[str, Path] = {}  # in this process


def once_a_run(
    factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]
) -> Path:
    """The folder `name`, which `make` fills in one of the workers; the others wait.

    The folder does not exist when `make` gets it. All workers read it, so no test may
    write there. Fails in every worker if `make` fails.
    """
    if name not in _made:
        _made[name] = _shared(factory, name, make)
    return _made[name]


def _shared(
    factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]
) -> Path:
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if run is None:
        folder = factory.mktemp("once") / name
        make(folder)
        return folder
    home = factory.getbasetemp().parent / f"once-{run}-{name}"
    folder, made, failed = home / name, home / "made", home / "failed"
    try:
        home.mkdir()
    except FileExistsError:
        wait_until(
            lambda: made.exists() or failed.exists(),
            seconds=500,
            what=f"{name}, of another worker",
        )
        if failed.exists():
            pytest.fail(f"another worker failed to make {name}")
        return folder
    try:
        make(folder)
    except BaseException:
        failed.touch()
        raise
    made.touch()
    return folder


def served_site(factory: pytest.TempPathFactory) -> Path:
    """A folder with the site in `site`, made by `course docs`.

    What the command answered at the address that it printed is in `answer.json`: its
    `status` and its `type`. Skips without the group docs; with COURSE_REQUIRE_DOCS
    (CI) it fails.
    """
    if not satisfied("docs"):
        assert not os.environ.get("COURSE_REQUIRE_DOCS"), "the docs group is missing"
        pytest.skip("needs `python3 -m course setup docs`")
    return once_a_run(factory, "served", _serve_site)


def _serve_site(folder: Path) -> None:
    with process("-m", "course", "docs", "--port", "0") as serving:
        assert serving.stdout is not None
        printed: list[str] = []
        address = None
        while address is None:
            line = serving.stdout.readline().decode()
            assert line, "\n".join(printed)
            printed.append(line)
            address = re.search(r"http://\S+", line)
        page = httpx2.get(address[0], trust_env=False, timeout=30)
    copytree(build.SITE, folder / "site")
    answer = {"status": page.status_code, "type": page.headers["content-type"]}
    (folder / "answer.json").write_text(json.dumps(answer), encoding="utf-8")
