"""What is made once in a run of the tests, whatever the number of workers."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers import wait_until


def once_a_run(
    factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]
) -> Path:
    """The folder `name`, which `make` fills in one of the workers; the others wait.

    The folder does not exist when `make` gets it. All workers read it, so no test may
    write there. Fails in every worker if `make` fails.
    """
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
            seconds=280,
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
