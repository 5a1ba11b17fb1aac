"""The nine attacks of `benchmarks/attacks`, at small counts."""

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks import survival as parts
from benchmarks.attacks import (
    amplification,
    fairness,
    large_answers,
    large_heads,
    leftovers,
    redis_restarts,
    run,
    silent_redis,
    slow_readers,
    slow_senders,
)
from course.site import survival

SMALL: list[tuple[Callable[..., dict[str, Any]], dict[str, int]]] = [
    (amplification.measure, {"requests": 4, "items": 4}),
    (large_heads.measure, {"heads": 4, "hosts": 8}),
    (slow_readers.measure, {"streams": 5, "calls": 105}),
    (silent_redis.measure, {"seconds": 1, "spikes": 1}),
    (fairness.measure, {"jobs": 60, "tenants": 2}),
    (redis_restarts.measure, {"answers": 2, "at_once": 2}),
    (large_answers.measure, {"answers": 1}),
    (leftovers.measure, {"calls": 20, "kills": 2, "ids": 20}),
]
# What depends on how busy the machine is, and is no matter at small counts.
OF_TIME = {
    "a refusal costs much",
    "an allowed request costs much",
    "embeddings cost much",
    "an honest call was slow",
    "calls were given back late",
    "paid calls did not pass again in time",
    "a job of an idle tenant began late",
    "a webhook of an idle tenant came late",
    "the busy tenant was not busy to the end",
}


@pytest.mark.deep
@pytest.mark.parametrize(
    ("measure", "counts"),
    SMALL,
    ids=[measure.__module__.rpartition(".")[2] for measure, _ in SMALL],
)
def test_what_an_attack_looks_at_holds_at_small_counts(
    measure: Callable[..., dict[str, Any]],
    counts: dict[str, int],
    redis_server: str,  # without a redis-server they cannot run
) -> None:
    found = measure(**counts)

    assert set(found["wrong"]) <= OF_TIME


@pytest.mark.deep
@pytest.mark.skipif(sys.platform != "linux", reason="limits another process's files")
def test_slow_senders_are_cut_in_each_wave(monkeypatch: pytest.MonkeyPatch) -> None:
    waves = ("silence", "a head of a byte a second")
    monkeypatch.setenv("FULL_APP_HEADER_TIMEOUT_SECONDS", "1")
    monkeypatch.setattr(slow_senders, "CUT_SECONDS", dict.fromkeys(waves, 1))
    found = slow_senders.measure(connections=30, files=64)

    assert set(found["waves"]) == set(waves)
    assert "a connection was not ended" not in found["wrong"]
    assert "file descriptors are still in use" not in found["wrong"]


def test_what_went_wrong_is_said_and_ends_with_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["attack", "--calls", "3"])
    monkeypatch.setattr(run, "end_on_sigterm", lambda: None)  # this process is pytest's

    def measure(calls: int, others: int) -> dict[str, Any]:
        mistakes = {"three were lost": calls == 3, "two were lost": others == 2}
        return {"wrong": run.what_went_wrong(mistakes)}

    with pytest.raises(SystemExit) as ended:
        run.run("An attack.", measure, calls=1, others=1)

    assert ended.value.code == 1
    assert json.loads(capsys.readouterr().out)["wrong"] == ["three were lost"]


def test_each_kind_of_attack_has_a_script_and_a_row_on_the_page() -> None:
    kept = json.loads(parts.KEPT.read_text(encoding="utf-8"))
    names = [name for name, (script, *_) in parts.PARTS.items() if "attacks." in script]

    assert list(survival.ATTACKS) == names
    assert len(names) == 9
    for name in names:
        assert kept[name]["wrong"] == [], name
    table = survival.attacks().splitlines()
    assert len(table) == 2 + len(names)
    assert not [row for row in table if "wrong:" in row]
