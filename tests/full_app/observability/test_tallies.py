"""Histograms that lock nothing are scraped as the library's own are."""

import math
import time

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from examples.full_app.observability.metrics import DURATIONS, TOKENS
from examples.full_app.observability.tallies import Tallies

LABELS = ("model", "error_type")
AMOUNTS = (0, 0.005, 0.0050001, 1, 3.3, 60, 61, 10**9, math.inf)


@pytest.mark.parametrize("buckets", [DURATIONS, TOKENS])
def test_what_is_scraped_is_the_same_to_the_byte(
    monkeypatch: pytest.MonkeyPatch, buckets: tuple[float, ...]
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.5)
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tallies = Tallies("a_seconds", "Help.", LABELS, buckets=buckets, registry=ours)
    histogram = Histogram(
        "a_seconds", "Help.", LABELS, buckets=buckets, registry=theirs
    )
    for series in (tallies, histogram):
        for amount in AMOUNTS:
            series.labels("gpt-4o", "").observe(amount)
        series.labels('o"\\1', "ModelError").observe(2)

    assert generate_latest(ours) == generate_latest(theirs)
    assert b'le="+Inf",model="gpt-4o"} 9.0' in generate_latest(ours)


def test_no_two_series_have_one_name() -> None:
    registry = CollectorRegistry()
    Tallies("seconds", "Help.", LABELS, buckets=DURATIONS, registry=registry)

    with pytest.raises(ValueError, match="seconds"):
        Tallies("seconds", "Help.", LABELS, buckets=DURATIONS, registry=registry)
