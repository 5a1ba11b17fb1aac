"""What `course score` prints and writes, and what it never does to anybody."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from course import parser, tokens
from course.places import UsageError
from course.score import badge, report, run, server
from course.score.check import Check, Failed, check
from course.score.command import Options, header, score
from course.score.groups import limits
from course.score.results import Report, Result, from_json
from course.score.server import Server
from examples.full_app.main import create_app
from tests.course.score.bad_servers import text_headers
from tests.full_app.conftest import KEY, settings
from tests.servers import ROOT, free_port, serve

MODELS = b'{"object": "list", "data": [{"id": "a-model", "object": "model"}]}'
Answer = Callable[[Scope, Receive, Send], Any]


def only_models(answer: Answer | None = None) -> ASGIApp:
    """A server that lists one model; all else is answered by `answer`, or is a 404."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if (scope["method"], scope["path"]) == ("GET", "/v1/models"):
            await reply(send, 200, MODELS)
        elif answer:
            await answer(scope, receive, send)
        else:
            await reply(send, 404, b"Not Found")

    return app


async def reply(
    send: Send, status: int, body: bytes, headers: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Recorder:
    """A server before `app` that keeps what was asked, and the status of the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.asked: list[tuple[str, str, int]] = []
        self.headers: list[dict[str, str]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                asked = (scope["method"], scope["path"], message["status"])
                self.asked.append(asked)
            await send(message)

        if scope["type"] == "http":
            self.headers.append(text_headers(scope["headers"]))
        await self.app(scope, receive, watched)


@pytest.fixture
def poor() -> Iterator[str]:
    """A server that has only a list of models."""
    with serve(only_models(), lifespan="off") as url:
        yield url


async def judged(
    url: str, *, spend: bool = False, patience: float = 30, **given: Any
) -> Report:
    """The report about the server at `url`."""
    base = server.base_url(url)
    async with server.connected(base, key=None, headers={}, patience=patience) as it:
        it.model = await run.choose_model(it, None)
        return await run.run(it, spend=spend, **given)


# --- What it prints, writes and returns ---


def test_the_command_asks_what_is_free_and_says_what_it_left_out(keyless: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "course", "score", f"{keyless}/good/v1"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"{keyless}/good/v1 with the model gpt-4o-mini"
    assert "errors: 9 of 9" in lines
    assert "ok    The list of models gives each an id" in lines
    assert lines[-3:] == [
        "Score: 23 of 23",
        "Not asked: 24 (needs --spend: generates tokens)",
        "Not asked: 3 (needs --key: is about API keys)",
    ]
    assert "\x1b" not in done.stdout


def test_a_failure_is_followed_by_its_evidence_and_gives_status_1(
    keyless: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert score(Options(f"{keyless}/half_an_error/v1")) == 1

    lines = capsys.readouterr().out.splitlines()
    title = "An error is JSON with an object `error`, which has message, type, param"
    at = next(n for n, line in enumerate(lines) if line.startswith(f"FAIL  {title}"))
    assert lines[at + 1].startswith("      `error` is no object: POST ")
    assert "errors: 8 of 9" in lines
    assert "Score: 22 of 23" in lines


async def test_what_is_not_there_is_told_apart_and_does_not_count_as_held(
    poor: str,
) -> None:
    found = await judged(poor, spend=True)

    outcomes = {it.name: it.outcome for it in found.results}
    assert outcomes["models_are_listed"] == "held"
    assert outcomes["whole_answer"] == "not offered"
    assert outcomes["choice_of_an_unknown_tool_is_refused"] == "not offered"
    responses = {it.outcome for it in found.results if it.group == "responses"}
    assert responses == {"not offered"}
    assert not found.is_full
    (line,) = [it for it in report.lines(found) if it.startswith("Score")]
    missing = sum(it.outcome == "not offered" for it in found.results)
    assert line == f"Score: {found.held} of 47 ({missing} not offered)"


def test_json_goes_to_a_file_or_alone_to_the_terminal(
    keyed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"{keyed}/good/v1"
    path = tmp_path / "score.json"
    assert score(Options(url, key=KEY, json=str(path))) == 0
    assert "Score: 26 of 26" in capsys.readouterr().out
    assert score(Options(url, key=KEY, json="-")) == 0

    printed = json.loads(capsys.readouterr().out)
    written = json.loads(path.read_text(encoding="utf-8"))
    assert (written["held"], written["asked"]) == (26, 26)
    assert printed["results"] == written["results"]
    assert KEY not in path.read_text(encoding="utf-8")
    assert from_json(written).as_json() == written


def of(held: int, failed: int) -> Report:
    """A report with so many results."""
    outcomes = ["held"] * held + ["failed"] * failed
    results = [
        Result("chat", f"check_{n}", f"It holds {n}", "RFC 1", outcome)  # type: ignore[arg-type]
        for n, outcome in enumerate(outcomes)
    ]
    return Report("http://127.0.0.1/v1", "m", "2026-11-29", "3", results)


@pytest.mark.parametrize(
    ("held", "failed", "token"), [(50, 0, "good"), (46, 4, "warn"), (20, 30, "warm")]
)
def test_the_badge_has_the_figures_in_the_courses_colours(
    held: int, failed: int, token: str
) -> None:
    drawn = badge.svg(of(held, failed))
    root = ET.fromstring(drawn)  # noqa: S314 - our own

    texts = [it.text for it in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["wire score", f"{held} of 50"]
    assert root.get("aria-label") == f"wire score: {held} of 50"
    assert f'fill="{tokens.light()[token]}"' in drawn


def test_the_badge_is_written_to_a_file(keyless: str, tmp_path: Path) -> None:
    path = tmp_path / "badge.svg"
    score(Options(f"{keyless}/good/v1", badge=path))

    assert "23 of 23" in path.read_text(encoding="utf-8")


def test_there_is_colour_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = report.lines(of(1, 1))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    coloured = report.lines(of(1, 1))

    assert not any("\x1b" in line for line in plain)
    assert any(line.startswith("\x1b[31mFAIL") for line in coloured)


# --- What it cannot judge is status 2, in a sentence ---


def test_a_server_that_is_not_there_is_named(poor: str) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(UsageError, match=r"Nothing answers at .* Start the server"):
        score(Options(url))

    assert UsageError.status == 2


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8000",
        "ftp://127.0.0.1",
        "http://",
        "http://127.0.0.1:port",
        "http://127.0.0.1:99999",
        "http://user:secret@127.0.0.1",
        "http://127.0.0.1/v1?a=b",
        "",
    ],
)
def test_what_is_no_address_is_said_to_be_none(url: str) -> None:
    with pytest.raises(UsageError, match="is not the address of a server"):
        score(Options(url))


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/v1"),
        ("http://[::1]:8000/v1/", "http://[::1]:8000/v1"),
        ("https://api.example.com/openai/v1", "https://api.example.com/openai/v1"),
    ],
)
def test_the_address_is_that_of_the_official_client(typed: str, meant: str) -> None:
    assert server.base_url(typed) == meant


def test_a_server_that_wants_a_key_says_so(keyed: str) -> None:
    with pytest.raises(UsageError, match=r"Give one with --key\."):
        score(Options(f"{keyed}/good/v1"))
    with pytest.raises(UsageError, match=r"Another --key is needed\."):
        score(Options(f"{keyed}/good/v1", key="sk-wrong"))


def test_without_a_list_of_models_one_has_to_be_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, 404, b"Not Found")

    with serve(nothing, lifespan="off") as url:
        with pytest.raises(UsageError, match="Name one with --model"):
            score(Options(url))
        assert score(Options(url, model="a-model")) == 1
    assert "with the model a-model" in capsys.readouterr().out


@pytest.mark.parametrize("typed", ["no colon", ": value", "a b: c", "X: a\r\nY: b"])
def test_a_header_that_cannot_be_sent_is_refused(typed: str) -> None:
    with pytest.raises(UsageError):
        header(typed)


def test_headers_go_with_every_request(poor: str) -> None:
    recorder = Recorder(only_models())
    with serve(recorder, lifespan="off") as url:
        score(Options(url, headers=["X-Provider: openai"]))

    assert len(recorder.headers) > 20
    assert {it.get("x-provider") for it in recorder.headers} == {"openai"}


def test_the_options_are_those_of_the_command_line() -> None:
    words = "score http://127.0.0.1 --key k --model m --spend --header A:b --json -"
    typed = parser.build().parse_args([*words.split(), "--badge", "b.svg"])

    assert (typed.url, typed.key, typed.model, typed.spend) == (
        "http://127.0.0.1",
        "k",
        "m",
        True,
    )
    assert (typed.header, typed.json, typed.badge) == (["A:b"], "-", Path("b.svg"))


# --- What it never does ---


def test_nothing_is_generated_unless_it_may_spend() -> None:
    recorder = Recorder(create_app(settings(api_keys="")))
    with serve(recorder) as url:
        assert score(Options(url)) == 0
        free = recorder.asked[:]
        recorder.asked.clear()
        assert score(Options(url, spend=True)) == 0

    generated = [it for it in free if it[0] == "POST" and it[2] < 400]
    assert len(free) > 30
    assert generated == []
    assert len([it for it in recorder.asked if it[0] == "POST" and it[2] == 200]) > 20


def test_no_redirect_leads_it_to_another_server() -> None:
    other = Recorder(only_models())
    with serve(other, lifespan="off") as elsewhere:

        async def redirect(scope: Scope, receive: Receive, send: Send) -> None:
            where = f"{elsewhere}{scope['path']}".encode()
            await reply(send, 307, b"", ((b"location", where),))

        with serve(only_models(redirect), lifespan="off") as url:
            assert score(Options(url, spend=True)) == 1

    assert other.asked == []


def test_nothing_meant_for_openai_or_a_proxy_reaches_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Secret: secret")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://api.example.com/secret")
    proxy, recorder = Recorder(only_models()), Recorder(only_models())
    with (
        serve(proxy, lifespan="off") as through,
        serve(recorder, lifespan="off") as url,
    ):
        monkeypatch.setenv("HTTP_PROXY", through)
        monkeypatch.setenv("http_proxy", through)
        monkeypatch.setenv("ALL_PROXY", through)
        score(Options(url, spend=True))

    assert len(recorder.headers) > 40
    assert "secret" not in str(recorder.headers)
    assert proxy.asked == []


# --- It ends, and it trusts nothing that a server sends ---


async def trickle(scope: Scope, receive: Receive, send: Send) -> None:
    """Send a little, again and again, and never the end."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    stopped = asyncio.Event()
    while not stopped.is_set():
        await send({"type": "http.response.body", "body": b" ", "more_body": True})
        try:
            await asyncio.wait_for(stopped.wait(), 0.05)
        except TimeoutError:
            continue


async def test_a_server_that_never_ends_an_answer_does_not_hold_it_up() -> None:
    with serve(only_models(trickle), lifespan="off") as url:
        found = await judged(url, spend=True, check_seconds=0.3, run_seconds=1.5)

    evidence = [it.evidence for it in found.asked if it.outcome == "failed"]
    assert evidence[0] == "no whole answer within 0.3 s"
    assert evidence[-1] == "the time of the whole run was over before"
    assert len(found.asked) == 47


async def test_what_a_server_sends_cannot_command_the_terminal() -> None:
    async def attack(scope: Scope, receive: Receive, send: Send) -> None:
        words = (
            '{"error": {"message": "\x1b[2J\u202e\r\nok    All is well' + "x" * 9_000
        )
        await reply(send, 500, words.encode())

    with serve(only_models(attack), lifespan="off") as url:
        found = await judged(url, spend=True)

    evidence = [it.evidence for it in found.asked if it.outcome == "failed"]
    assert len(evidence) > 30
    assert all(each.isprintable() for each in evidence)
    assert max(map(len, evidence)) <= run.EVIDENCE


@pytest.mark.parametrize(
    ("check", "evidence"),
    [
        (limits.huge_body_is_refused_unread, "no answer in 0.3 s: it waits for the"),
        (limits.half_a_request_holds_up_nobody, "GET /models waited for 0.3 s"),
    ],
    ids=lambda it: getattr(it, "name", ""),
)
async def test_who_waits_for_what_does_not_come_has_failed(
    check: Check, evidence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pending = asyncio.Event()

    async def one_at_a_time(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET" and not pending.is_set():
            await reply(send, 200, MODELS)
            return
        pending.set()
        while (await receive())["type"] != "http.disconnect":
            pass

    monkeypatch.setattr(limits, "SOON", 0.3)
    with serve(one_at_a_time, lifespan="off") as url:
        base = server.base_url(url)
        async with server.connected(base, key=None, headers={}, patience=30) as it:
            with pytest.raises(Failed, match=evidence):
                await check.ask(it)


# --- Which checks are asked ---


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("[::1]", True),
        ("localhost", True),
        ("192.168.0.1", False),
        ("localhost.example", False),
    ],
)
async def test_a_local_server_is_known_by_its_address(host: str, local: bool) -> None:
    url = f"http://{host}:8000/v1"
    async with server.connected(url, key=None, headers={}, patience=1) as it:
        assert it.is_local is local


async def test_a_server_elsewhere_is_not_asked_about_web_pages(
    poor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Server, "is_local", False)
    found = await judged(poor, spend=True)

    left_out = {it.evidence for it in found.results if it.outcome == "not asked"}
    safety = [it for it in found.results if it.group == "safety of a local server"]
    assert left_out == {run.REMOTE, run.KEYLESS}
    assert {it.outcome for it in safety} == {"not asked"}


def test_a_check_without_a_source_is_none() -> None:
    async def ask(_: Server) -> None:
        """It holds."""

    with pytest.raises(ValueError, match="ask names no source"):
        check()(ask)
