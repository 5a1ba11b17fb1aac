"""Kills, failing receivers, cuts and hostile peers at full count; keeps the figures.

    python -m benchmarks.survival [--part deliveries ...]

Runs `job_chaos.py`, `webhook_storm.py` and `stream_cuts.py`, about eight minutes in
all, then `hostile_peers.py` for ten minutes and the nine attacks of
`benchmarks/attacks` for five. The figures go to `benchmarks/results/survival.json`,
which the pages on clusters and on security quote.
Exit status 1 when one of them found something lost, doubled or different.
"""

import argparse
import json
import subprocess
import sys

from benchmarks.full_app_layers import machine
from benchmarks.places import ROOT

KEPT = ROOT / "benchmarks" / "results" / "survival.json"
KILLS = ["--kills", "200", "--api-kills", "5", "--redis-kills", "5", "--every", "0.8"]
PARTS = {
    "kills": ["job_chaos", *KILLS],
    "deliveries": ["webhook_storm", "--events", "10000"],
    "cuts": ["stream_cuts", "--cuts", "1000"],
    "cuts, embedded": ["stream_cuts", "--cuts", "1000", "--embedded"],
    "responses": ["stream_cuts", "--cuts", "1000", "--responses"],
    "responses, embedded": [
        "stream_cuts",
        "--cuts",
        "1000",
        "--responses",
        "--embedded",
    ],
    "hostile peers": ["hostile_peers", "--seconds", "600"],
    # The nine kinds of attack, in the order of the page on security.
    "amplification": ["attacks.amplification"],
    "headers before authentication": ["attacks.large_heads"],
    "slow senders": ["attacks.slow_senders"],
    "slow readers": ["attacks.slow_readers"],
    "silent Redis": ["attacks.silent_redis"],
    "fairness": ["attacks.fairness"],
    "Redis restarts": ["attacks.redis_restarts"],
    "large answers": ["attacks.large_answers"],
    "leftovers": ["attacks.leftovers"],
}


def main() -> int:
    """Run the parts that are asked for, and write their figures."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--part", nargs="*", choices=PARTS, default=list(PARTS))
    found = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    failed = False
    for part in options.parse_args().part:
        script, *words = PARTS[part]
        done = subprocess.run(  # noqa: S603 - our own scripts
            [sys.executable, "-m", f"benchmarks.{script}", *words],
            stdout=subprocess.PIPE,
            check=False,
            text=True,
            encoding="utf-8",
        )
        print(f"{part}: {done.stdout}", file=sys.stderr)
        failed |= done.returncode != 0
        found[part] = json.loads(done.stdout)
        found["machine"] = machine()
        ordered = {name: found[name] for name in (*PARTS, "machine") if name in found}
        KEPT.write_text(json.dumps(ordered, indent=2) + "\n", encoding="utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
