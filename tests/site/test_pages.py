"""What the site's generator writes is true, and stops when it no longer is."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest
import yaml
from fastapi.testclient import TestClient

from course import manifest, source
from course.places import CourseError
from course.site import (
    architecture,
    bars,
    build,
    catalogue,
    diagrams,
    live,
    pages,
    proofs,
    reference,
    results,
    survival,
    tryit,
)
from course.tryit import bash, parse, powershell, python, requests
from examples.full_app.main import create_app
from examples.full_app.settings import Settings
from examples.s5_error_handling import ERROR_CLASSES
from tests.servers import ROOT

DOCS = sorted((ROOT / "docs").rglob("*.md"))
DIRECTIVE = re.compile(r"^\{\{ (\w+)(?: (.+?))? \}\}$", re.MULTILINE)
LIVE = {"try_it", "wire", "exported"}  # start processes: the deep build runs them


def nav() -> dict[str, list[dict[str, str]]]:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = yaml.safe_load(text.replace("!ENV ", ""))["nav"]  # MkDocs' own tag
    return {name: it for row in listed for name, it in row.items()}


def test_the_navigation_lists_the_sections_of_the_manifest_in_order() -> None:
    wanted = [
        {it.title: f"sections/{it.stem}.md"}
        for it in manifest.sections()
        if it.id != "full_app"
    ]
    assert nav()["Sections"] == wanted


def test_the_navigation_lists_every_notebook() -> None:
    listed = [path for row in nav()["Notebooks"] for path in row.values()]
    found = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
    assert listed == [f"notebooks/{stem}.md" for stem in found]


@pytest.mark.parametrize("page", DOCS, ids=lambda it: it.relative_to(ROOT).as_posix())
def test_everything_a_page_takes_from_the_code_is_there(page: Path) -> None:
    for name, argument in DIRECTIVE.findall(page.read_text(encoding="utf-8")):
        assert name in pages.DIRECTIVES
        if name not in LIVE:
            assert pages.DIRECTIVES[name](argument).strip()


@pytest.mark.parametrize(
    "section", [it for it in manifest.sections() if it.id != "full_app"]
)
def test_a_section_page_has_all_its_parts(section: manifest.Section) -> None:
    text = (ROOT / f"docs/sections/{section.stem}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {section.title}\n\n**Goal:**")
    assert f"({section.minutes} minutes)" in text
    assert f"python3 -m course run {section.id}\n" in text
    used = {name for name, _ in DIRECTIVE.findall(text)}
    assert used >= {"code", "claims", "proofs", "materials"}
    assert "try_it" in used or FENCE.search(text)
    assert "## What can go wrong" in text


PROOF = re.compile(r"\.\./proofs/([\w-]+)\.md(?:#(\w+))?")


@pytest.mark.parametrize("page", DOCS, ids=lambda it: it.relative_to(ROOT).as_posix())
def test_every_link_to_a_test_leads_to_one(page: Path) -> None:
    tests = {proofs.page(path): {"", *found} for path, found in proofs.tests().items()}
    for target, anchor in PROOF.findall(page.read_text(encoding="utf-8")):
        assert anchor in tests.get(target, {}), f"{target}#{anchor}"


@pytest.mark.parametrize(
    "directive",
    [
        "{{ code examples/s2_models.py::Gone }}",
        "{{ code examples/gone.py }}",
        "{{ claims tests/test_s2_models.py test_gone }}",
        "{{ proofs tests/test_gone.py }}",
        "{{ models examples.s2_models Gone }}",
        "{{ gone }}",
    ],
)
def test_what_is_gone_stops_the_build_with_page_and_line(
    directive: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(f"# A page\n\n{directive}\n", encoding="utf-8")
    with pytest.raises(CourseError, match=r"page\.md:3: .*[Gg]one"):
        pages.expand(page)


def test_a_symbol_comes_with_its_decorators_and_without_its_neighbours() -> None:
    path, text = source.symbol("examples/s1_why_fastapi.py::claims")
    assert path == "examples/s1_why_fastapi.py"
    assert text.startswith('@app.get("/claims"')
    assert text.count("def ") == 1


def test_a_method_comes_without_the_margin_of_its_class() -> None:
    _, text = source.symbol("examples/s1_why_fastapi.py::SlowModel.ask")
    assert text.startswith("async def ask(")


def test_the_error_catalogue_has_a_true_row_for_every_class() -> None:
    rows = catalogue.table()
    for taught in ERROR_CLASSES.values():
        assert f"`{taught.__name__}`" in rows
    for it in catalogue.classes():
        retry = "yes" if it.retryable else "no"
        row = f"| {it.status_code} | `{it.code}` | `{it.__name__}` | {retry} |"
        assert row in rows


TRIGGERED = [it for it in catalogue.classes() if catalogue.trigger(it)]


@pytest.fixture(scope="module")
def service() -> Iterator[TestClient]:
    app = create_app(Settings(offline_pace=0))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize("error", TRIGGERED, ids=lambda it: it.__name__)
def test_the_fault_model_of_a_row_answers_what_the_row_says(
    error: type[Exception], service: TestClient
) -> None:
    it = next(one for one in catalogue.classes() if one is error)
    fault = catalogue.trigger(it)
    assert fault
    question = {"role": "user", "content": "hi"}
    body = {"model": fault.name, "messages": [question]}
    answer = service.post("/v1/chat/completions", json=body)
    assert answer.status_code == it.status_code
    assert answer.json()["code"] == it.code
    assert answer.headers["x-should-retry"] == ("true" if it.retryable else "false")


def test_what_full_app_survived_is_what_its_run_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = survival.table()
    assert "200 workers, 5 APIs and Redis 5 times" in told
    assert "none lost, none twice" in told
    assert "10,000 delivered" in told
    assert told.count("every text as if never cut") == 2
    assert told.count("every event once, and the last one what is kept") == 2

    found = json.loads((results.RESULTS / "survival.json").read_text(encoding="utf-8"))
    found["kills"]["wrong"] = {"lost": ["job_1"]}
    (tmp_path / "survival.json").write_text(json.dumps(found), encoding="utf-8")
    monkeypatch.setattr(survival, "RESULTS", tmp_path)
    assert "none lost" not in survival.table()
    assert "job_1" in survival.table()

    found["hostile peers"] = {
        "honest_callers": 40,
        "seconds": 600.0,
        "hostile_peers": 4,
        "honest_calls": 90_000,
        "p99_ms_alone": 10.0,
        "p99_ms_beside": 12.0,
        "resident_kib_before": 100_000,
        "resident_kib_after": 101_000,
        "wrong": [],
    }
    (tmp_path / "survival.json").write_text(json.dumps(found), encoding="utf-8")
    assert "90,000 calls" in survival.table()
    assert "no honest call failed" in survival.table()

    (tmp_path / "survival.json").unlink()
    assert survival.table() == survival.NONE


def test_a_room_imports_only_what_lies_under_it_or_beside_it() -> None:
    layers = architecture.layers()
    level = {room: at for at, layer in enumerate(layers) for room in layer}
    for room, targets in architecture.imported().items():
        for target in targets & level.keys():
            assert level[room] <= level[target], (room, target)


def test_every_room_of_the_map_says_what_it_is_for() -> None:
    figure = architecture.figure()
    for room in architecture.imported():
        assert f"<summary>{room}" in figure
    assert "<p></p>" not in figure


def test_the_traced_request_goes_from_the_door_through_the_rooms_to_the_sections() -> (
    None
):
    steps = architecture.steps()
    rooms = {step.room for step in steps}

    assert steps[0].path == "full_app/web/application.py"
    assert any(step.path.startswith("full_app/web/middleware/") for step in steps[:3])
    assert {"routes", "chat", "limits", "providers", "web"} <= rooms
    assert {"s2_models", "s4_dependency_injection", "s5_error_handling"} <= rooms
    assert all(step.purpose for step in steps)


def test_every_setting_is_on_its_page_under_the_name_of_its_variable() -> None:
    rows = reference.settings()
    assert "| `REDIS_URL` | `None` |" in rows
    for name in Settings.model_fields.keys() - {"redis_url"} - reference.REFUSED:
        assert f"`FULL_APP_{name.upper()}`" in rows
        assert Settings.model_fields[name].description, name


def test_a_setting_that_is_not_on_its_page_is_one_that_nobody_reads() -> None:
    sources = (ROOT / "examples" / "full_app").rglob("*.py")
    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    for name in reference.REFUSED:
        assert name not in text


def test_every_command_is_on_its_page() -> None:
    text = reference.command_line()
    for name in ("run", "test", "notebook", "docs", "bench", "list", "doctor"):
        assert f"course {name}\n" in text


def test_the_timetables_show_every_section_with_its_minutes() -> None:
    day = reference.timetables().partition("### A day")[2]
    for it in manifest.sections():
        minutes = it.talk + 2 * it.exercise + it.review
        parts = f"{it.talk} | {2 * it.exercise} | {it.review} | {minutes}"
        assert f"| {it.title} | {parts} |" in day


def test_tests_are_linked_by_their_names_as_sentences() -> None:
    path = "tests/sections/test_s5_error_handling.py"
    link = proofs.claims(f"{path} test_a_long_message_is_cut")
    assert link == (
        "- [A long message is cut]"
        "(../proofs/sections-test-s5-error-handling.md#test_a_long_message_is_cut)"
    )


def test_a_curl_line_says_the_same_in_three_languages() -> None:
    body = """'{"it": "isn'"'"'t"}'"""
    line = f"curl -si http://127.0.0.1:8000/a?b=1 -d {body} -H 'X: y'"
    command = parse(line)
    assert (command.method, command.path, command.head) == ("POST", "/a?b=1", True)
    assert json.loads(command.body or "") == {"it": "isn't"}
    form = "application/x-www-form-urlencoded"
    assert command.headers == {"Content-Type": form, "X": "y"}
    assert powershell(command) == (
        'curl.exe --% -si "http://127.0.0.1:8000/a?b=1"'
        ' -d "{\\"it\\": \\"isn\'t\\"}" -H "X: y"'
    )
    compile(python(command), "page", "exec")


def test_every_try_it_line_of_every_section_is_understood() -> None:
    for section in manifest.sections()[:-1]:
        path = ROOT / f"{section.module.replace('.', '/')}.py"
        listed = requests(source.docstring(path))
        assert listed
        for command in listed:
            compile(python(command), "page", "exec")
            assert command.path.startswith("/")


FENCE = re.compile(r"^```try ([\w.]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCES = [it for page in DOCS for it in FENCE.findall(page.read_text(encoding="utf-8"))]


def test_the_pages_of_the_service_have_lines_to_try() -> None:
    assert len(FENCES) >= 4
    for section, text in FENCES:
        assert manifest.find_app(section).module
        for step in tryit.steps(text):
            command = parse(step.line)
            compile(python(command), "page", "exec")
            parse(bash(command).replace("\\\n", " "))


def test_a_fence_is_commands_with_headings_paragraphs_and_waits() -> None:
    text = (
        "curl -s a \\\n  -H 'X: y'\n# A heading\nA paragraph\nof two lines.\n"
        "until: done\ncurl -s b\n"
    )
    assert tryit.steps(text) == [
        tryit.Step(heading="", text="", until="", line="curl -s a -H 'X: y'"),
        tryit.Step("A heading", "A paragraph of two lines.", "done", "curl -s b"),
    ]


@pytest.mark.parametrize(
    "lines", ["", "ls", "# A\n# B\ncurl -s x", "# A\nls", "curl -s x\nuntil: y"]
)
def test_a_fence_without_a_command_for_all_its_words_stops_the_build(
    lines: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(f"# A page\n\n```try s1\n{lines}\n```\n", encoding="utf-8")
    with pytest.raises(CourseError, match=r"page\.md:3: "):
        pages.expand(page)


def test_a_listing_shows_the_imports_that_it_is_the_first_to_need() -> None:
    imported = {"FastAPI"}
    first = pages.listing("examples/steps/s1_5_websocket.py::tokens", imported)
    again = pages.listing("examples/steps/s1_5_websocket.py::tokens", imported)

    assert "\nfrom fastapi import WebSocket\n\n@app.websocket(" in first
    assert "import" not in again
    assert imported >= {"FastAPI", "WebSocket", "asyncio"}


def test_an_array_of_scalars_is_on_one_line_and_objects_are_not() -> None:
    assert live.indented({"vector": [0.5, 1], "jobs": [{"id": 1}], "none": []}) == (
        '{\n  "vector": [0.5, 1],\n  "jobs": [\n    {\n      "id": 1\n    }\n  ],\n'
        '  "none": []\n}'
    )
    wide = ["x" * 50, "y" * 50]
    assert live.indented(wide).count("\n") == 3
    assert json.loads(live.indented({"a": wide})) == {"a": wide}


def test_a_stream_of_chunks_shows_what_is_new_in_each() -> None:
    stream = (
        'data: {"id":"c","choices":[{"delta":{"role":"assistant"}}]}\n\n'
        'data: {"id":"c","choices":[{"delta":{"content":"You"}}]}\n\ndata: [DONE]\n\n'
    )
    assert live.without_repeats(stream).splitlines() == [
        'data: {"id":"c","choices":[{"delta":{"role":"assistant"}}]}',
        "",
        'data: {…, "choices": [{"delta": {"content": "You"}}]}',
        "",
        "data: [DONE]",
    ]


@pytest.mark.parametrize(
    ("output", "language"),
    [
        ('{"a": 1}', "json"),
        ("[1]", "json"),
        ("HTTP/1.1 200 OK\ncontent-type: application/json\n\n{}", "http"),
        ("data: x", "yaml"),
        ("no such thing", "text"),
    ],
)
def test_what_came_back_is_coloured(output: str, language: str) -> None:
    shown = tryit.block("", parse("curl -s http://127.0.0.1:8000/"), output)
    assert shown.endswith(
        f'````{{ .{language} .output title="what came back" }}\n{output}\n````'
    )


def test_a_long_output_is_cut_and_one_that_is_slightly_longer_is_not() -> None:
    request = parse("curl -s http://127.0.0.1:8000/")
    slightly = "\n".join("x" for _ in range(tryit.MAX_LINES + 5))
    assert slightly in tryit.block("", request, slightly)

    long = tryit.block("", request, "\n".join("x" for _ in range(60)))
    assert "\n… 20 more lines\n" in long
    assert 'title="what came back"' in long


def test_only_a_stream_without_repeats_explains_its_sign() -> None:
    request = parse("curl -sN http://127.0.0.1:8000/")
    stream = 'data: {"id": 1}\n\ndata: {…, "text": "You"}'
    assert "… stands for" in tryit.block("", request, stream)
    assert "stands for" not in tryit.block("", request, "data: Well…")


def test_a_drawing_is_shown_in_the_colours_of_the_scheme(tmp_path: Path) -> None:
    line = "![A window](../assets/diagrams/context-window.svg)"
    shown = diagrams.on_page(f"before\n\n{line}\n\nafter")
    diagrams.write(tmp_path / "diagrams")
    for scheme in ("light", "dark"):
        name = f"context-window-{scheme}.svg"
        assert f"](../assets/diagrams/{name}#only-{scheme})" in shown
        drawing = (tmp_path / "diagrams" / name).read_text(encoding="utf-8")
        assert "prefers-color-scheme" not in drawing
        assert ("background:#10171f" in drawing) is (scheme == "dark")


def test_a_drawing_with_steps_is_in_the_page_with_rules_of_its_own() -> None:
    line = "![States](../assets/diagrams/job-states.svg)"
    shown = diagrams.on_page(f"before\n\n{line}\n\nafter")
    drawing = (diagrams.DIAGRAMS / "job-states.svg").read_text(encoding="utf-8")
    assert 'id="drawing-job-states"' in shown
    assert shown.count(diagrams.FRAGMENT) == drawing.count(diagrams.FRAGMENT) > 1
    assert "prefers-color-scheme" not in shown
    assert re.findall(r"<style>(.{20})", shown) == ["#drawing-job-states{"]
    inside = shown.partition("before\n\n")[2].rpartition("\n\nafter")[0]
    assert "\n\n" not in inside  # a blank line would end the HTML in Markdown


def test_a_long_line_goes_on_below_and_a_short_one_does_not() -> None:
    short = "curl -s http://127.0.0.1:8000/ -H 'X: y'"
    long = f"curl -s http://127.0.0.1:8000/{'a' * 50} -H 'X: y' -d '{{}}'"
    assert bash(parse(short)) == short
    assert bash(parse(long)).splitlines()[1:] == ["    -H 'X: y' \\", "    -d '{}'"]


def test_the_reference_of_models_names_each_limit_and_default() -> None:
    shown = pages.models("examples.s2_models Message ChatCompletionRequest")
    rows = [row.strip("| ").split(" | ") for row in shown.splitlines()]

    wide = "`min_length=1, max_length=100_000`"
    assert ["`Message.content`", wide] in rows
    strict = ["`ge=0, le=2, strict=True`", "`0.7`"]
    assert ["`ChatCompletionRequest.temperature`", *strict] in rows
    assert "`ChatCompletionRequest.model` | `pattern=" in shown  # an alias has limits


def test_numbers_of_the_contract_are_not_read_out() -> None:
    assert proofs.sentence("test_45_46_a_b", "tests/full_app/test_x.py") == "A b"
    assert proofs.sentence("test_20_calls", "tests/test_s4_x.py") == "20 calls"
    assert proofs.sentence("test_json_of_a_websocket") == "JSON of a WebSocket"


@pytest.mark.parametrize("word", ["--gone", "--json"])  # --json: not every curl has it
def test_an_unknown_word_of_a_try_it_line_is_not_ignored(word: str) -> None:
    with pytest.raises(ValueError, match=word):
        parse(f"curl http://127.0.0.1:8000/ {word} x")


def test_no_page_or_script_asks_another_machine() -> None:
    for path in (ROOT / "docs").rglob("*.*"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(src|href)=.https?:|@import|url\(.?https?:", text), path


def test_every_committed_figure_and_list_of_a_benchmark_is_on_its_page(
    tmp_path: Path,
) -> None:
    text = results.benchmarks()
    results.copy_plots(tmp_path)
    for plot in results.RESULTS.glob("*.svg"):
        assert plot.name in text
        assert (tmp_path / plot.name).is_file()
    assert "| FastAPI | native | json | 32 | 1 | " in text
    assert "{" not in text
    for stem, name in results.BARS:
        title = results.TITLES.get(name, results.HEADINGS[stem])
        assert f"{title}: " in text
    for unit in (" us ", "_us", "microseconds", "1 keys"):
        assert unit not in text


def test_the_page_of_benchmarks_begins_with_four_claims_and_their_figures() -> None:
    claims = results.claims()
    found = json.loads((results.RESULTS / "frameworks.json").read_text("utf-8"))
    speeds = {
        it["server"]: f"{it['requests_per_second']:,.0f}"
        for it in found["frameworks"]
        if (it["workload"], it["connections"], it["workers"]) == ("model", 256, 1)
    }
    assert len(re.findall(r"^\d\. \*\*", claims, re.MULTILINE)) == 4
    assert speeds["FastAPI"] in claims
    assert speeds["Flask"] in claims


def test_the_chapters_table_comes_right_after_the_four_claims() -> None:
    headings = re.findall(r"^## (.*)$", results.benchmarks(), re.MULTILINE)
    assert headings[:2] == ["Four claims, measured", "The chapter's table, measured"]


def test_one_request_has_three_costs_and_each_is_explained() -> None:
    rows = results.costs().splitlines()[-3:]
    assert all(re.search(r"\| [\d,]+ µs \|$", row) for row in rows)


def test_no_heading_of_the_benchmarks_is_there_twice() -> None:
    headings = re.findall(r"^#+ .*$", results.benchmarks(), re.MULTILINE)
    assert len(set(headings)) == len(headings)


def test_a_run_that_failed_is_not_drawn() -> None:
    rows = [
        {"server": name, "workload": "json", "connections": at, "workers": workers}
        | {"requests_per_second": 10.0, "errors": errors}
        for name, at, workers, errors in (
            ("FastAPI", 32, 1, 0),
            ("FastAPI", 256, 1, 0),
            ("Flask", 256, 1, 3),
            ("Django", 256, 2, 0),
        )
    ]
    assert results.drawn_rows(rows, "json") == {"FastAPI": 10.0}


def test_a_run_with_peers_is_shown_and_its_absence_said(tmp_path: Path) -> None:
    path = tmp_path / results.PEERS
    assert results.peers(path) == results.NO_PEERS
    load = {"mode": "offline", "kind": "whole", "connections": 8, "errors": 0}
    times = {"p50_ms": 1, "p99_ms": 2, "cpu_seconds_per_1000": 0.3, "rounds": [1]}
    found = {
        "quick": True,
        "tool": "wrk",
        "machine": {"packages": {}},
        "versions": {},
        "skipped": {"another": "it was not there"},
        "waiting": [],
        "memory": [],
        "scales": [],
        "cells": [
            {**load, **times, "contestant": name, "requests_per_second": speed}
            | {"events_per_second": None}
            for name, speed in (("bare", 4000), ("full_app", 1234))
        ]
        + [
            {**load, **times, "contestant": "broken", "requests_per_second": 0.0}
            | {"events_per_second": None, "rounds": [0]}
        ],
    }
    path.write_text(json.dumps(found), encoding="utf-8")
    text = results.peers(path)
    assert text.startswith("## full_app beside its peers")
    assert "### Whole answers" in text
    assert "| full_app | 8 | 1,234 | " in text
    assert "requests per second, 8 at once" in text
    assert "- another: it was not there" in text
    assert ">broken<" not in text  # not drawn, but in the table
    assert "| broken | 8 | void | " in text


def test_a_bar_is_as_long_as_its_number_and_the_longest_is_first() -> None:
    drawn = bars.chart("speed", [("b <c>", 50.0), ("a", 200.0)], "a second", ours="a")
    assert re.findall(r'<rect .*?width="([\d.]+)"', drawn) == ["250.0", "62.5"]
    assert "b &lt;c&gt;" in drawn
    assert drawn.count('class="ours"') == 3


def test_a_chart_below_its_own_heading_says_its_unit_only() -> None:
    drawn = bars.chart("speed", [("a", 1.0)], "µs of CPU", titled=True)
    assert "<figcaption>µs of CPU<" in drawn
    assert 'aria-label="speed: µs of CPU"' in drawn


def test_what_a_client_should_send_is_shown_as_it_is_sent() -> None:
    assert "`Authorization: Bearer <key>`" in catalogue.table()


def test_the_page_for_what_is_not_there_leads_on(tmp_path: Path) -> None:
    page = tmp_path / "404.html"
    page.write_text(f"<main>{build.NOT_FOUND}</main>", encoding="utf-8")

    build.help_who_is_lost(page)

    with serving(build.server(tmp_path, 0)) as url:
        answer = httpx2.get(f"{url}/no/such/page/")
    assert answer.status_code == 404
    assert "There is no such page" in answer.text
    for section in manifest.sections():
        assert section.title in answer.text
    assert 'href="/sections/s2_models/"' in answer.text


def test_the_page_for_what_is_not_there_knows_where_the_site_begins(
    tmp_path: Path,
) -> None:
    page = tmp_path / "404.html"
    page.write_text(f"<main>{build.NOT_FOUND}</main>", encoding="utf-8")

    build.help_who_is_lost(page, "/course/")

    assert 'href="/course/sections/s2_models/"' in page.read_text(encoding="utf-8")


def test_a_theme_with_another_search_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(CourseError, match="search is not where it was"):
        build.understand_questions(tmp_path)


def test_a_theme_with_another_page_for_404_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "404.html"
    page.write_text("<h1>Lost</h1>", encoding="utf-8")

    with pytest.raises(CourseError, match="no heading"):
        build.help_who_is_lost(page)


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[str]:
    """The address of a server while it runs in a thread."""
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
