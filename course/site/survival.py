"""What full_app survived, in sentences, from `benchmarks/results/survival.json`."""

import json
from typing import Any

from course.site.results import RESULTS

NONE = "No run is committed; `python -m benchmarks.survival` makes one in 23 minutes."
KILLS = (
    "2 API processes, {workers} workers, a running load; within {seconds:.0f} s, "
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

# The nine kinds of attack: what was done, what came of it, what to say if all held.
ATTACKS = {
    "amplification": (
        "small requests for much: {requests} chat requests for 5 million log "
        "probabilities each, 2,048 embeddings of one letter, a job of {job[items]:,} "
        "items whose answers are as large as they may be",
        "a refusal takes {refused_cpu_ms} ms of CPU, the largest request that is "
        "allowed {largest_allowed_cpu_ms:,.0f} ms, the embeddings "
        "{embeddings_cpu_ms:,.0f} ms; the job stores {job[stored_bytes]:,} bytes, in "
        "pages of {job[largest_page_bytes]:,} at most: {wrong}",
        "nothing costs more than the limits allow",
    ),
    "headers before authentication": (
        "{heads} heads of 160 MB or with two million headers, and {hosts} requests "
        "with two hosts or a false one, without a key",
        "{answered_431} times 431, {answered_400} times 400, the memory grew by "
        "{growth_kib:,} KiB: {wrong}",
        "nothing of them is kept",
    ),
    "slow senders": (
        "with {file_descriptors} file descriptors, waves of {connections} connections: "
        "silence, half a head, a head and a body of a byte a second",
        "all were ended; for others the service was deaf for "
        "{longest_deaf_seconds} s at most: {wrong}",
        "no longer than a wave may last",
    ),
    "slow readers": (
        "{readers} streams and answers of which nothing is read; one key asks for "
        "{calls_of_one_key} calls at once where {slots} slots are for all",
        "all were given back after {given_back_after_seconds} s, honest calls took "
        "{honest_longest_seconds} s at most; the key ran {running_at_once}, and "
        "{answered_of_others} of {calls_of_others} calls of others were answered: "
        "{wrong}",
        "one key does not close the service",
    ),
    "silent Redis": (
        "paid calls all the time; Redis silent for {near[silent_seconds]:.0f} s, then "
        "{far[outages]} times for {far[silent_seconds]:.0f} s, {far[round_trip_ms]} ms "
        "away",
        "paid calls passed again {near[longest_recovery_seconds]} s and "
        "{far[longest_recovery_seconds]} s later at the latest; "
        "{near[most_log_lines]} log lines for the long outage; {paid} paid calls, "
        "{refused} refused: {wrong}",
        "the money is exact to the nano-USD",
    ),
    "fairness": (
        "one tenant with {jobs_of_the_busy_tenant} jobs and a receiver that never "
        "answers, {idle_tenants} others with one job and one webhook each",
        "their jobs began within {longest_until_begun_seconds} s, their webhooks "
        "came within {longest_until_delivered_seconds} s of the end: {wrong}",
        "nobody waits for the busy one",
    ),
    "Redis restarts": (
        "Redis killed {restarts} times while {answers} resumable answers ended",
        "{whole} whole from the first piece to the last: {wrong}",
        "each charged once",
    ),
    "large answers": (
        "{answers} upstream answers of up to {largest_bytes:,} bytes, {too_large} of "
        "17 and 70 MiB, {endless_streams} streams without an end",
        "{arrived} arrived as they were; the others were refused with 502 or broke "
        "off at {most_of_an_endless_stream_bytes:,} bytes: {wrong}",
        "never a 500",
    ),
    "leftovers": (
        "{calls_on_a_hanging_redis} calls on a Redis that hangs, "
        "{admissions_with_lost_answers} admissions whose answers were lost, "
        "{followers} followers whose connections were cut {connections_cut} times, "
        "{odd_job_ids} odd job ids",
        "{slots_held_afterwards} slots held afterwards, {counted} admissions counted, "
        "{followers_that_lost_events} followers lost an event: {wrong}",
        "every id a 404",
    ),
}


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


def attacks(_: str = "") -> str:
    """One row for each kind of attack that has a run."""
    path = RESULTS / "survival.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    rows = []
    for kind, (done, outcome, fine) in ATTACKS.items():
        if kind not in found:
            continue
        figures = found[kind]
        if kind == "slow senders":
            wave = next(iter(figures["waves"].values()))
            figures = {**figures, "connections": wave["connections"]}
        elif kind == "amplification":
            figures = {**figures, "requests": sum(figures["refused"].values())}
        elif kind == "silent Redis":
            both = (figures["near"], figures["far"])
            paid = sum(one["paid_calls"] for one in both)
            refused = sum(one["refused_calls"] for one in both)
            figures = {**figures, "paid": f"{paid:,}", "refused": f"{refused:,}"}
        rows.append(_row((done, outcome), figures, fine))
    if not rows:
        return NONE
    return "\n".join(["| what was done | what came of it |", "|---|---|", *rows])


def _row(words: tuple[str, str], run: dict[str, Any], fine: str) -> str:
    bad = [run.get(name) for name in ("wrong", "missing", "unverified")]
    told = {**run, "wrong": f"wrong: {bad}" if any(bad) else fine}
    return f"| {words[0].format(**told)} | {words[1].format(**told)} |"
