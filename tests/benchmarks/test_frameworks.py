"""`course bench`: what it counts is what happened, and a quick run measures all."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response, StreamingResponse

from benchmarks import practice, validation
from benchmarks.client import quantile
from benchmarks.frameworks import Row
from benchmarks.load import Bundled, Target, Tool, Wrk, read_wrk
from benchmarks.report import relative
from course.groups import satisfied
from tests.servers import ROOT, serve

PRINTED = """Running 2s test @ http://127.0.0.1:8000/json
  1 threads and 32 connections
  Latency Distribution
     50%    5.10ms
     75%   12.00ms
     90%    1.10s
     99%  850.00us
  10912 requests in 2.00s, 1.2MB read
  Socket errors: connect 1, read 2, write 0, timeout 4
  Non-2xx or 3xx responses: 5
Requests/sec:   5456.00
"""


def counting_app() -> tuple[FastAPI, dict[str, int]]:
    """An app that counts what it answers, in each way an answer can end."""
    app, counted = FastAPI(), {"/plain": 0, "/chunked": 0, "/broken": 0, "/echo": 0}

    @app.get("/plain")
    async def plain() -> Response:
        counted["/plain"] += 1
        return JSONResponse({"fine": True})

    @app.get("/chunked")
    async def chunked() -> Response:
        counted["/chunked"] += 1
        return StreamingResponse(iter([b"one", b"two"]))

    @app.get("/broken")
    async def broken() -> Response:
        counted["/broken"] += 1
        return JSONResponse({}, status_code=503)

    @app.post("/echo")
    async def echo(body: dict[str, int]) -> dict[str, int]:
        counted["/echo"] += body["times"]
        return body

    return app, counted


@pytest.fixture(scope="module")
def counted() -> Iterator[tuple[str, dict[str, int]]]:
    """The base URL of a counting app, and its counts."""
    app, counts = counting_app()
    with serve(app) as url:
        yield url, counts


@pytest.mark.parametrize("path", ["/plain", "/chunked", "/echo"])
def test_the_bundled_tool_counts_what_the_server_answered(
    counted: tuple[str, dict[str, int]], path: str
) -> None:
    url, counts = counted
    body = json.dumps({"times": 1}) if path == "/echo" else None

    load = Bundled()(Target(url + path, 4, 0.2, body))

    assert load.requests == counts[path] > 0
    assert load.errors == 0
    assert 0 < load.p50_ms <= load.p99_ms


def test_answers_that_are_not_2xx_are_errors(
    counted: tuple[str, dict[str, int]],
) -> None:
    load = Bundled()(Target(counted[0] + "/broken", 2, 0.1))

    assert load.errors == load.requests == counted[1]["/broken"] > 0


def test_load_goes_to_this_machine_only() -> None:
    with pytest.raises(ValueError, match="this machine only"):
        Target("http://192.0.2.1/json", 1, 1)


def test_wrks_units_and_errors_are_read() -> None:
    load = read_wrk(PRINTED)

    assert (load.requests, load.requests_per_second) == (10912, 5456)
    assert (load.p50_ms, load.p99_ms) == (5.1, 0.85)
    assert load.errors == 1 + 2 + 0 + 4 + 5


def test_what_is_not_wrks_is_refused() -> None:
    with pytest.raises(ValueError, match="not wrk"):
        read_wrk("unable to connect")


@pytest.mark.deep
@pytest.mark.parametrize("tool", [Wrk(), Bundled()], ids=lambda tool: str(tool.name))
def test_both_tools_post_the_body(
    counted: tuple[str, dict[str, int]], tool: Tool
) -> None:
    if shutil.which("wrk") is None and tool.name == "wrk":
        pytest.skip("wrk is not installed: the bundled tool is used and was tested")
    before = counted[1]["/echo"]

    load = tool(Target(counted[0] + "/echo", 2, 1, json.dumps({"times": 1})))

    assert load.errors == 0
    assert counted[1]["/echo"] - before >= load.requests > 0


@pytest.mark.parametrize(
    ("share", "value"), [(0.0, 1.0), (0.5, 3.0), (0.99, 4.0), (1.0, 4.0)]
)
def test_a_quantile_is_one_of_the_values(share: float, value: float) -> None:
    assert quantile([1.0, 2.0, 3.0, 4.0], share) == value
    assert quantile([], share) == 0


def row(server: str, rate: float, connections: int = 32) -> Row:
    """A row with that many requests a second."""
    return Row(
        server=server,
        async_="",
        workload="json",
        connections=connections,
        workers=1,
        requests_per_second=rate,
        p50_ms=1,
        p99_ms=2,
        errors=0,
        rounds=[rate],
    )


def test_a_ratio_is_to_fastapi_under_the_same_load() -> None:
    rows = [row("FastAPI", 200), row("FastAPI", 100, 1), row("Flask", 50)]

    assert relative(rows[2], rows) == 0.25
    assert relative(rows[1], rows) == 1


@pytest.mark.skipif(
    sys.version_info >= validation.V1_ENDS, reason="Pydantic 1 ends with Python 3.13"
)
def test_both_versions_of_pydantic_judge_every_body_alike() -> None:
    pairs = validation.measure(0.05)

    assert [(pair.messages, pair.valid) for pair in pairs] == [
        (size, valid) for size in (1, 20, 200) for valid in (True, False)
    ]
    assert all(pair.ratio == pair.v1_us / pair.v2_us for pair in pairs)


def test_lru_cache_builds_several_services_and_a_lifespan_one() -> None:
    built = practice.singletons()

    assert built.first[1] > 1
    assert built.second[1] == 1


def test_every_habit_is_compared() -> None:
    compared = [practice.middleware(0.02), practice.response_models(0.02)]

    assert [it.first[0] for it in compared] == [
        "BaseHTTPMiddleware",
        "return annotation",
    ]
    assert all(it.first[1] > 0 and it.second[1] > 0 for it in compared)


@pytest.mark.deep
@pytest.mark.timeout(240)
def test_a_quick_run_measures_every_framework_without_an_error(tmp_path: Path) -> None:
    if not satisfied("bench"):
        if os.environ.get("COURSE_REQUIRE_BENCH"):
            pytest.fail("COURSE_REQUIRE_BENCH is set and the bench group is missing")
        pytest.skip("the bench group is not installed: python3 -m course setup bench")
    command = [sys.executable, "-m", "course", "bench", "--quick"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )

    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "frameworks.json").read_text(encoding="utf-8"))
    names = {row["server"] for row in found["frameworks"]} | set(found["skipped"])
    assert names == {"raw ASGI", "FastAPI", "Flask", "Django", "Express"}
    assert {row["server"] for row in found["frameworks"]} >= {"FastAPI", "Flask"}
    assert all(row["requests_per_second"] > 0 for row in found["frameworks"])
    assert sum(row["errors"] for row in found["frameworks"]) == 0
    for theme in ("light", "dark"):
        assert "<svg" in (tmp_path / f"frameworks-json-{theme}.svg").read_text("utf-8")
    assert "chapter" in done.stdout
    *_, verdict, place = done.stdout.strip().splitlines()
    assert verdict.startswith("On this machine FastAPI sends ")
    assert str(tmp_path / "frameworks.json") in place
