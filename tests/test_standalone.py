"""Each section runs alone: copied into an empty folder, in every way it says it can."""

import shutil
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from tests.servers import ROOT, free_port, process, wait_for_http

SECTIONS = sorted((ROOT / "examples").glob("s[0-9]_*.py"))
RUN_AS_SCRIPT = """
import runpy, sys, uvicorn
run = uvicorn.run
uvicorn.run = lambda app, **given: run(app, **{**given, "port": int(sys.argv[1])})
runpy.run_path(sys.argv[2], run_name="__main__")
"""


def command(way: str, section: Path, port: int) -> list[str]:
    """What starts `section`; as a script its port 8000 is replaced by a free one."""
    match way:
        case "script":
            return ["-c", RUN_AS_SCRIPT, str(port), section.name]
        case "uvicorn":
            return ["-m", "uvicorn", f"{section.stem}:app", "--port", str(port)]
    more = ["--port", str(port), "--no-reload"]
    return ["-m", "fastapi", "dev", section.name, *more]


@pytest.mark.parametrize(
    ("way", "sections"),
    [
        ("script", SECTIONS),
        # All it does is find `app`,
        pytest.param("fastapi dev", SECTIONS[2:3], marks=pytest.mark.deep),
        # and this is what every way ends in.
        pytest.param("uvicorn", SECTIONS[3:4], marks=pytest.mark.deep),
    ],
)
def test_every_section_serves_its_documentation_from_an_empty_folder(
    way: str, sections: list[Path], tmp_path: Path
) -> None:
    ports = {section: free_port() for section in sections}
    with ExitStack() as started:
        for section, port in ports.items():
            folder = tmp_path / section.stem
            folder.mkdir()
            shutil.copy(section, folder)
            env = {"PYTHONPATH": "", "PYTHONSAFEPATH": "", "REDIS_URL": ""}
            started.enter_context(
                process(*command(way, section, port), env=env, cwd=folder)
            )
        for port in ports.values():
            url = f"http://127.0.0.1:{port}/openapi.json"
            wait_for_http(url, seconds=40)
            assert httpx2.get(url).json()["paths"]
