"""The stage: recorded answers, the check of the evening before, and PDFs."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from course import chromium
from course.deck import pdf, present, recorded, rehearsal
from course.deck.build import build
from course.deck.recorded import Answer
from course.groups import satisfied
from course.manifest import Section, find, sections
from course.places import CourseError
from course.site import tryit
from course.tryit import parse

ALL = sections()


@contextmanager
def replayed(answers: list[Answer]) -> Iterator[httpx2.Client]:
    """A client of a server of recorded answers."""
    server = recorded.server(answers, 0)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    base = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        with httpx2.Client(base_url=base, trust_env=False) as client:
            yield client
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("section", ALL, ids=lambda section: str(section.id))
def test_every_request_of_a_stage_kit_is_recorded_in_order(section: Section) -> None:
    listed = []
    for app, lines in recorded.fences(section):
        for step in tryit.steps(lines):
            request = parse(step.line)
            listed.append((app, request.method, request.path, request.body or ""))
    answers = recorded.load(section)

    assert [(it.app, it.method, it.path, it.body) for it in answers] == listed


@pytest.mark.deep
@pytest.mark.parametrize("section", ALL, ids=lambda section: str(section.id))
def test_todays_code_answers_as_was_recorded(section: Section) -> None:
    now = [shape(answer) for answer in recorded.send(section)]

    assert now == [shape(answer) for answer in recorded.load(section)]


def shape(answer: Answer) -> tuple[str, int, list[str], list[str]]:
    """What does not change from one run to the next."""
    text = "".join(piece for _, piece in answer.pieces)
    fields = []
    if answer.headers.get("content-type") == "application/json":
        body = json.loads(text)
        fields = sorted(body) if isinstance(body, dict) else []
    return answer.path, answer.status, sorted(answer.headers), fields


@pytest.mark.parametrize("section", ALL, ids=lambda section: str(section.id))
def test_a_stage_kit_has_five_questions_and_says_how_to_go_on(section: Section) -> None:
    text = recorded.kit(section).read_text(encoding="utf-8")
    _, _, rest = text.partition("## Five questions, and their answers")
    questions, _, breaks = rest.partition("## What breaks, and how to go on")

    assert questions.count("\n| ") - 1 == 5
    assert breaks.count("\n| ") - 1 >= 4
    assert f"present --recorded {section.id}" in text


def test_a_recorded_answer_is_sent_with_status_headers_and_body() -> None:
    answers = recorded.load(find("s5"))
    wanted = next(it for it in answers if it.status == 429)
    with replayed(answers) as client:
        answer = client.request(wanted.method, wanted.path)

        assert answer.status_code == 429
        assert answer.headers["retry-after"] == wanted.headers["retry-after"]
        assert answer.text == "".join(text for _, text in wanted.pieces)


def test_equal_requests_get_their_answers_in_order_then_the_last_one() -> None:
    flaky = [it for it in recorded.load(find("full_app")) if "flaky" in it.body]
    spaced = json.dumps(json.loads(flaky[0].body), indent=2)
    with replayed(flaky) as client:
        statuses = [
            client.post("/v1/chat/completions", content=spaced).status_code
            for _ in range(4)
        ]

    assert statuses == [503, 503, 200, 200]


def test_what_was_not_recorded_is_refused_with_what_was() -> None:
    with replayed(recorded.load(find("s1"))) as client:
        answer = client.get("/nothing")

        assert answer.status_code == 404
        assert "GET /sequential" in answer.json()["recorded"]


def test_a_section_without_a_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(CourseError, match="Nothing is recorded for s2"):
        recorded.load(find("s2"), tmp_path)


def test_the_check_passes_here_and_says_what_only_the_screen_knows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    if not satisfied("docs"):
        assert not os.environ.get("COURSE_REQUIRE_DOCS"), "the docs group is missing"
        pytest.skip("needs `python3 -m course setup docs`")
    assert rehearsal.check() == 0
    printed = capsys.readouterr().out

    assert "8 decks" in printed
    assert "no page asks another machine" in printed
    assert "check.html" in printed


def test_the_check_fails_where_a_deck_has_drifted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: Path) -> None:
        raise CourseError("slides/s1_x.md:7: the code differs")

    monkeypatch.setattr(rehearsal, "build", refuse)

    assert rehearsal.check() == 1
    assert "FAIL  decks      slides/s1_x.md:7" in capsys.readouterr().out


def test_the_check_fails_where_a_page_would_need_a_network(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def with_an_image(folder: Path) -> list[object]:
        page = '<img src="https://example.com/a.png">'
        (folder / "index.html").write_text(page, encoding="utf-8")
        return []

    monkeypatch.setattr(rehearsal, "build", with_an_image)

    assert rehearsal.check() == 1
    assert "FAIL  offline    1 pages ask" in capsys.readouterr().out


def test_without_a_browser_a_pdf_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chromium, "program", lambda: None)

    with pytest.raises(CourseError, match="print-pdf"):
        pdf.write({tmp_path / "index.html": tmp_path / "deck.pdf"})


@pytest.mark.deep
def test_decks_and_handouts_are_written_as_pdf(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if chromium.program() is None or not satisfied("browser"):
        assert not os.environ.get("COURSE_REQUIRE_BROWSER"), "no browser to print with"
        pytest.skip("needs Chromium, and `python3 -m course setup browser`")
    built = build(tmp_path)[-1:]
    monkeypatch.setattr(present, "build", lambda _: built)
    monkeypatch.setattr(present, "notebooks", lambda _: [])

    assert present.write(tmp_path, pdf=True) == 0
    printed = (tmp_path / "s7_takeaways.pdf").read_bytes()
    pages = printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ")
    assert pages == built[0].slides
    assert (tmp_path / "s7_takeaways-handout.pdf").read_bytes().startswith(b"%PDF")


def test_recorded_answers_are_served_beside_a_deck(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with present.replaying("s6_full_app", 0) as address:
        message = {"role": "user", "content": "Why async?"}
        body = {"model": "fault-429", "messages": [message]}
        answer = httpx2.post(f"{address}/v1/chat/completions", json=body)

    assert answer.status_code == 429
    assert f"Recorded answers of full_app are at {address}" in capsys.readouterr().out


def test_the_opening_has_no_recorded_answers() -> None:
    with (
        pytest.raises(CourseError, match="s0_opening has no demonstration"),
        present.replaying("s0_opening", 0),
    ):
        pass
