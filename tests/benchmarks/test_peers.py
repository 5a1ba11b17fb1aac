"""`course bench --peers`: what is judged is what was measured, and of whom."""

import json
import os
from pathlib import Path

import pytest

from benchmarks.load import Target, script_of
from benchmarks.peers import report
from benchmarks.peers.bodies import (
    BARE,
    BARE_EVENTS,
    FULL,
    OFFLINE_MODEL,
    RAW,
    TEXT,
    WORDS,
    chat,
    streamed_text,
    whole_text,
)
from benchmarks.peers.results import Cell, Kind, Memory, Mode, Results, Scale, Waiting
from benchmarks.peers.targets import judged
from benchmarks.report import Machine
from course.groups import satisfied
from examples.full_app.schemas.chat import ChatCompletionRequest

MACHINE = Machine(system="Linux x86_64", cores=2, python="3.11.7", packages={})


def cell(name: str, speed: float, mode: Mode = "offline", kind: Kind = "whole") -> Cell:
    return Cell(
        contestant=name,
        mode=mode,
        kind=kind,
        connections=32,
        requests_per_second=speed,
        events_per_second=speed * 200 if kind == "stream" else None,
        p50_ms=1,
        p99_ms=2,
        cpu_seconds_per_1000=0.5,
        errors=0,
        rounds=[speed],
    )


def wait(name: str, mode: Mode, first: float, p99: float) -> Waiting:
    return Waiting(
        contestant=name,
        mode=mode,
        first_text_p50_ms=first,
        rate=400,
        p50_ms=1,
        p99_ms=p99,
        errors=0,
    )


def results(**given: object) -> Results:
    empty: dict[str, object] = {
        "quick": True,
        "tool": "wrk",
        "machine": MACHINE,
        "versions": {},
        "skipped": {},
        "cells": [],
        "waiting": [],
        "memory": [],
        "scales": [],
    }
    return Results.model_validate({**empty, **given})


def verdicts(found: Results) -> dict[str, bool | None]:
    return {target.what: target.held for target in judged(found)}


@pytest.mark.parametrize(("speed", "held"), [(600, True), (599, False)])
def test_a_ratio_is_held_from_the_figure_wanted(speed: float, held: bool) -> None:
    found = results(cells=[cell(FULL, speed), cell(BARE, 1000)])

    assert verdicts(found)["requests a second, of bare FastAPI"] is held


def test_a_cell_with_errors_is_no_measurement() -> None:
    broken = cell(FULL, 9_999).model_copy(update={"errors": 1})
    found = results(cells=[broken, cell(BARE, 1000)])

    assert verdicts(found)["requests a second, of bare FastAPI"] is None


def test_a_load_that_nothing_answered_is_no_measurement() -> None:
    stuck = cell("LitServe", 0).model_copy(update={"rounds": [5.0, 0.0, 5.0]})
    found = results(cells=[cell(FULL, 1000), stuck, cell(BARE, 1000)])
    found.targets = judged(found)

    assert verdicts(found)["requests a second, of LitServe"] is None
    assert "| 0 (not valid) |" in report.markdown(found)


def test_a_peer_that_is_not_there_leaves_its_targets_open() -> None:
    found = results(cells=[cell(FULL, 600, "proxy"), cell("Portkey", 300, "proxy")])
    said = verdicts(found)

    assert said["proxied requests a second, of Portkey"] is True
    assert said["proxied requests a second, of LiteLLM"] is None


def test_streams_are_compared_by_their_events() -> None:
    chunky = cell(FULL, 100, kind="stream")
    fewer = cell(BARE, 200, kind="stream").model_copy(update={"events_per_second": 99})
    found = results(cells=[chunky, fewer])

    assert verdicts(found)["events a second, of bare FastAPI"] is True


@pytest.mark.parametrize(("p99", "held"), [(17, True), (17.1, False)])
def test_what_is_added_is_measured_over_the_other(p99: float, held: bool) -> None:
    found = results(
        waiting=[
            wait(FULL, "offline", 7, p99),
            wait(BARE, "offline", 2, 2),
            wait(FULL, "proxy", 0, 20),
            wait(RAW, "offline", 0, 1),
        ]
    )
    said = verdicts(found)

    assert said["p99 over bare FastAPI's, at 400 requests a second"] is held
    assert said["p99 over the upstream's, proxied, at 400 requests a second"] is False
    assert said["first text of a stream, over bare FastAPI's"] is True


def test_memory_is_judged_a_stream_and_for_being_linear() -> None:
    rows = [(1_000, 40_000.0), (5_000, 101_000.0)]
    found = results(
        memory=[
            Memory(contestant=FULL, streams=n, idle_bytes=1, per_stream_bytes=each)
            for n, each in rows
        ]
    )

    assert list(verdicts(found).values())[-3:] == [True, False, False]


def test_growth_is_judged_by_its_slope() -> None:
    def of(what: str, number: int, cpu: float, speed: float = 1) -> Scale:
        return Scale.model_validate(
            {
                "what": what,
                "number": number,
                "cpu_ms": cpu,
                "requests_per_second": speed,
            }
        )

    found = results(
        scales=[
            of("keys", 1, 1.0),
            of("keys", 1_000, 1.2),
            of("messages", 1, 1.0),
            of("messages", 100, 2.0),
            of("messages", 1_000, 11.0),
            of("workers", 1, 1, 100),
            of("workers", 2, 1, 160),
        ]
    )

    assert list(verdicts(found).values())[-3:] == [True, True, False]


def test_a_report_shows_every_table_and_says_what_was_left_out(tmp_path: Path) -> None:
    found = results(
        cells=[cell(FULL, 600), cell(BARE, 1000)],
        waiting=[wait(FULL, "offline", 1, 2)],
        skipped={"LiteLLM, offline": "it cannot be installed here"},
    )
    found.targets = judged(found)
    data, text = report.save(found, tmp_path)
    page = text.read_text(encoding="utf-8")

    assert Results.model_validate_json(data.read_bytes()) == found
    assert "| requests a second, of bare FastAPI | >= 0.6x | 0.60x | yes |" in page
    assert "| full_app | 32 | 600 | 0.60 |" in page
    assert "- LiteLLM, offline: it cannot be installed here" in page
    assert "of LitServe | >= 4x | not measured | - |" in page


def test_the_body_is_one_that_full_app_takes() -> None:
    asked = ChatCompletionRequest.model_validate_json(chat(OFFLINE_MODEL, turns=1_000))

    assert len(asked.messages) == 1_000
    assert asked.messages[-1].content == TEXT


def test_what_an_answer_says_is_read_from_either_form() -> None:
    whole = {"choices": [{"message": {"content": "a b"}}]}
    chunks = [{"choices": [{"delta": {"content": it}}]} for it in ("a ", "b")]
    lines = [f"data: {json.dumps(it)}\n\n" for it in [*chunks, {"choices": []}]]

    assert whole_text(json.dumps(whole).encode()) == "a b"
    assert streamed_text("".join([*lines, "data: [DONE]\n\n"]).encode()) == ("a b", 2)


def test_wrk_sends_headers_and_takes_keys_in_turn() -> None:
    target = Target(
        "http://127.0.0.1:1/", 1, 1, "{}", {"x-portkey-provider": "openai"}, ("a", "b")
    )
    script = script_of(target)

    assert 'wrk.headers["x-portkey-provider"] = [==[openai]==]' in script
    assert 'local keys, turn = { "a", "b" }, 0' in script


@pytest.mark.deep
@pytest.mark.timeout(120)
def test_full_app_and_the_bare_app_are_measured_side_by_side() -> None:
    if not satisfied("bench"):
        assert "COURSE_REQUIRE_BENCH" not in os.environ, "the bench group is missing"
        pytest.skip("the bench group is missing: `python3 -m course setup bench`")
    from benchmarks import load
    from benchmarks.peers import cells, contestants, scales
    from benchmarks.peers.arena import arena

    skipped: dict[str, str] = {}
    names = {RAW, BARE, BARE_EVENTS, FULL}
    chosen = [it for it in contestants.offline(None) if it.name in names]
    with arena(chosen, None, skipped, print) as runners:
        found = cells.cells(load.tool(), runners, (4,), 1, 1, print)
        both = [it for it in runners if it.kinds == contestants.BOTH]
        waits = cells.waiting(both, 3, 1)
        held = scales.memory(both[1:], (20,), skipped)

    assert skipped == {}
    assert {it.name: it.chunks for it in runners} == dict.fromkeys(names, len(WORDS))
    assert {(it.contestant, it.kind) for it in found} == {
        (it.name, kind) for it in runners for kind in it.kinds
    }
    assert all(it.requests_per_second > 0 and it.errors == 0 for it in found)
    assert all(it.cpu_seconds_per_1000 > 0 for it in found)
    assert all(it.first_text_p50_ms > 0 and it.errors == 0 for it in waits)
    assert [it.contestant for it in held] == [BARE, FULL]


@pytest.mark.deep
@pytest.mark.timeout(60)
def test_a_server_that_is_open_to_other_machines_does_not_take_part() -> None:
    if not satisfied("bench"):
        pytest.skip("the bench group is missing: `python3 -m course setup bench`")
    from dataclasses import replace

    from benchmarks.peers import contestants
    from benchmarks.peers.arena import arena

    def open_to_all(
        port: int, upstream: str | None
    ) -> tuple[list[str], dict[str, str]]:
        words, env = contestants.UPSTREAM.command(port, upstream)
        return [*words, "--host", "0.0.0.0"], env  # noqa: S104 - what is refused

    skipped: dict[str, str] = {}
    everybody = [replace(contestants.UPSTREAM, command=open_to_all, name="open")]
    with arena(everybody, None, skipped, print) as runners:
        assert runners == []

    assert "it listens on 0.0.0.0:" in skipped["open, offline"]


def test_every_peer_is_pinned_to_one_version() -> None:
    if not satisfied("bench"):
        pytest.skip("the bench group is missing: `python3 -m course setup bench`")
    from benchmarks.peers import contestants

    assert all(it.count(".") == 2 for it in contestants.VERSIONS.values())
    names = {it.name for it in contestants.proxying(None)}
    assert set(contestants.VERSIONS) - {"LitServe"} <= names


def test_a_contestant_without_whole_answers_is_measured_by_its_streams() -> None:
    if not satisfied("bench"):
        pytest.skip("the bench group is missing: `python3 -m course setup bench`")
    from benchmarks.peers import contestants
    from benchmarks.peers.bodies import BARE_EVENTS

    kinds = {it.name: it.kinds for it in contestants.offline(None)}
    assert kinds[BARE_EVENTS] == ("stream",)
