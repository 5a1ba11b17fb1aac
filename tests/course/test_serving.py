"""`course run`: what is served, what is said, and how it ends."""

import re
import signal
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI, WebSocket
from starlette.testclient import TestClient

from course.exercises import source, state
from course.manifest import Section, sections
from course.offline_docs import PREFIX, with_offline_docs
from course.serve import announcement, load
from course.tryit import BASE, try_it
from tests.course.checkout import running

SECTIONS = [it for it in sections() if it.id != "full_app"]


def test_a_section_is_served_until_ctrl_c_and_ends_quietly() -> None:
    with running("4") as (process, address, said):
        forged = {"X-Forwarded-For": "203.0.113.9"}
        answer = httpx2.get(f"{address}/whoami", headers=forged, trust_env=False)
        page = httpx2.get(f"{address}/docs", trust_env=False)
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=10)

    assert f"    curl -si {address}/limits/default" in said
    assert answer.status_code == 200
    assert "203.0.113.9" not in answer.text  # nobody asked for proxies to be believed
    assert f"{PREFIX}/swagger-ui-bundle.js" in page.text
    assert '"GET /whoami HTTP/1.1" 200' in rest
    assert process.returncode == 0
    assert rest.splitlines()[-1] == "Stopped."
    assert "Traceback" not in rest


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: str(section.id))
def test_the_docs_of_a_section_load_nothing_from_elsewhere(section: Section) -> None:
    with TestClient(load(section)) as client:
        for page in ("/docs", "/redoc"):
            html = client.get(page).text
            assets = re.findall(r'(?:src|href)="([^"]+)"', html)
            assert len(assets) >= 2
            for asset in assets:
                assert asset.startswith(f"{PREFIX}/"), asset
                assert client.get(asset).status_code == 200, asset
            schema = re.search(r"(?:spec-url=\"|url: ')([^\"']+)", html)
            assert schema is not None
            assert client.get(schema[1]).json()["openapi"].startswith("3.")


def test_everything_but_the_two_pages_is_the_sections_own() -> None:
    app = FastAPI()

    @app.get("/docs/of-mine")
    def mine() -> str:
        return "mine"

    @app.websocket("/docs")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("mine, too")
        await websocket.close()

    with TestClient(with_offline_docs(app)) as client:
        assert client.get("/docs/of-mine").json() == "mine"
        with client.websocket_connect("/docs") as connection:
            assert connection.receive_text() == "mine, too"


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: str(section.id))
def test_the_address_of_a_section_is_a_page_that_names_its_routes(
    section: Section,
) -> None:
    with TestClient(load(section), base_url="http://127.0.0.1:8123") as client:
        answer = client.get("/")
        schema = client.get("/openapi.json").json()

        assert answer.headers["content-type"].startswith("text/html")
        for path in schema["paths"]:
            assert path in answer.text
        assert 'href="/docs"' in answer.text
        assert "curl -s" in answer.text
        assert "http://127.0.0.1:8123/" in answer.text  # where it is really served
        assert BASE not in answer.text


def test_an_app_that_has_a_route_for_its_address_keeps_it() -> None:
    app = FastAPI()

    @app.get("/")
    def mine() -> str:
        return "mine"

    with TestClient(with_offline_docs(app)) as client:
        assert client.get("/").json() == "mine"


def test_the_page_of_a_section_shows_no_markup_of_its_texts_as_html() -> None:
    app = FastAPI(title="<b>bold</b>")
    with TestClient(with_offline_docs(app, "<i>about</i>")) as client:
        page = client.get("/").text

    assert "<b>" not in page
    assert "<i>" not in page


def test_a_static_file_outside_the_folder_is_not_served() -> None:
    with TestClient(with_offline_docs(FastAPI())) as client:
        assert client.get(f"{PREFIX}/..%2fcore.py").status_code == 404


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: str(section.id))
def test_every_section_announces_lines_to_try_at_its_own_address(
    section: Section,
) -> None:
    lines = announcement(section, "http://127.0.0.1:8123")

    tries = [line.strip() for line in lines if line.strip().startswith("curl ")]
    assert tries
    assert all("http://127.0.0.1:8123/" in line for line in tries)
    assert BASE not in "\n".join(lines)


def test_what_is_served_announces_the_next_exercise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(state, "FILE", tmp_path / "progress.json")

    lines = announcement(SECTIONS[0], "http://127.0.0.1:8123")
    assert [line for line in lines if "course check s1a" in line]

    monkeypatch.setattr(source, "exercises", list)  # an installation without them
    lines = announcement(SECTIONS[0], "http://127.0.0.1:8123")
    assert not [line for line in lines if "xercise" in line]


def test_a_continued_line_is_joined_and_keeps_its_spaces() -> None:
    text = f"curl {BASE}/a \\\n    -d '{{\"a\":    1}}'\nsomething else\n"

    joined = "  curl http://x/a -d '{\"a\":    1}'"
    assert try_it(text, "http://x")[1:] == [joined]
    assert try_it("nothing to try", "http://x") == []
    assert try_it(None, "http://x") == []


@pytest.mark.parametrize("app", ["s3", "s3.3"])
def test_ctrl_c_during_a_job_prints_no_complaint_of_the_server(app: str) -> None:
    with running(app) as (process, address, _):
        slow = {"text": "no hurry at all", "delay_ms": 2500}
        answer = httpx2.post(f"{address}/jobs", json=slow, trust_env=False)
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)

    assert answer.status_code == 202
    assert process.returncode == 0
    assert "Traceback" not in rest
    assert "Cancel" not in rest
    assert rest.splitlines()[-1] == "Stopped."


def test_ctrl_c_while_a_job_is_followed_prints_no_complaint_of_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FULL_APP_DRAIN_SECONDS", "0.5")
    messages = [{"role": "user", "content": "no hurry at all"}]
    slow = {"requests": [{"model": "fault-slow", "messages": messages}]}
    with running("full_app") as (process, address, _):
        accepted = httpx2.post(f"{address}/v1/jobs", json=slow, trust_env=False)
        events = f"{address}{accepted.headers['location']}/events"
        with httpx2.stream("GET", events, trust_env=False) as followed:
            lines = followed.iter_lines()
            assert "job.queued" in next(it for it in lines if it.startswith("event"))
            process.send_signal(signal.SIGINT)
            with pytest.raises(httpx2.RemoteProtocolError):
                list(lines)
        rest, _ = process.communicate(timeout=60)

    assert process.returncode == 0
    assert "ERROR" not in rest
    assert rest.splitlines()[-1] == "Stopped."


@pytest.mark.parametrize("words", [[], ["--reload"]], ids=["plain", "reloading"])
@pytest.mark.parametrize(
    "headers",
    [{f"x-{number}": "1" for number in range(101)}, {"x-much": "x" * 64 * 1024}],
    ids=["101 headers", "64 KiB"],
)
def test_the_complete_service_is_served_with_its_limits_of_a_connection(
    words: list[str], headers: dict[str, str]
) -> None:
    with running("full_app", *words) as (_, address, _):
        served = httpx2.get(f"{address}/health/live", trust_env=False)
        answer = httpx2.get(f"{address}/health/live", headers=headers, trust_env=False)

    assert served.status_code == 200
    assert answer.status_code == 431
    assert answer.json()["code"] == "request_head_too_large"
