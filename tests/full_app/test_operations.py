"""What an operator relies on: health, metrics, logs, shutdown, several processes."""

import io
import json
import logging
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import openai
import pytest
from fastapi.testclient import TestClient

from examples.full_app.main import create_app
from examples.full_app.observability.logs import JSONFormatter, access_log
from examples.full_app.settings import configured_processes
from examples.s4_dependency_injection import open_redis
from tests.conftest import running_redis
from tests.full_app.conftest import KEY, settings
from tests.servers import free_port, process, wait_for_http, wait_until

PROMPT = "a prompt that no log may hold"
ASK = {"model": "offline-echo", "messages": [{"role": "user", "content": PROMPT}]}
HEADERS = {"Authorization": f"Bearer {KEY}"}
APP = "examples.full_app.main:app"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the access log writes, as JSON lines."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(JSONFormatter())
    access_log.addHandler(handler)
    level = access_log.level
    access_log.setLevel(logging.INFO)
    yield text
    access_log.removeHandler(handler)
    access_log.setLevel(level)


def test_a_request_is_one_line_of_json_without_prompt_and_key(log: io.StringIO) -> None:
    with TestClient(create_app(settings())) as client:
        answer = client.post("/v1/chat/completions", json=ASK, headers=HEADERS)
    (line,) = log.getvalue().splitlines()
    entry = json.loads(line)

    assert entry["request_id"] == answer.headers["x-request-id"]
    assert (entry["status"], entry["key"], entry["model"]) == (
        200,
        "alpha",
        "offline-echo",
    )
    assert entry["route"] == "/v1/chat/completions"
    assert entry["ms"] > 0
    assert PROMPT not in line
    assert KEY not in line


def test_an_exception_is_part_of_its_line() -> None:
    record = logging.LogRecord("x", logging.ERROR, "f", 1, "failed", None, None)
    try:
        raise ValueError("why")
    except ValueError:
        record.exc_info = sys.exc_info()
    entry = json.loads(JSONFormatter().format(record))

    assert entry["message"] == "failed"
    assert "ValueError: [length=3 hash=" in entry["exception"]


@pytest.mark.wire
def test_metrics_count_by_route_template_and_never_by_path() -> None:
    with TestClient(create_app(settings()), headers=HEADERS) as client:
        client.post("/v1/chat/completions", json=ASK)
        client.get("/v1/jobs/job_00000001")
        for secret in range(5):
            client.get(f"/nowhere/{secret}")
            client.request(f"M{secret}", "/nowhere")
        text = client.get("/metrics").text

    assert 'route="/v1/jobs/{job_id}"' in text
    assert "nowhere" not in text
    assert 'method="M1"' not in text
    series = "gen_ai_client_inference_operation_input_tokens_sum{"
    series += 'gen_ai_operation_name="chat"'
    series += ',gen_ai_provider_name="offline",gen_ai_request_model="offline-echo"'
    assert series in text
    assert PROMPT not in text
    assert "alpha" not in text


def test_without_redis_it_is_not_ready_but_alive_and_answers(tmp_path: Path) -> None:
    """A limiter that is out must not take the service with it; jobs need Redis."""
    with running_redis(tmp_path) as (url, server):
        app = create_app(settings(redis_url=url, job_worker=False))
        with TestClient(app, headers=HEADERS) as client:
            assert client.get("/health/ready").json() == {"status": "ok"}
            server.terminate()
            server.wait(10)
            ready = client.get("/health/ready")
            live = client.get("/health/live")
            chat = client.post("/v1/chat/completions", json=ASK)
            job = client.post("/v1/jobs", json={"requests": [ASK]})

    assert (ready.status_code, ready.json()["code"]) == (503, "service_unavailable")
    assert (live.status_code, chat.status_code) == (200, 200)
    assert (job.status_code, job.json()["code"]) == (503, "service_unavailable")


async def test_a_redis_that_may_evict_keys_is_warned_of(
    redis_server: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_redis(settings(redis_url=redis_server)) as redis:
        before = (await redis.config_get("maxmemory-policy"))["maxmemory-policy"]
        try:
            for policy in ("noeviction", "allkeys-lru"):
                await redis.config_set("maxmemory-policy", policy)
                with TestClient(create_app(settings(redis_url=redis_server))):
                    pass
        finally:
            await redis.config_set("maxmemory-policy", str(before))
    (warning,) = (r for r in caplog.records if "noeviction" in r.getMessage())

    assert warning.__dict__["reason"] == "maxmemory-policy is allkeys-lru"


async def test_a_redis_that_does_not_say_is_warned_of_and_used(
    redis_server: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_redis(settings(redis_url=redis_server)) as redis:
        await redis.acl_setuser(
            "narrow",
            enabled=True,
            passwords=["+word"],
            categories=["+@all"],
            commands=["-info"],
            keys=["*"],
            channels=["*"],
        )
        narrow = redis_server.replace("redis://", "redis://narrow:word@")
        try:
            app = create_app(settings(redis_url=narrow, job_worker=False))
            with TestClient(app, headers=HEADERS) as client:
                answer = client.post("/v1/chat/completions", json=ASK)
        finally:
            await redis.acl_deluser("narrow")

    assert answer.status_code == 200
    assert "maxmemory-policy unknown" in caplog.text


@pytest.mark.parametrize(
    ("argv", "environ", "expected"),
    [
        ([], {}, 1),
        (["uvicorn", "--workers", "4"], {}, 4),
        (["uvicorn", "--workers=3"], {}, 3),
        ([], {"WEB_CONCURRENCY": "2"}, 2),
        (["--workers", "1"], {"WEB_CONCURRENCY": "2"}, 1),
        (["--workers"], {}, 1),
    ],
)
def test_the_number_of_processes_is_read_as_uvicorn_reads_it(
    argv: list[str], environ: dict[str, str], expected: int
) -> None:
    assert configured_processes(argv, environ) == expected


@pytest.mark.deep
def test_two_processes_without_redis_refuse_to_start_and_say_why() -> None:
    port = str(free_port())
    command = ("-m", "uvicorn", APP, "--port", port, "--workers", "2")
    with process(*command, env={"REDIS_URL": ""}) as started:
        assert started.stdout is not None
        seen = b""
        while b"set REDIS_URL to run more than one process" not in seen:
            part = started.stdout.readline()
            assert part, seen
            seen += part


@pytest.mark.deep
def test_two_processes_on_redis_serve_the_official_client(redis_server: str) -> None:
    port = free_port()
    command = ("-m", "uvicorn", APP, "--port", str(port), "--workers", "2")
    env = {
        "REDIS_URL": f"{redis_server}/4",
        "FULL_APP_API_KEYS": KEY,
        "FULL_APP_OFFLINE_PACE": "0",
    }
    base = f"http://127.0.0.1:{port}"
    with process(*command, "--log-level", "warning", env=env):
        wait_for_http(f"{base}/health/ready")
        with openai.OpenAI(base_url=f"{base}/v1", api_key=KEY) as client:
            for stream in (False, True):
                answer = client.chat.completions.create(
                    model="gpt-4o-mini",
                    messages=[{"role": "user", "content": "hi"}],
                    stream=stream,
                )
                assert isinstance(answer, openai.Stream) == stream
        with httpx2.Client(base_url=base, headers=HEADERS) as http:
            job = http.post("/v1/jobs", json={"requests": [ASK]}).json()

            def ended() -> bool:
                # a new connection each time: either process may answer
                url = f"{base}/v1/jobs/{job['id']}"
                found = httpx2.get(url, headers=HEADERS).json()
                return bool(found["status"] == "succeeded")

            wait_until(ended, what="the job")


@pytest.mark.deep
def test_a_worker_works_off_what_an_api_without_one_accepts(redis_server: str) -> None:
    url = f"{redis_server}/5"
    env = {"REDIS_URL": url, "FULL_APP_OFFLINE_PACE": "0", "FULL_APP_API_KEYS": KEY}
    app = create_app(settings(redis_url=url, job_worker=False))
    with (
        TestClient(app, headers=HEADERS) as client,
        process("-m", "examples.full_app.worker", env=env) as worker,
    ):
        job = client.post("/v1/jobs", json={"requests": [ASK]}).json()
        path = f"/v1/jobs/{job['id']}"
        wait_until(lambda: bool(client.get(path).json()["status"] == "succeeded"))
        worker.send_signal(signal.SIGTERM)

        assert worker.wait(15) == 0


@pytest.mark.deep
def test_a_worker_without_redis_says_so_and_ends() -> None:
    with process("-m", "examples.full_app.worker", env={"REDIS_URL": ""}) as worker:
        output, _ = worker.communicate(timeout=20)

    assert worker.returncode == 2
    assert b"set REDIS_URL" in output


def test_docs_and_page_need_no_other_host(http: httpx2.Client) -> None:
    for path in ("/", "/docs", "/redoc", "/console/console.js"):
        text = http.get(path).text
        addresses = [
            w for w in text.split('"') if w.startswith(("http:", "https:", "//"))
        ]
        assert addresses == [], path
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "redoc.standalone.js"):
        assert http.get(f"/static-offline-docs/{asset}").status_code == 200
