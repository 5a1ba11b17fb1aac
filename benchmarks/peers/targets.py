"""What full_app was to reach beside its peers, and whether it did in one run.

The figures are the project's own aims, set before anything was measured. All features
are on: keys, limits on Redis, a ledger of money, ids, metrics and logs.
"""

from collections.abc import Iterator

from benchmarks.peers.bodies import (
    BARE,
    BARE_EVENTS,
    EMBEDDED,
    FULL,
    LITELLM,
    PORTKEY,
    RAW,
    ROLTER,
)
from benchmarks.peers.results import Kind, Mode, Results, Target

CONNECTIONS = 32  # callers at once
UNMEASURED = "not measured"
ADDED_P99_MS = 5.0
FIRST_TEXT_MS = 3.0
STREAM_BYTES = 50_000
KEYS_RATIO = 1.1
RESPONSES_RATIO = 1.3
EMBEDDED_RATIO = 0.5
CHAT, RESPONSES = "a chat completion", "the same through /v1/responses"

RATIOS: tuple[tuple[str, Mode, Kind, str, float], ...] = (
    ("proxied whole answers, of Portkey", "proxy", "whole", PORTKEY, 2.0),
    ("proxied whole answers, of LiteLLM", "proxy", "whole", LITELLM, 12.0),
    ("proxied whole answers, of rolter (Rust)", "proxy", "whole", ROLTER, 0.5),
    ("proxied stream events, of rolter", "proxy", "stream", ROLTER, 0.8),
)
OFFLINE_RATIOS: tuple[tuple[str, Mode, Kind, str, float], ...] = (
    (
        "whole answers offline, of bare FastAPI with the same models",
        "offline",
        "whole",
        BARE,
        0.5,
    ),
    (
        "stream events offline, of bare FastAPI's EventSourceResponse",
        "offline",
        "stream",
        BARE_EVENTS,
        1.5,
    ),
)


def judged(results: Results) -> list[Target]:
    """Every target, with what this run says of it."""
    return [
        *(_of(results, *ratio) for ratio in RATIOS),
        _added_p99(results),
        *(_of(results, *ratio) for ratio in OFFLINE_RATIOS),
        _first_text(results),
        _memory(results),
        _keys(results),
        _responses(results),
        _embedded(results),
    ]


def speed(results: Results, mode: Mode, kind: Kind, name: str) -> float | None:
    """Requests a second of a contestant, of a stream its events; None if not valid."""
    for cell in results.cells:
        where = (cell.mode, cell.kind, cell.contestant, cell.connections)
        if where == (mode, kind, name, CONNECTIONS) and cell.valid:
            return cell.events_per_second or cell.requests_per_second
    return None


def ratio_of(results: Results, mode: Mode, kind: Kind, other: str) -> float | None:
    """full_app's speed over another's; None where one of them has none."""
    mine = speed(results, mode, kind, FULL)
    its = speed(results, mode, kind, other)
    return mine / its if mine and its else None


def added_ms(results: Results) -> tuple[float, float] | None:
    """What full_app adds to its upstream: ms of p99 at a constant rate, of first text.

    None where one of the two was not measured, or made errors.
    """
    rows = {row.contestant: row for row in results.waiting if row.mode == "proxy"}
    full, direct = rows.get(FULL), rows.get(RAW)
    if full is None or direct is None or full.errors or direct.errors:
        return None
    if full.p99_ms is None or direct.p99_ms is None:
        return None
    first = full.first_text_p50_ms - direct.first_text_p50_ms
    return full.p99_ms - direct.p99_ms, first


def stream_bytes(results: Results) -> list[tuple[int, float]]:
    """Open streams, and the memory of each, of full_app; from the fewest up."""
    return sorted(
        (row.streams, row.per_stream_bytes)
        for row in results.memory
        if row.contestant == FULL
    )


def keys_ratio(results: Results) -> float | None:
    """CPU of a request with 1,000 keys over that with 1."""
    cpu = {row.number: row.cpu_ms for row in results.scales if row.what == "keys"}
    return cpu[1_000] / cpu[1] if {1, 1_000} <= set(cpu) else None


def _of(
    results: Results, what: str, mode: Mode, kind: Kind, other: str, wanted: float
) -> Target:
    return _at_least(what, wanted, ratio_of(results, mode, kind, other))


def _at_least(what: str, wanted: float, ratio: float | None) -> Target:
    measured = UNMEASURED if ratio is None else f"{ratio:.2f}x"
    held = None if ratio is None else ratio >= wanted
    return Target(what=what, wanted=f">= {wanted:g}x", measured=measured, held=held)


def _at_most(what: str, wanted: float, unit: str, value: float | None) -> Target:
    decimals = 2 if unit == "x" else 1
    measured = UNMEASURED if value is None else f"{value:.{decimals}f}{unit}"
    held = None if value is None else value <= wanted
    return Target(
        what=what, wanted=f"<= {wanted:g}{unit}", measured=measured, held=held
    )


def _added_p99(results: Results) -> Target:
    rate = next((row.rate for row in results.waiting), 400)
    added = added_ms(results)
    what = f"added p99 at {rate} requests a second, proxied"
    return _at_most(what, ADDED_P99_MS, " ms", added[0] if added else None)


def _first_text(results: Results) -> Target:
    added = added_ms(results)
    what = "first text of a stream over the upstream's"
    return _at_most(what, FIRST_TEXT_MS, " ms", added[1] if added else None)


def _memory(results: Results) -> Target:
    rows = stream_bytes(results)
    measured = " and ".join(f"{each / 1000:.0f} kB" for _, each in rows)
    names = " and of ".join(f"{streams:,}" for streams, _ in rows)
    return Target(
        what=f"memory of an open stream, of {names or '1,000 and of 5,000'}",
        wanted=f"<= {STREAM_BYTES // 1000} kB",
        measured=measured or UNMEASURED,
        held=all(each <= STREAM_BYTES for _, each in rows) if rows else None,
    )


def _keys(results: Results) -> Target:
    what = "CPU a request, 1,000 keys over 1"
    return _at_most(what, KEYS_RATIO, "x", keys_ratio(results))


def _responses(results: Results) -> Target:
    cpu = {it.what: it.value for it in results.figures}
    measured = {CHAT, RESPONSES} <= set(cpu)
    ratio = cpu[RESPONSES] / cpu[CHAT] if measured else None
    what = "chat through /v1/responses over chat completions, CPU"
    return _at_most(what, RESPONSES_RATIO, "x", ratio)


def _embedded(results: Results) -> Target:
    on_redis = speed(results, "offline", "whole", FULL)
    embedded = speed(results, "offline", "whole", EMBEDDED)
    ratio = embedded / on_redis if embedded and on_redis else None
    what = "embedded default (no Redis), of the same on Redis"
    return _at_least(what, EMBEDDED_RATIO, ratio)


def sentences(results: Results) -> list[str]:
    """Four sentences with the figures of a run; what it did not measure is left out."""
    return [
        " ".join(parts)
        for parts in (
            list(_proxied(results)),
            list(_streamed(results)),
            list(_waits(results)),
            list(_costs(results)),
        )
        if parts
    ]


def _proxied(results: Results) -> Iterator[str]:
    mine = speed(results, "proxy", "whole", FULL)
    if mine is None:
        return
    known = (
        (PORTKEY, "Portkey (JavaScript)"),
        (LITELLM, "LiteLLM (Python)"),
        (ROLTER, "rolter (Rust)"),
    )
    ratios = [
        f"{ratio:.2g} times as many as {words}"
        for name, words in known
        if (ratio := ratio_of(results, "proxy", "whole", name)) is not None
    ]
    beside = f": {_listed(ratios)}" if ratios else ""
    yield (
        "**Whole answers:** with every feature on, full_app passes on "
        f"{mine:,.0f} whole answers of an upstream per second{beside}."
    )


def _streamed(results: Results) -> Iterator[str]:
    mine = speed(results, "proxy", "stream", FULL)
    if mine is None:
        return
    ratio = ratio_of(results, "proxy", "stream", ROLTER)
    beside = f", {ratio:.2g} times as many as rolter" if ratio is not None else ""
    yield (
        f"**Streams:** it passes on {mine:,.0f} events of streams per second{beside}."
    )


def _waits(results: Results) -> Iterator[str]:
    added = added_ms(results)
    if added is None:
        return
    rate = results.waiting[0].rate
    yield (
        f"**Waiting:** at {rate} requests per second it adds {added[0]:.1f} ms to the "
        "99th percentile of its upstream, and the first text of a stream comes "
        f"{added[1]:.1f} ms after the upstream's."
    )


def _costs(results: Results) -> Iterator[str]:
    rows = stream_bytes(results)
    parts = []
    if rows:
        kilobytes = _listed(
            [f"{each / 1000:.0f} kB among {streams:,}" for streams, each in rows]
        )
        parts.append(f"an open stream takes {kilobytes}")
    keys = keys_ratio(results)
    if keys is not None:
        parts.append(
            f"a request with 1,000 keys takes {keys:.2f} times the CPU time of one "
            "with a single key"
        )
    whole = ratio_of(results, "offline", "whole", BARE)
    if whole is not None:
        parts.append(
            f"offline it sends {whole:.2f} times as many whole answers as a bare "
            "FastAPI route with the same models"
        )
    if parts:
        yield f"**What it costs:** {'; '.join(parts)}."


def _listed(parts: list[str]) -> str:
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
