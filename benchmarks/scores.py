"""What full_app and its peers score with `course score`, each asked everything.

    python -m benchmarks.scores [--only full_app LiteLLM ...]

Each server runs alone, on loopback, with an API key where it can have one. A gateway
stands before full_app's offline model: that upstream holds every check by itself, so
what fails behind a gateway is what the gateway changes, drops or adds. Writes
`results/scores.json`, which the site's page on the score shows.
"""

import argparse
import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

from benchmarks.peers.bodies import FULL, PROXY_MODEL
from benchmarks.peers.contestants import (
    KEYS,
    UPSTREAM,
    VERSIONS,
    Contestant,
    offline,
    proxying,
)
from benchmarks.peers.homes import MissingPeerError
from benchmarks.places import ROOT

KEPT = ROOT / "benchmarks" / "results" / "scores.json"
SCORE_SECONDS = 400  # the command ends by itself before
LITSERVE = "LitServe"
WITHOUT_KEY = {LITSERVE}  # it is started without one, so it is not asked about keys
ALONE, GATEWAY = "answers by itself", "gateway before full_app"


def full_app(name: str = FULL) -> Contestant:
    """full_app with one key and no budget, as the other gateways have none.

    Without an upstream its offline model answers.
    """

    def command(port: int, upstream: str | None) -> tuple[list[str], dict[str, str]]:
        env = {"FULL_APP_API_KEYS": f"score:{KEYS[0]}", "FULL_APP_OFFLINE_PACE": "0"}
        if upstream:
            env["FULL_APP_UPSTREAM_BASE_URL"] = f"{upstream}/v1"
            env["FULL_APP_UPSTREAM_API_KEY"] = KEYS[0]
        words = [sys.executable, "-m", "uvicorn", "examples.full_app.main:app"]
        return [*words, "--port", str(port), "--log-level", "critical"], env

    return Contestant(name, command, ready="/health/live")


def main() -> int:
    """Score all, or those that are named, and write what came out."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--only", nargs="*", help="names of servers")
    only = options.parse_args().only
    alone = [full_app(), *(it for it in offline(None) if it.name == LITSERVE)]
    others = [it for it in proxying(None) if it.name not in (FULL, UPSTREAM.name)]
    gateways = [full_app(), *others]
    client = ""
    checks: list[dict[str, str]] = []
    servers: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}
    with full_app().start(None) as upstream:
        for how, contestants, behind in (
            (ALONE, alone, None),
            (GATEWAY, gateways, upstream.url),
        ):
            for contestant in contestants:
                if only is not None and contestant.name not in only:
                    continue
                print(f"{contestant.name}, {how}", file=sys.stderr, flush=True)
                try:
                    report = scored(contestant, behind)
                except (MissingPeerError, OSError, ValueError) as error:
                    skipped[f"{contestant.name}, {how}"] = str(error) or repr(error)
                    continue
                version = VERSIONS.get(contestant.name.partition(",")[0], "")
                entry = {"name": contestant.name, "version": version, "how": how}
                servers.append({**entry, **outcomes(report)})
                checks = [described(each) for each in report["results"]]
                client = report["client"]
    date = datetime.now(UTC).date().isoformat()
    found = {
        "date": date,
        "client": client,
        "checks": checks,
        "servers": servers,
        "skipped": skipped,
    }
    KEPT.write_text(
        json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    for each in servers:
        print(f"{each['name']:22} {each['how']:24} {each['held']} of {each['asked']}")
    for name, reason in skipped.items():
        print(f"{name}: {reason}")
    return 1 if skipped else 0


def scored(contestant: Contestant, upstream: str | None) -> dict[str, Any]:
    """The report of `course score` on a contestant, as JSON values.

    Raises MissingPeerError, OSError or ValueError if it cannot be had.
    """
    with contestant.start(upstream) as tree:
        words = [f"{tree.url}/v1", "--model", PROXY_MODEL, "--spend", "--json", "-"]
        headers = contestant.headers(upstream)
        del headers["Authorization"]
        if contestant.name not in WITHOUT_KEY:
            words += ["--key", contestant.key]
        for name, value in headers.items():
            words += ["--header", f"{name}: {value}"]
        done = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "course", "score", *words],
            cwd=ROOT,
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=SCORE_SECONDS,
        )
    if done.returncode not in (0, 1):
        raise ValueError(done.stderr.strip())
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def described(result: dict[str, str]) -> dict[str, str]:
    """What a result says about its check, whichever the server."""
    return {name: result[name] for name in ("group", "name", "title", "source")}


def outcomes(report: dict[str, Any]) -> dict[str, Any]:
    """The figures of a report, and what did not hold, with the evidence."""
    missing = {
        each["name"]: {"outcome": each["outcome"], "evidence": each["evidence"]}
        for each in report["results"]
        if each["outcome"] != "held"
    }
    return {"held": report["held"], "asked": report["asked"], "missing": missing}


if __name__ == "__main__":
    sys.exit(main())
