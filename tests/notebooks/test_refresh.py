"""What a refresh changes, what it leaves alone, and how JupyterLab is started."""

import copy
import json
import os
from pathlib import Path
from typing import Any

import httpx2
import pytest

from course.notebook import lab
from course.notebook.files import NOTEBOOKS, paths, read, write
from course.notebook.merge import merge
from course.notebook.normal import is_setting, normal, summary
from course.notebook.session import Session
from course.notebook.sync import sync
from course.parser import build
from course.places import ROOT

IMAGE = {"image/png": "aGVsbG8=", "text/plain": "a figure: 12 ms."}


FORM = {"nbformat": 4, "nbformat_minor": 5}


def code(name: str, source: str, *outputs: dict[str, Any]) -> dict[str, Any]:
    cell = {"cell_type": "code", "id": name, "execution_count": 1, "metadata": {}}
    return {**cell, "source": source.splitlines(True), "outputs": [*outputs]}


def printed(text: str | list[str]) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": text}


def shown(data: dict[str, str]) -> dict[str, Any]:
    return {"output_type": "execute_result", "data": data, "metadata": {}}


def notebook(*outputs: dict[str, Any]) -> dict[str, Any]:
    cell = {"cell_type": "code", "id": "one", "execution_count": 7, "source": ["1"]}
    return {"cells": [{**cell, "outputs": list(outputs)}]}


@pytest.mark.parametrize(
    ("once", "again"),
    [
        ("took 12.5 ms", "took 1,013 ms"),
        ('"elapsed_ms": 0.17663499966147356', '"elapsed_ms": 3e-05'),
        ("retry-after: 6", "retry-after: 5"),
        ('"req_43edbadf3993a11af727b75d26be3089"', '"req_00000000"'),
        ("/jobs/job_665c77ebca3ff690a5b1c550", "/jobs/job_ac5595c27d1541e60dcd42f9"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:41234/"),
        ('"created": 1795420830', '"created": 1795420999'),
    ],
)
def test_what_differs_from_run_to_run_is_the_same_when_normalised(
    once: str, again: str
) -> None:
    assert normal(once) == normal(again)


@pytest.mark.parametrize(
    ("once", "again"),
    [
        ("HTTP 200 OK", "HTTP 202 OK"),
        ("4 admitted", "5 admitted"),
        ("0.56 of 1", "0.57 of 1"),
        ("job.succeeded", "job.failed"),
        ("12.5 ms", "12.5 tokens"),
    ],
)
def test_what_a_cell_teaches_stays_when_normalised(once: str, again: str) -> None:
    assert normal(once) != normal(again)


def test_an_output_that_says_the_same_is_left_byte_for_byte() -> None:
    old = notebook(shown(IMAGE), printed("done in 3 ms\n"))
    before = copy.deepcopy(old["cells"][0]["outputs"])
    new = {"image/png": "b3RoZXI=", "text/plain": "a figure: 13 ms."}

    assert merge(old, notebook(printed("done in 4 ms\n"), shown(new))) == []
    assert old["cells"][0]["outputs"] == before
    assert old["cells"][0]["execution_count"] == 1


def test_an_output_that_says_something_else_is_taken_over_and_told() -> None:
    old = notebook(printed("four\n"))

    [told] = merge(old, notebook(printed("fi"), printed("ve\n"), shown(IMAGE)))

    assert old["cells"][0]["outputs"][0]["text"] == ["fi"]
    taken = old["cells"][0]["outputs"][2]
    assert taken["data"] == {**IMAGE, "text/plain": [IMAGE["text/plain"]]}
    assert taken["execution_count"] == 1
    assert "cell one" in told
    assert "-four" in told
    assert "+five" in told
    assert "+image/png:" in told


def test_a_figure_that_was_cleared_is_drawn_anew() -> None:
    old = notebook()

    assert len(merge(old, notebook(shown(IMAGE)))) == 1
    assert old["cells"][0]["outputs"][0]["data"]["image/png"] == IMAGE["image/png"]


def test_an_error_is_never_taken_for_an_output() -> None:
    error = {
        "output_type": "error",
        "ename": "KeyError",
        "evalue": "x",
        "traceback": [],
    }

    assert summary([error]) == [("error", "KeyError: x")]


@pytest.mark.parametrize("path", paths(), ids=lambda path: path.stem)
def test_a_committed_notebook_is_written_as_jupyter_writes_it(
    path: Path, tmp_path: Path
) -> None:
    write(tmp_path / "copy.ipynb", read(path))

    assert (tmp_path / "copy.ipynb").read_bytes() == path.read_bytes()


FIGURE = """
from course.notebook import bars
bars("Calls", {"one": 1}, unit="")
"""


def test_a_sync_renews_text_and_keeps_figures_whose_words_are_true(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = code("said", "answer = 42\nprint(answer)", printed("41\n"))
    true = shown({"image/png": "aGVsbG8=", "text/plain": "Calls: one 1."})
    path = tmp_path / "small.ipynb"
    write(path, {"cells": [stale, code("drawn", FIGURE, true)], **FORM})

    assert sync([path]) == 0
    said, drawn = read(path)["cells"]
    assert said["outputs"] == [printed(["42\n"])]
    assert drawn["outputs"] == [true]
    assert "small.ipynb: 1 outputs changed" in capsys.readouterr().out


def test_a_sync_says_which_figure_is_out_of_date_and_leaves_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    false = shown({"image/png": "aGVsbG8=", "text/plain": "Calls: one 2."})
    path = tmp_path / "small.ipynb"
    write(path, {"cells": [code("drawn", FIGURE, false)], **FORM})

    assert sync([path]) == 1
    assert read(path)["cells"][0]["outputs"] == [false]
    assert "the figure of drawn has changed" in capsys.readouterr().out


def test_a_sync_runs_without_the_students_settings_and_gives_them_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://mine")
    source = "import os\nprint(os.environ.get('REDIS_URL'))"
    path = tmp_path / "small.ipynb"
    write(path, {"cells": [code("asks", source)], **FORM})

    assert sync([path]) == 0
    assert read(path)["cells"][0]["outputs"] == [printed(["None\n"])]
    assert os.environ["REDIS_URL"] == "redis://mine"


def test_cells_share_one_loop_and_await_outside_of_functions(tmp_path: Path) -> None:
    with Session(tmp_path / "small.ipynb") as session:
        session.run(code("a", "import asyncio\nloop = asyncio.get_running_loop"))
        session.run(code("a2", "loop()"))  # without await there is a loop, too
        session.run(code("b", "async def f():\n    return loop()\nfirst = await f()"))
        [output] = session.run(code("c", "await f() is first"))

        assert output["data"] == {"text/plain": "True"}
        assert session.run(code("d", "print('hi')\n1;")) == [printed("hi\n")]
        with pytest.raises(ZeroDivisionError):
            session.run(code("e", "1 / 0"))


def test_a_notebook_that_ends_early_leaves_no_server_behind(tmp_path: Path) -> None:
    source = (
        "from course.notebook import live\nfrom examples import s1_why_fastapi as s1\n"
    )
    with Session(tmp_path / "small.ipynb") as session:
        session.run(code("a", f"{source}server = live(s1.app)"))

    with pytest.raises(httpx2.ConnectError):
        httpx2.get(session.namespace["server"].url, trust_env=False)


def test_settings_of_the_sections_do_not_reach_a_refresh() -> None:
    assert is_setting("REDIS_URL")
    assert is_setting("FULL_APP_API_KEYS")
    assert not is_setting("PATH")


def test_jupyterlab_is_for_this_machine_only_and_asks_the_internet_nothing() -> None:
    words = lab.command(NOTEBOOKS, paths()[0], 8890, browser=False)

    assert "--ServerApp.ip=127.0.0.1" in words
    assert "--ServerApp.port=8890" in words
    assert "--no-browser" in words
    assert "--LabApp.default_url=/lab/tree/s1_why_fastapi.ipynb" in words
    assert "--LabApp.news_url=None" in words
    assert "--LabApp.extension_manager=readonly" in words
    config = json.loads((lab.CONFIG / "labconfig/page_config.json").read_bytes())
    assert config["disabledExtensions"]["@jupyterlab/apputils-extension:announcements"]


def test_without_a_section_the_list_opens_in_a_browser() -> None:
    words = lab.command(NOTEBOOKS, None, 8888, browser=True)

    assert "--no-browser" not in words
    assert not [word for word in words if "default_url" in word]


def test_kernels_find_the_course_and_what_the_student_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", "mine")
    monkeypatch.delenv("JUPYTER_CONFIG_PATH", raising=False)

    assert lab.environment()["PYTHONPATH"] == f"{ROOT}{os.pathsep}mine"
    assert lab.environment()["JUPYTER_CONFIG_PATH"] == str(lab.CONFIG)


def test_a_refresh_and_a_comparison_are_not_asked_for_at_once() -> None:
    options = build().parse_args(["notebook", "s2", "--refresh"])

    assert (options.section, options.refresh, options.compare) == ("s2", True, False)
    with pytest.raises(SystemExit):
        build().parse_args(["notebook", "--refresh", "--compare"])
