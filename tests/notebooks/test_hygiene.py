"""What a committed notebook may not contain, and what each must have."""

import ast
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from course.manifest import find, sections
from course.notebook.display import Shown
from course.notebook.figures import SVG
from course.notebook.files import code_cells, path_of, paths, read
from course.notebook.normal import joined
from course.notebook.solved import read_solved, recorded_file
from course.places import CourseError
from tests.servers import ROOT
from tests.test_structure import defined

each_notebook = pytest.mark.parametrize("path", paths(), ids=lambda path: path.stem)
SLIDE_TYPES = {"slide", "subslide", "fragment", "skip", "-"}
MACHINE = re.compile(r"(?<![\w./:{])/(?:home|root|tmp|usr|Users|work|var)/|[A-Z]:\\\\")
ELSEWHERE = re.compile(r"https?://(?!127\.0\.0\.1)(?!inside\b)[\w.-]+")


def images(path: Path) -> list[dict[str, Any]]:
    """The outputs of a notebook that hold an image."""
    cells = code_cells(read_solved(path))
    outputs = (it for cell in cells for it in cell["outputs"])
    return [it for it in outputs if SVG in it.get("data", {})]


def test_every_section_has_a_notebook_of_its_name() -> None:
    names = [path.name for path in paths()]

    assert [path_of(section) for section in sections()] == paths()
    assert names[0] == "s1_why_fastapi.ipynb"
    assert names[-1] == "s6_full_app.ipynb"
    assert find("s6") == find("full_app")
    assert sorted(names) == sorted(p.name for p in paths()[0].parent.glob("*.ipynb"))


def test_a_section_without_a_notebook_is_told_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("course.notebook.files.NOTEBOOKS", tmp_path)
    with pytest.raises(CourseError, match="no notebook of s1"):
        path_of(find("s1"))


@each_notebook
def test_a_notebook_names_no_machine_no_address_and_no_error(path: Path) -> None:
    files = (path, recorded_file(path))
    text = "".join(it.read_text(encoding="utf-8") for it in files)
    text = text.replace("http://www.w3.org/", "")  # the names of SVG, nobody's address

    assert not MACHINE.findall(text)
    assert not ELSEWHERE.findall(text)
    assert str(ROOT) not in text
    for cell in code_cells(read_solved(path)):
        for output in cell["outputs"]:
            assert output["output_type"] in {"stream", "execute_result"}, cell["id"]
            assert output.get("name") != "stderr", cell["id"]
    assert "asyncio.run(" not in text
    assert "Traceback" not in text


@each_notebook
def test_every_cell_has_an_id_and_its_place_in_a_slide_show(path: Path) -> None:
    notebook = read(path)
    cells = notebook["cells"]
    ids = [cell["id"] for cell in cells]

    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z0-9-]{2,40}", name) for name in ids)
    kinds = [cell["metadata"]["slideshow"]["slide_type"] for cell in cells]
    assert set(kinds) <= SLIDE_TYPES
    assert kinds[0] == "slide"
    assert kinds.count("slide") >= 6


@each_notebook
def test_nobody_has_run_it_yet(path: Path) -> None:
    for cell in code_cells(read(path)):
        assert cell["execution_count"] is None
        assert {it.get("execution_count") for it in cell["outputs"]} <= {None}


@each_notebook
def test_it_redefines_nothing_that_a_section_defines(path: Path) -> None:
    taught = set().union(
        *(defined(it) for it in (ROOT / "examples").glob("s[0-9]_*.py"))
    )
    for cell in code_cells(read(path)):
        tree = ast.parse(joined(cell["source"]))
        kinds = ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef
        made = {node.name for node in tree.body if isinstance(node, kinds)}
        assert not made & taught, cell["id"]


@each_notebook
def test_it_predicts_shows_code_draws_and_checks(path: Path) -> None:
    text = "\n".join(joined(cell["source"]) for cell in read(path)["cells"])

    assert "predict" in text.lower()
    assert "change" in text.lower()
    for helper in ("show(", "check(", "live(", f'quiz("{path.stem[:2]}")'):
        assert helper in text
    assert images(path)


@each_notebook
def test_every_image_is_an_svg_with_words_for_who_cannot_see_it(path: Path) -> None:
    for output in images(path):
        words = joined(output["data"]["text/plain"])
        drawing = ElementTree.fromstring(joined(output["data"][SVG]))  # noqa: S314 - ours
        assert len(words) > 40
        assert output["metadata"]["alt"] == words
        assert drawing.get("aria-label") == words
        assert float(drawing.get("viewBox", "").split()[2]) <= 900


@each_notebook
def test_lines_fit_a_slide(path: Path) -> None:
    for cell in read(path)["cells"]:
        longest = max(map(len, joined(cell["source"]).splitlines()), default=0)
        assert longest <= 92, cell["id"]


def test_text_without_markdown_is_shown_when_only_text_is_wanted() -> None:
    shown = Shown("plain", "**rich**")

    assert shown._repr_mimebundle_(include={"text/plain"}) == (
        {"text/plain": "plain"},
        {},
    )
    assert shown._repr_mimebundle_(exclude={"text/plain"})[0] == {
        "text/markdown": "**rich**"
    }
