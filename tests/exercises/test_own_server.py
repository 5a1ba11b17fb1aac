"""The last exercise: a student's server is served, and judged by `course score`."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI

from course.exercises import source
from course.score import run, server
from course.score.results import Report
from tests.exercises.transcript import clone
from tests.servers import ROOT, free_port, serve, wait_for_http

SOLUTION = source.find("full5").solution


def app_of(file: Path) -> FastAPI:
    """The app of a file that a student has written."""
    spec = importlib.util.spec_from_file_location("own_server", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    app = module.app
    assert isinstance(app, FastAPI)
    return app


async def judged(url: str, *, spend: bool) -> Report:
    async with server.connected(url, key=None, headers={}, patience=30) as it:
        it.model = await run.choose_model(it, None)
        return await run.run(it, spend=spend, check_seconds=45)


@pytest.mark.anyio
@pytest.mark.parametrize(("spend", "held", "asked"), [(False, 19, 23), (True, 29, 47)])
async def test_the_solution_has_the_score_that_the_page_states(
    spend: bool, held: int, asked: int, tmp_path: Path
) -> None:
    file = tmp_path / "full5_server.py"
    file.write_text(SOLUTION, encoding="utf-8")

    with serve(app_of(file)) as url:
        report = await judged(f"{url}/v1", spend=spend)

    assert (report.held, len(report.asked)) == (held, asked)
    page = (ROOT / "docs/full-app/score.md").read_text(encoding="utf-8")
    assert f"{held} of {'the ' if not spend else ''}{asked}" in page


@pytest.mark.deep
def test_course_run_serves_what_a_student_has_written(tmp_path: Path) -> None:
    folder = clone(tmp_path / "clone")
    (folder / "work").mkdir(exist_ok=True)
    (folder / "work" / "full5_server.py").write_text(SOLUTION, encoding="utf-8")
    port = free_port()
    start = (
        "import sys; from course import environment, cli; "
        "environment.ensure = lambda group, arguments: None; "
        f"sys.exit(cli.main(['run', 'full5', '--port', '{port}']))"
    )

    process = subprocess.Popen([sys.executable, "-c", start], cwd=folder)
    try:
        wait_for_http(f"http://127.0.0.1:{port}/v1/models")
        models = httpx2.get(f"http://127.0.0.1:{port}/v1/models").json()
    finally:
        process.terminate()
        process.wait(timeout=20)

    assert [model["id"] for model in models["data"]] == ["parrot-1"]
