"""Histograms of one thread: plain numbers until somebody scrapes them.

prometheus_client locks each of a histogram's numbers for every observation, for threads
that there are none of here: all is counted on the event loop, and asked for there. What
is scraped is the same to the byte; a test holds it against the library's own.
Source: Prometheus, exposition format (buckets are cumulative, `le` is inclusive).
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

_go: Callable[[float], str] = floatToGoString  # which has no annotations


class Tally:
    """One series: how often each bucket was hit, and the sum of what was observed."""

    __slots__ = ("_bounds", "created", "hits", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.hits = [0] * len(bounds)
        self.total = 0.0
        self.created = time.time()

    def observe(self, amount: float) -> None:
        """Count `amount` into the first bucket whose bound is not below it."""
        self.hits[bisect_left(self._bounds, amount)] += 1
        self.total += amount


class Tallies(Collector):
    """A histogram with labels; `buckets` are bounds in rising order, without +Inf."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        *,
        buckets: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._about = name, documentation, labels
        self._bounds = (*buckets, float("inf"))
        self._names = [_go(bound) for bound in self._bounds]
        self._series: dict[tuple[str, ...], Tally] = {}
        registry.register(self)

    def labels(self, *values: str) -> Tally:
        """The series with these labels' values."""
        found = self._series.get(values)
        if found is None:
            found = self._series[values] = Tally(self._bounds)
        return found

    def describe(self) -> Iterable[HistogramMetricFamily]:
        """The name, for the registry: no two may have the same."""
        return [self._family()]

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """All series as they are now."""
        family = self._family()
        for values, tally in self._series.items():
            counts = zip(self._names, accumulate(tally.hits), strict=True)
            family.add_metric(values, list(counts), tally.total)
            label = dict(zip(self._about[2], values, strict=True))
            family.add_sample(f"{self._about[0]}_created", label, tally.created)
        return [family]

    def _family(self) -> HistogramMetricFamily:
        name, documentation, labels = self._about
        return HistogramMetricFamily(name, documentation, labels=labels)
