"""What full_app was to reach beside its peers, and whether it did in one run.

The figures are the project's own aims, set before anything was measured.
"""

from collections.abc import Callable, Iterator

from benchmarks.peers.bodies import BARE, FULL, RAW
from benchmarks.peers.results import Cell, Kind, Mode, Results, Target

CONNECTIONS = 32  # the middle of the loads
UNMEASURED = "not measured"
ADDED_P99_MS = 15.0
FIRST_TEXT_MS = 5.0
STREAM_BYTES = 100_000
LINEAR = 1.25  # a fifth more a stream, a key, a message is no longer the same
TWO_WORKERS = 1.7

RATIOS: tuple[tuple[str, Mode, Kind, str, float], ...] = (
    ("requests a second, of bare FastAPI", "offline", "whole", BARE, 0.6),
    ("events a second, of bare FastAPI", "offline", "stream", BARE, 0.7),
    ("requests a second, of LiteLLM's mock mode", "offline", "whole", "LiteLLM", 25),
    ("requests a second, of LitServe", "offline", "whole", "LitServe", 4),
    ("proxied requests a second, of LiteLLM", "proxy", "whole", "LiteLLM", 10),
    ("proxied requests a second, of Portkey", "proxy", "whole", "Portkey", 1.5),
)


def judged(results: Results) -> list[Target]:
    """Every target, with what this run says of it."""
    return [
        *(_ratio(results.cells, *ratio) for ratio in RATIOS),
        *_waits(results),
        *_memory(results),
        *_scales(results),
    ]


def _ratio(
    cells: list[Cell], what: str, mode: Mode, kind: Kind, other: str, wanted: float
) -> Target:
    found = {
        cell.contestant: cell.events_per_second or cell.requests_per_second
        for cell in cells
        if (cell.mode, cell.kind, cell.connections) == (mode, kind, CONNECTIONS)
        and cell.valid
    }
    if not found.get(FULL) or not found.get(other):
        return Target(what=what, wanted=f">= {wanted}x", measured=UNMEASURED, held=None)
    ratio = found[FULL] / found[other]
    return _target(what, f">= {wanted}x", f"{ratio:.2f}x", ratio >= wanted)


def _waits(results: Results) -> Iterator[Target]:
    rows = {(row.mode, row.contestant): row for row in results.waiting}
    full, bare = rows.get(("offline", FULL)), rows.get(("offline", BARE))
    proxied, direct = rows.get(("proxy", FULL)), rows.get(("offline", RAW))
    for what, mine, other in (
        ("p99 over bare FastAPI's", full, bare),
        ("p99 over the upstream's, proxied", proxied, direct),
    ):
        if mine is not None and other is not None:
            added = mine.p99_ms - other.p99_ms
            yield _target(
                f"{what}, at {mine.rate} requests a second",
                f"<= {ADDED_P99_MS:.0f} ms",
                f"{added:.1f} ms",
                added <= ADDED_P99_MS and not mine.errors,
            )
    if full is not None and bare is not None:
        added = full.first_text_p50_ms - bare.first_text_p50_ms
        yield _target(
            "first text of a stream, over bare FastAPI's",
            f"<= {FIRST_TEXT_MS:.0f} ms",
            f"{added:.1f} ms",
            added <= FIRST_TEXT_MS,
        )


def _memory(results: Results) -> Iterator[Target]:
    mine = sorted(
        (row for row in results.memory if row.contestant == FULL),
        key=lambda row: row.streams,
    )
    for row in mine:
        yield _target(
            f"memory of an open stream, of {row.streams:,}",
            f"<= {STREAM_BYTES // 1000} kB",
            f"{row.per_stream_bytes / 1000:.0f} kB",
            row.per_stream_bytes <= STREAM_BYTES,
        )
    if len(mine) > 1:
        growth = mine[-1].per_stream_bytes / mine[0].per_stream_bytes
        yield _target(
            f"memory a stream, {mine[-1].streams:,} over {mine[0].streams:,}: linear",
            f"<= {LINEAR}x",
            f"{growth:.2f}x",
            growth <= LINEAR,
        )


def _scales(results: Results) -> Iterator[Target]:
    by: dict[str, dict[int, float]] = {"keys": {}, "messages": {}, "workers": {}}
    for row in results.scales:
        speed = row.what == "workers"
        by[row.what][row.number] = row.requests_per_second if speed else row.cpu_ms
    growths: tuple[tuple[str, str, Callable[[dict[int, float]], float]], ...] = (
        (
            "keys",
            "CPU a request, 1,000 keys over 1: flat",
            lambda it: it[1_000] / it[1],
        ),
        ("messages", "CPU a message, up to 1,000 over up to 100: linear", _slopes),
    )
    for name, what, growth in growths:
        if by[name]:
            ratio = growth(by[name])
            yield _target(what, f"<= {LINEAR}x", f"{ratio:.2f}x", ratio <= LINEAR)
    if by["workers"]:
        ratio = by["workers"][2] / by["workers"][1]
        what = "requests a second, 2 workers over 1, where two cores are free"
        yield _target(what, f">= {TWO_WORKERS}x", f"{ratio:.2f}x", ratio >= TWO_WORKERS)


def _slopes(cpu: dict[int, float]) -> float:
    first = (cpu[100] - cpu[1]) / 99
    return ((cpu[1_000] - cpu[100]) / 900) / first


def _target(what: str, wanted: str, measured: str, held: bool) -> Target:
    return Target(what=what, wanted=wanted, measured=measured, held=held)
