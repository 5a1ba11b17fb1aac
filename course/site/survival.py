"""What full_app survived, in sentences, from `benchmarks/results/survival.json`."""

import json
from typing import Any

from course.site.results import RESULTS

NONE = "No run is committed; `python -m benchmarks.survival` makes one in 16 minutes."
KILLS = (
    "2 API processes, {workers} workers, a running load; in {seconds:.0f} s "
    "{worker_kills} workers, {api_kills} APIs and Redis {redis_kills} times killed "
    "with SIGKILL",
    "{jobs:,} jobs, {items:,} items: {wrong}; {attempts:,} attempts in all",
)
DELIVERIES = (
    "{events:,} events to a receiver that answers 500, 503, 302 or hangs up on every "
    "other request",
    "{delivered:,} delivered, each under its one id, in {seconds:.0f} s and "
    "{requests:,} requests: {wrong}",
)
CUTS = (
    "{streams} streams{where}, their connections cut at random {cuts:,} times",
    "{wrong}",
)
RESPONSES = (
    "{streams} responses in the background{where}, the connections of their readers "
    "cut at random {cuts:,} times",
    "{wrong}",
)
HOSTILE = (
    "{honest_callers} honest callers for {seconds:.0f} s, in the second half beside "
    "{hostile_peers} hostile peers (huge heads, half heads, silence, streams that "
    "nobody reads, a request for millions of log probabilities)",
    "{honest_calls:,} calls, 99 of 100 within {p99_ms_alone} ms alone and "
    "{p99_ms_beside} ms beside them; memory {resident_kib_before:,} KiB before and "
    "{resident_kib_after:,} KiB after: {wrong}",
)


def table(_: str = "") -> str:
    """One row a run: what was done, and what came of it."""
    path = RESULTS / "survival.json"
    if not path.is_file():
        return NONE
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    rows = [
        _row(KILLS, found["kills"], "none lost, none twice in the record"),
        _row(
            DELIVERIES,
            found["deliveries"],
            "each verified by `openai`, `standardwebhooks` and `svix`",
        ),
        *(
            _row(CUTS, found[part] | {"where": where}, "every text as if never cut")
            for part, where in (
                ("cuts", " of 2 API processes"),
                ("cuts, embedded", " of one process, embedded"),
            )
        ),
    ]
    for part, where in (
        ("responses", " of 2 API processes"),
        ("responses, embedded", " of one process, embedded"),
    ):
        if part in found:
            run = found[part] | {"where": where}
            fine = "every event once, and the last one what is kept"
            rows.append(_row(RESPONSES, run, fine))
    if "hostile peers" in found:
        rows.append(_row(HOSTILE, found["hostile peers"], "no honest call failed"))
    return "\n".join(["| what was done | what came of it |", "|---|---|", *rows])


def _row(words: tuple[str, str], run: dict[str, Any], fine: str) -> str:
    bad = [run.get(name) for name in ("wrong", "missing", "unverified")]
    told = {**run, "wrong": f"wrong: {bad}" if any(bad) else fine}
    return f"| {words[0].format(**told)} | {words[1].format(**told)} |"
