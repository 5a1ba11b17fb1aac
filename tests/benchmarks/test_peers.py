"""`course bench --peers`: what is judged is what was measured, and of whom."""

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from benchmarks.load import Target, script_of
from benchmarks.peers import report
from benchmarks.peers.bodies import (
    BARE,
    BARE_EVENTS,
    EMBEDDED,
    FULL,
    OFFLINE_MODEL,
    PORTKEY,
    RAW,
    ROLTER,
    TEXT,
    WORDS,
    chat,
    streamed_text,
    whole_text,
)
from benchmarks.peers.results import (
    Cell,
    Figure,
    Kind,
    Memory,
    Mode,
    Results,
    Scale,
    Waiting,
)
from benchmarks.peers.targets import CHAT, RESPONSES, judged, sentences
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


SLOW = Waiting(
    contestant="LiteLLM",
    mode="proxy",
    first_text_p50_ms=1,
    rate=400,
    p50_ms=None,
    p99_ms=None,
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


PORTKEYS = "proxied whole answers, of Portkey"


@pytest.mark.parametrize(("speed", "held"), [(2000, True), (1999, False)])
def test_a_ratio_is_held_from_the_figure_wanted(speed: float, held: bool) -> None:
    found = results(cells=[cell(FULL, speed, "proxy"), cell(PORTKEY, 1000, "proxy")])

    assert verdicts(found)[PORTKEYS] is held


def test_a_cell_with_errors_is_no_measurement() -> None:
    broken = cell(FULL, 9_999, "proxy").model_copy(update={"errors": 1})
    found = results(cells=[broken, cell(PORTKEY, 1000, "proxy")])

    assert verdicts(found)[PORTKEYS] is None
    assert "**Whole answers:**" not in report.markdown(found)


def test_a_load_that_nothing_answered_is_no_measurement() -> None:
    stuck = cell(PORTKEY, 5, "proxy").model_copy(update={"rounds": [5.0, 0.0, 5.0]})
    found = results(cells=[cell(FULL, 1000, "proxy"), stuck])
    found.targets = judged(found)

    assert verdicts(found)[PORTKEYS] is None
    assert f"| {PORTKEY} | 32 | void |" in report.markdown(found)


def test_a_broken_cell_is_not_compared_with_the_bare_app() -> None:
    broken = cell("LitServe", 500).model_copy(update={"errors": 3})
    found = results(cells=[cell(BARE, 1000), cell(FULL, 500), broken])

    page = report.markdown(found)
    assert "| full_app | 32 | 500 | 0.50 |" in page
    assert "| LitServe | 32 | void |  |" in page


def test_a_peer_that_is_not_there_leaves_its_targets_open() -> None:
    found = results(cells=[cell(FULL, 600, "proxy"), cell(PORTKEY, 300, "proxy")])
    held = verdicts(found)

    assert held[PORTKEYS] is True
    assert held["proxied whole answers, of LiteLLM"] is None
    assert "LiteLLM" not in " ".join(sentences(found))


def test_streams_are_compared_by_their_events() -> None:
    chunky = cell(FULL, 100, kind="stream")
    fewer = cell(BARE_EVENTS, 200, kind="stream")
    few = fewer.model_copy(update={"events_per_second": 99})
    found = results(cells=[chunky, few])
    what = "stream events offline, of bare FastAPI's EventSourceResponse"

    assert verdicts(found)[what] is True


@pytest.mark.parametrize(("p99", "held"), [(6.0, True), (6.1, False)])
def test_what_is_added_is_measured_over_the_upstream(p99: float, held: bool) -> None:
    found = results(
        waiting=[wait(FULL, "proxy", 5, p99), wait(RAW, "proxy", 2, 1), SLOW]
    )

    assert verdicts(found)["added p99 at 400 requests a second, proxied"] is held
    assert verdicts(found)["first text of a stream over the upstream's"] is True
    page = report.markdown(found)
    assert f"it adds {p99 - 1:.1f} ms to the 99th percentile" in page
    assert "| LiteLLM | proxy | 1.0 | too slow | too slow | 0 |" in page


def test_a_wait_with_errors_is_no_measurement() -> None:
    broken = wait(FULL, "proxy", 5, 2).model_copy(update={"errors": 1})
    found = results(waiting=[broken, wait(RAW, "proxy", 2, 1)])

    assert verdicts(found)["added p99 at 400 requests a second, proxied"] is None


@pytest.mark.parametrize(("last", "held"), [(50_000.0, True), (50_001.0, False)])
def test_memory_is_judged_by_the_most_that_a_stream_takes(
    last: float, held: bool
) -> None:
    rows = [(1_000, 11_000.0), (5_000, last)]
    found = results(
        memory=[
            Memory(contestant=FULL, streams=n, idle_bytes=1, per_stream_bytes=each)
            for n, each in rows
        ]
    )

    assert verdicts(found)["memory of an open stream, of 1,000 and of 5,000"] is held


@pytest.mark.parametrize(("cpu", "held"), [(1.1, True), (1.11, False)])
def test_the_cost_of_keys_is_judged_by_its_growth(cpu: float, held: bool) -> None:
    found = results(
        scales=[
            Scale(what="keys", number=n, cpu_ms=each, requests_per_second=1)
            for n, each in ((1, 1.0), (1_000, cpu))
        ]
    )

    assert verdicts(found)["CPU a request, 1,000 keys over 1"] is held


@pytest.mark.parametrize(("cpu", "held"), [(1.3, True), (1.31, False)])
def test_responses_are_held_against_chat_completions(cpu: float, held: bool) -> None:
    found = results(
        figures=[
            Figure(what=CHAT, value=1.0, unit="CPU ms"),
            Figure(what=RESPONSES, value=cpu, unit="CPU ms"),
        ]
    )
    what = "chat through /v1/responses over chat completions, CPU"

    assert verdicts(found)[what] is held


def test_the_embedded_service_is_held_against_that_on_redis() -> None:
    found = results(cells=[cell(FULL, 1000), cell(EMBEDDED, 499)])

    assert verdicts(found)["embedded default (no Redis), of the same on Redis"] is False


def test_the_table_of_targets_is_that_of_the_issue() -> None:
    targets = judged(results())

    assert [target.wanted for target in targets] == [
        ">= 2x",
        ">= 12x",
        ">= 0.5x",
        ">= 0.8x",
        "<= 5 ms",
        ">= 0.5x",
        ">= 1.5x",
        "<= 3 ms",
        "<= 50 kB",
        "<= 1.1x",
        "<= 1.3x",
        ">= 0.5x",
    ]
    assert all(target.held is None for target in targets)


def test_a_report_begins_with_four_sentences_and_their_figures() -> None:
    found = results(
        cells=[
            cell(FULL, 1400, "proxy"),
            cell(PORTKEY, 700, "proxy"),
            cell(ROLTER, 2800, "proxy"),
            cell(FULL, 300, "proxy", "stream"),
        ],
        waiting=[wait(FULL, "proxy", 5, 3), wait(RAW, "proxy", 2, 1)],
        memory=[
            Memory(
                contestant=FULL, streams=1_000, idle_bytes=1, per_stream_bytes=11_000
            )
        ],
    )

    opening = report.markdown(found).split("Written by")[0]
    assert len(re.findall(r"^\d\. \*\*", opening, re.MULTILINE)) == 4
    for words in (
        "1,400 whole answers",
        "2 times as many as Portkey (JavaScript)",
        "0.5 times as many as rolter (Rust)",
        "60,000 events",
        "11 kB among 1,000",
    ):
        assert words in opening


def test_a_whole_run_keeps_the_whole_run_before_it(tmp_path: Path) -> None:
    for number, quick in ((0, True), (1, False), (2, False)):
        found = results(quick=quick, tool=f"run {number}")
        found.targets = judged(found)
        report.save(found, tmp_path)

    now = Results.model_validate_json((tmp_path / "peers.json").read_bytes())
    earlier = report.before(tmp_path / "peers.json")
    assert (now.tool, earlier.tool if earlier else "") == ("run 2", "run 1")
    assert "| the run before |" in (tmp_path / "peers.md").read_text(encoding="utf-8")


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
    what = "whole answers offline, of bare FastAPI with the same models"
    assert f"| {what} | >= 0.5x | 0.60x | yes |" in page
    assert "| full_app | 32 | 600 | 0.60 |" in page
    assert "- LiteLLM, offline: it cannot be installed here" in page
    assert "of LiteLLM | >= 12x | not measured | - |" in page


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
        waits = cells.waiting(both, found, 3, 1, 1, skipped, print)
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


def test_a_server_that_has_ended_costs_its_own_row_and_no_other() -> None:
    if not satisfied("bench"):
        pytest.skip("the bench group is missing: `python3 -m course setup bench`")
    from benchmarks.peers import cells
    from benchmarks.peers.arena import Runner
    from benchmarks.peers.processes import Tree, free_port

    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    tree = Tree(process, f"http://127.0.0.1:{free_port()}")
    skipped: dict[str, str] = {}

    rows = cells.waiting(
        [Runner("ended", "proxy", tree, {}, 0)], [], 1, 2, 1, skipped, print
    )

    assert rows == []
    assert list(skipped) == ["ended, proxy, first texts"]


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


@pytest.mark.deep
@pytest.mark.timeout(60)
def test_a_server_that_reaches_out_while_it_is_measured_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not satisfied("bench"):
        pytest.skip("the bench group is missing: `python3 -m course setup bench`")
    from benchmarks.peers import contestants
    from benchmarks.peers.arena import arena
    from benchmarks.peers.processes import Tree

    skipped: dict[str, str] = {}
    with arena([contestants.UPSTREAM], None, skipped, print) as runners:
        (runner,) = runners
        call = "it calls 192.0.2.1:443"
        monkeypatch.setattr(Tree, "outside", lambda _: call)

    assert skipped == {f"{runner.name}, offline, left this machine": call}


def test_a_void_cell_gets_no_further_round() -> None:
    if not satisfied("bench"):
        pytest.skip("the bench group is missing: `python3 -m course setup bench`")
    from benchmarks import load
    from benchmarks.peers import cells
    from benchmarks.peers.arena import Runner

    asked: list[str] = []

    class Failing:
        name = "failing"

        def __call__(self, target: Target) -> load.Load:
            asked.append(target.url)
            return load.Load(
                requests=9, requests_per_second=9, p50_ms=1, p99_ms=1, errors=1
            )

    tree = cast("Any", SilentTree())
    runners = [Runner("a", "proxy", tree, {}, 1, ("whole",))]
    (found,) = cells.cells(Failing(), runners, (32,), 5, 1, print)

    assert len(asked) == 1
    assert not found.valid


class SilentTree:
    """Processes of which nothing is known, and that are always awake."""

    url = "http://127.0.0.1:1"

    @contextlib.contextmanager
    def awake(self) -> Iterator[None]:
        yield

    def cpu_seconds(self) -> float:
        return 0.0


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
