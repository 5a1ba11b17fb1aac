"""The soak beside hostile peers, for seconds in place of minutes."""

from typing import Any

import pytest

from benchmarks.hostile_peers import ACTS, measure, percentile_99, verdict

FINE = {
    "honest_calls": 100,
    "honest_failed": 0,
    "p99_ms_alone": 10.0,
    "p99_ms_beside": 20.0,
    "resident_kib_before": 100_000,
    "resident_kib_after": 120_000,
}


@pytest.mark.deep
async def test_honest_callers_are_answered_beside_hostile_peers() -> None:
    found = await measure(seconds=4, callers=4)

    assert found["honest_calls"] > 0
    assert found["honest_failed"] == 0
    assert found["hostile_acts"].keys() <= ACTS.keys()
    assert sum(found["hostile_acts"].values()) > 0


def test_a_run_in_which_all_held_is_fine() -> None:
    assert verdict(FINE) == []


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"honest_failed": 1}, "an honest call failed"),
        ({"honest_calls": 0}, "an honest call failed"),
        ({"p99_ms_beside": 20.1}, "the 99th percentile more than doubled"),
        ({"resident_kib_after": 120_001}, "the memory grew"),
    ],
)
def test_what_did_not_hold_is_said(more: dict[str, Any], words: str) -> None:
    assert verdict({**FINE, **more}) == [words]


def test_the_99th_percentile_is_in_milliseconds() -> None:
    assert percentile_99([0.001 * number for number in range(1, 101)]) == 100.0
    assert percentile_99([]) == 0.0
