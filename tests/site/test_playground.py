"""The playground: a section's module in the reader's own tab, and a page without it."""

import ast
import json
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from course.exercises import source as source_of
from course.exercises.source import Exercise, wrong_answer
from course.manifest import sections
from course.site import pages, playground, playground_assets
from tests.browser import DESKTOP, PHONE, axe_violations, looks, opened, overflows
from tests.servers import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# Swagger UI begins with an h3 where the page has an h2.
THEIRS = ("heading-order",)
READY_MS = 120_000  # on a machine that does a lot besides
BUG = "@app.get('/bug')\nasync def bug() -> int:\n    return 1 // 0\n"
BROKEN = "from fastapi import FastAPI\n\napp = FastAPI(\n"


def test_the_browsers_packages_are_the_locked_ones() -> None:
    lock = (ROOT / "requirements" / "app.txt").read_text(encoding="utf-8")

    for name, version in playground_assets.versions().items():
        assert f"\n{name}=={version}" in f"\n{lock}"
    assert playground_assets.versions().keys() == set(playground_assets.PACKAGES)
    assert playground_assets.locked().count("--hash=sha256:") >= 13 * 2
    assert ";" not in playground_assets.locked()


def test_what_npm_fetches_is_pinned_by_hash_and_from_no_registry_by_name() -> None:
    lock = (playground_assets.LOCKED / "package-lock.json").read_text(encoding="utf-8")
    packages = json.loads(lock)["packages"]

    assert "://" not in lock
    assert all(it["integrity"].startswith("sha512-") for n, it in packages.items() if n)
    assert {"@codemirror/view", "style-mod"} < playground_assets.imports().keys()
    assert "pyodide" not in playground_assets.imports()


def test_without_the_browsers_python_the_page_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def missing() -> Path:
        raise playground_assets.MissingAssetsError("npm is not installed")

    monkeypatch.setattr(playground_assets, "fetched", missing)
    text = pages.expand(ROOT / "docs" / "playground.md")
    playground.build(tmp_path)

    assert "Python for the browser is missing: npm is not installed" in text
    assert "<textarea" not in text
    assert list(tmp_path.iterdir()) == []


def test_every_section_is_in_the_playground_or_the_page_says_why_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(playground_assets, "fetched", lambda: tmp_path)
    text = pages.expand(ROOT / "docs" / "playground.md")
    manifest = tomllib.loads((ROOT / "course.toml").read_text(encoding="utf-8"))

    for section in manifest["section"]:
        there = f'"id": "{section["id"]}"' in text
        assert there is (section["id"] not in playground.LEFT_OUT)
        if not there:
            assert section["title"] in text
    assert '"id": "s2"' in text
    assert '"id": "s2.1"' in text
    assert '"id": "s4.3"' in text  # the embedded Redis needs no Lua
    assert '"id": "s4.4"' not in text
    assert "its script needs Lua" in text
    assert "</script>" not in re.findall(r"lessons\">(.*)</script>", text)[0]


@pytest.fixture(scope="module")
def place(site: Path, address: str) -> str:
    """The playground's address; the site must have Python for the browser."""
    if not (site / "assets" / "playground" / "assets.json").exists():
        assert not os.environ.get("COURSE_REQUIRE_DOCS"), "no Python for the browser"
        pytest.skip("Python for the browser needs npm and a package index, once")
    return f"{address}playground/"


@pytest.fixture(scope="module")
def tab(place: str, browser: "Browser") -> Iterator["Page"]:
    """One tab for all tests: a Python takes ten seconds to start."""
    with opened(browser, place) as page:
        ready(page)
        yield page


TASKS = [it for it in source_of.exercises() if it.section not in playground.LEFT_OUT]


def test_every_section_has_three_tasks_or_more_that_a_browser_can_check() -> None:
    for section in sections():
        if section.id not in playground.LEFT_OUT:
            tasks = [it for it in TASKS if it.section == section.id]
            assert len(tasks) >= 3, section.id


def test_a_task_of_the_playground_is_the_exercise_of_the_command_line() -> None:
    listed = {str(it["id"]): it for it in playground.lessons()}

    for exercise in TASKS:
        lesson = listed[exercise.short]
        task = lesson["task"]
        assert isinstance(task, dict)
        assert lesson["source"] == exercise.starter
        assert task["checks"] == exercise.checks
        assert task["names"] == exercise.names
        assert len(task["mistakes"]) == len(exercise.mistakes)


def test_the_modules_that_checks_need_import_nothing_the_page_has_not() -> None:
    packages = {"course", "fastapi", "httpx2", "pydantic", "starlette"}

    for name, text in playground_assets.modules().items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom):
                module = str(node.module)
                first = module.partition(".")[0]
                assert first in packages or first in sys.stdlib_module_names, name
                if first == "course":
                    known = {it.removesuffix(".py") for it in playground_assets.MODULES}
                    places = {module, *(f"{module}.{it.name}" for it in node.names)}
                    assert any(it.replace(".", "/") in known for it in places), name


def ready(page: "Page") -> None:
    page.wait_for_selector("#playground[data-ready=yes]", timeout=READY_MS)


def choose(page: "Page", section: str, example: int | None = None) -> None:
    page.select_option("[data-part=section]", section)
    if example is not None:
        page.select_option("[data-part=examples]", str(example))


def send(page: "Page", *hows: str) -> str:
    """Send what the form says; the answer once it has ended, as `hows` say."""
    page.click("[data-part=send]")
    page.wait_for_selector("#playground[data-ended]", timeout=60_000)
    assert page.get_attribute("#playground", "data-ended") in (hows or ("done",))
    return str(page.inner_text("[data-part=answer]"))


def ask(page: "Page", path: str, body: str = "", method: str = "POST") -> None:
    page.select_option("[data-part=method]", method)
    page.fill("[data-part=path]", path)
    page.fill("[data-part=body]", body)


def source(page: "Page") -> str:
    return str(page.evaluate("document.getElementById('playground').source"))


def write(page: "Page", text: str) -> None:
    page.evaluate("it => { document.getElementById('playground').source = it }", text)


@pytest.mark.deep
@pytest.mark.timeout(300)
def test_swagger_ui_shows_recorded_answers_and_can_be_read_in_both_colours(
    tab: "Page",
) -> None:
    choose(tab, "s2")
    tab.click("[data-part=routes] summary")
    route = tab.locator(".opblock", has_text="/complete")
    route.locator(".opblock-summary-control").click()
    examples = route.locator(".responses-table .microlight")
    examples.last.wait_for()
    shown = route.locator(".responses-table").inner_text()
    assert '"object": "chat.completion"' in shown
    assert '"error": "The request is not valid."' in shown
    assert "additionalProp1" not in shown

    route.get_by_role("tab", name="Schema").first.click()
    for name, look in looks(tab):
        if look.contrast:
            assert axe_violations(tab, without=THEIRS) == [], name
    tab.emulate_media(color_scheme="light")
    tab.click("[data-part=routes] summary")


@pytest.mark.deep
@pytest.mark.timeout(300)
def test_a_changed_module_shows_no_answers_recorded_before_the_change(
    tab: "Page",
) -> None:
    choose(tab, "s2")
    original = source(tab)
    write(tab, original.replace("The request is not valid.", "Mine."))
    tab.click("[data-part=routes] summary")
    route = tab.locator(".opblock", has_text="/complete")
    route.locator(".opblock-summary-control").click()
    route.locator(".responses-table .microlight").last.wait_for()

    assert "The request is not valid." not in route.inner_text()
    tab.click("[data-part=routes] summary")
    write(tab, original)


@pytest.mark.deep
@pytest.mark.timeout(300)
def test_every_example_of_every_section_gets_an_answer(tab: "Page") -> None:
    ids = tab.locator("[data-part=section] option").evaluate_all(
        "all => all.map((one) => one.value)"
    )
    statuses = {}
    for section in ids:
        choose(tab, section)
        for example in range(tab.locator("[data-part=examples] option").count()):
            choose(tab, section, example)
            if "blocking" in tab.input_value("[data-part=path]"):
                continue  # five seconds, for the same answer
            # what a module does not catch, the page shows with its line
            said = re.match(r"HTTP (\d+)", send(tab, "done", "error"))
            assert said is not None
            statuses[section, example] = int(said[1])

    chosen = {section for section, _ in statuses}
    assert chosen >= {"s1", "s1.1", "s2", "s2.1", "s3", "s3.1", "s4", "s4.3", "s5"}
    assert len(statuses) > 15
    assert set(statuses.values()) <= {
        *(200, 202, 204),
        *(400, 401, 404, 422, 429),
        *(500, 503, 504),
    }


@pytest.mark.deep
@pytest.mark.timeout(300)
def test_a_request_that_is_not_valid_shows_its_422(tab: "Page") -> None:
    choose(tab, "s2")
    ask(tab, "/validate/chat", '{"temperature": true}')
    said = send(tab)

    assert said.startswith("HTTP 422")
    assert '"body.messages": "Field required"' in said


@pytest.mark.deep
@pytest.mark.timeout(300)
def test_a_stream_arrives_piece_by_piece(tab: "Page") -> None:
    choose(tab, "s3")
    ask(tab, "/answers/stream", '{"text": "one two three"}')
    times = [int(it) for it in re.findall(r"(\d+) ms  event: word", send(tab))]

    assert len(times) == 5
    assert len(set(times)) > 2


@pytest.mark.deep
@pytest.mark.timeout(300)
def test_a_change_of_the_module_changes_the_answer_and_reset_takes_it_back(
    tab: "Page",
) -> None:
    choose(tab, "s3")
    original = source(tab)
    write(tab, original.replace("You said", "I heard"))
    ask(tab, "/answers", '{"text": "hello"}')
    assert "I heard" in send(tab)
    choose(tab, "s2")
    choose(tab, "s3")
    assert source(tab) != original  # kept while other sections are looked at

    tab.click("[data-part=reset]")
    ready(tab)
    tab.wait_for_function("!document.querySelector('[data-part=send]').disabled")
    assert source(tab) == original
    ask(tab, "/answers", '{"text": "hello"}')
    assert "You said" in send(tab)


@pytest.mark.deep
@pytest.mark.timeout(300)
def test_the_module_is_edited_with_a_keyboard_that_can_leave(tab: "Page") -> None:
    choose(tab, "s3")
    original = source(tab)
    tab.click(".cm-content")
    tab.keyboard.press("Control+Home")
    tab.keyboard.press("Enter")
    tab.keyboard.press("ArrowUp")
    tab.keyboard.press("Tab")
    tab.keyboard.type("# mine")
    assert source(tab) == f"    # mine\n{original}"

    tab.keyboard.press("Escape")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.closest('.cm-editor')") is None
    write(tab, original)


@pytest.mark.deep
@pytest.mark.timeout(300)
def test_what_a_request_leaves_the_next_one_finds(tab: "Page") -> None:
    choose(tab, "s3")
    ask(tab, "/jobs", '{"text": "no hurry"}')
    job = re.findall(r"location: (\S+)", send(tab))[0]
    ask(tab, job, method="GET")

    assert send(tab).startswith("HTTP 200")


@pytest.mark.deep
@pytest.mark.timeout(300)
def test_an_answer_can_be_cancelled_and_the_app_goes_on(tab: "Page") -> None:
    choose(tab, "s3")
    ask(tab, "/answers/stream", '{"text": "' + "word " * 200 + '"}')
    tab.click("[data-part=send]")
    tab.wait_for_selector("[data-part=answer] .time")
    tab.click("[data-part=cancel]")
    tab.wait_for_selector("#playground[data-ended=cancelled]")
    ask(tab, "/answers", '{"text": "still here"}')

    assert "still here" in send(tab)


@pytest.mark.deep
@pytest.mark.timeout(300)
def test_a_mistake_is_shown_with_its_line(tab: "Page") -> None:
    choose(tab, "s2")
    original = source(tab)
    write(tab, BROKEN)
    ask(tab, "/", method="GET")
    send(tab, "error")
    assert tab.inner_text("[data-part=fault-line]") == "Line 3"
    assert "SyntaxError" in tab.inner_text("[data-part=fault-text]")

    broken = (
        f"{original}\n\n@app.get('/bug')\nasync def bug() -> int:\n    return 1 // 0\n"
    )
    write(tab, broken)
    ask(tab, "/bug", method="GET")
    assert send(tab, "error").startswith("HTTP 500")
    last = len(broken.splitlines())
    assert tab.inner_text("[data-part=fault-line]") == f"Line {last}"
    assert "ZeroDivisionError" in tab.inner_text("[data-part=fault-text]")
    tab.click("[data-part=fault-line]")
    chosen = tab.evaluate("getSelection().toString()")
    assert chosen.strip() == "return 1 // 0"
    assert tab.inner_text(".playground-wrong").strip() == "return 1 // 0"
    write(tab, broken.replace("1 // 0", "1 // 1"))
    assert send(tab).startswith("HTTP 200")
    assert tab.locator(".playground-wrong").count() == 0
    write(tab, original)


@pytest.mark.deep
@pytest.mark.timeout(300)
def test_what_is_shared_is_there_again_and_runs_nothing_by_itself(
    place: str, tab: "Page", browser: "Browser"
) -> None:
    choose(tab, "s3")
    original = source(tab)
    write(tab, original.replace("You said", "Shared: é"))
    ask(tab, "/answers", '{"text": "hello"}')
    tab.click("[data-part=share]")
    tab.wait_for_function("location.hash.length > 20")
    link = tab.url
    write(tab, original)

    with opened(browser, link) as other:
        other.wait_for_function(
            "document.getElementById('playground').source?.includes('Shared: é')"
        )
        assert other.input_value("[data-part=section]") == "s3"
        assert other.input_value("[data-part=body]") == '{"text": "hello"}'
        assert other.get_attribute("#playground", "data-loaded") is None
    assert link.startswith(place)


def check(page: "Page") -> tuple[str, str]:
    """How the check of the chosen task ended, and what it said."""
    page.click("[data-part=check]")
    page.wait_for_selector("#playground[data-ended]", timeout=60_000)
    ended = page.get_attribute("#playground", "data-ended")
    return str(ended), str(page.inner_text("[data-part=answer]"))


@pytest.mark.deep
@pytest.mark.timeout(300)
@pytest.mark.parametrize("exercise", TASKS, ids=lambda it: it.short)
def test_a_task_is_open_then_wrong_in_its_own_words_then_solved(
    tab: "Page", exercise: Exercise
) -> None:
    choose(tab, exercise.short)
    assert source(tab) == exercise.starter
    assert check(tab)[0] == "failed"

    mistake = exercise.mistakes[0]
    write(tab, wrong_answer(exercise, mistake))
    ended, said = check(tab)
    assert ended == "failed"
    assert mistake.words in said

    write(tab, exercise.solution)
    ended, said = check(tab)
    assert (ended, said.count("✔")) == ("solved", len(exercise.names))
    assert "Solved." in said
    write(tab, exercise.starter)


@pytest.mark.deep
@pytest.mark.timeout(300)
def test_a_task_shows_its_text_its_hints_one_by_one_and_the_solution(
    tab: "Page",
) -> None:
    exercise = next(it for it in TASKS if it.short == "s2a")
    choose(tab, "s2a")
    shown = tab.locator("[data-part=task] li")

    assert exercise.task.split("`")[0].split("\n")[0] in tab.inner_text(
        "[data-part=task]"
    )
    before = shown.count()
    tab.click("[data-part=hint]")
    assert shown.count() == before + 1
    assert tab.inner_text("[data-part=hint]") == "Hint (2 left)"
    tab.click("[data-part=solution]")
    assert tab.inner_text("[data-part=answer]").strip() == exercise.solution.strip()
    choose(tab, "s2")
    assert not tab.is_visible("[data-part=task]")
    assert not tab.is_visible("[data-part=check]")


@pytest.mark.deep
@pytest.mark.timeout(300)
@pytest.mark.parametrize("where", ["task", "module"])
def test_stop_ends_an_endless_loop_and_keeps_the_code(tab: "Page", where: str) -> None:
    choose(tab, "s2a" if where == "task" else "s2")
    original = source(tab)
    endless = f"{original}\n\nwhile True:\n    pass\n"
    write(tab, endless)
    tab.click(f"[data-part={'check' if where == 'task' else 'send'}]")
    tab.wait_for_selector("[data-part=stop]:not([disabled])")

    tab.click("[data-part=stop]")

    tab.wait_for_selector("#playground[data-ended=stopped]")
    assert source(tab) == endless
    tab.wait_for_selector("[data-part=progress]", state="visible")
    tab.wait_for_selector("[data-part=progress]", state="hidden", timeout=READY_MS)
    write(tab, original)
    if where == "task":
        assert check(tab)[0] == "failed"
    else:
        assert send(tab).startswith("HTTP")


@pytest.mark.deep
@pytest.mark.timeout(300)
def test_control_and_enter_runs_what_is_chosen(tab: "Page") -> None:
    choose(tab, "s2.1")
    tab.evaluate("delete document.getElementById('playground').dataset.ended")
    tab.click(".cm-content")
    before = source(tab)
    tab.keyboard.press("Control+Enter")
    tab.wait_for_selector("#playground[data-ended]")
    assert source(tab) == before  # no line was added
    assert tab.inner_text("[data-part=answer]").startswith("HTTP")

    choose(tab, "s2a")
    tab.evaluate("delete document.getElementById('playground').dataset.ended")
    tab.click(".cm-content")
    tab.keyboard.press("Control+Enter")
    tab.wait_for_selector("#playground[data-ended=failed]")


@pytest.mark.deep
@pytest.mark.timeout(300)
def test_a_module_opens_at_its_first_route_beside_its_request(tab: "Page") -> None:
    choose(tab, "s2")
    route = tab.locator(".cm-line", has_text="@app.").first
    route.wait_for()
    editor = tab.locator("[data-part=source]").bounding_box()
    line = route.bounding_box()
    form = tab.locator("[data-part=request]").bounding_box()
    assert editor is not None
    assert line is not None
    assert form is not None

    assert 0 <= line["y"] - editor["y"] < 60
    assert form["x"] >= editor["x"] + editor["width"]


@pytest.mark.deep
@pytest.mark.timeout(300)
def test_a_sleep_blocks_everybody_in_an_async_route(tab: "Page") -> None:
    choose(tab, "s1")
    ask(tab, "/fan-out/blocking?calls=2&delay_ms=100", method="GET")

    assert '"loop_ticks": 0' in send(tab)


@pytest.mark.deep
@pytest.mark.timeout(300)
def test_swagger_ui_tries_requests_out_on_the_app_in_the_tab(tab: "Page") -> None:
    choose(tab, "s2")
    tab.click("[data-part=routes] summary")
    tab.locator(".opblock-summary-path", has_text="/validate/chat").first.click()
    tab.click("[data-part=routes] button.execute")
    status = tab.locator(
        "[data-part=routes] .live-responses-table .response-col_status"
    )
    status.last.wait_for()

    assert "200" in status.last.inner_text()
    tab.click("[data-part=routes] summary")


@pytest.mark.deep
@pytest.mark.timeout(300)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_is_accessible_and_fits(
    place: str, browser: "Browser", dark: bool, size: tuple[int, int]
) -> None:
    with opened(browser, f"{place}?section=s5", dark=dark, size=size) as page:
        page.wait_for_function(
            "document.getElementById('playground').source?.length > 100"
        )
        assert page.input_value("[data-part=section]") == "s5"
        assert axe_violations(page) == []
        assert overflows(page) == []
