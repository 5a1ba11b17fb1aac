"""Run the checks one after another, each within its time and all within theirs."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata

import httpx2
import openai

from course.places import UsageError
from course.score.check import NOT_SERVED, Check, Failed, NotOffered, described
from course.score.groups import GROUPS
from course.score.results import Outcome, Report, Result
from course.score.server import Server

CHECK_SECONDS = 30.0  # one check may ask several times
RUN_SECONDS = 300.0
EVIDENCE = 200  # characters
SPENDING = "needs --spend: generates tokens"
KEYLESS = "needs --key: is about API keys"
REMOTE = "is about servers on this machine"


async def run(
    server: Server,
    *,
    spend: bool = False,
    check_seconds: float = CHECK_SECONDS,
    run_seconds: float = RUN_SECONDS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Ask everything that may be asked. Never raises for what the server does."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + run_seconds
    chosen = [(group, each) for group, checks in GROUPS.items() for each in checks]
    results = []
    for done, (group, each) in enumerate(chosen, 1):
        seconds = min(check_seconds, ends - loop.time())
        outcome, evidence = await _judge(server, each, seconds, spend=spend)
        results.append(
            Result(group, each.name, each.title, each.source, outcome, line(evidence))
        )
        progress(done, len(chosen))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Report(
        server.base_url, server.model, now, metadata.version("openai"), results
    )


async def choose_model(server: Server, named: str | None) -> str:
    """The model to ask: the one that was named, or the first that the server lists.

    Raises UsageError if the server cannot be reached, refuses the key, or has no list.
    """
    try:
        async with asyncio.timeout(server.patience):
            answer = await server.send("GET", "/models")
    except (httpx2.HTTPError, OSError, TimeoutError) as error:
        reason = line(str(error)) or type(error).__name__
        raise UsageError(
            f"Nothing answers at {server.base_url} ({reason}). "
            "Start the server, or mend the address."
        ) from error
    if answer.status_code in (401, 403):
        remedy = "Another --key is needed." if server.key else "Give one with --key."
        raise UsageError(
            f"The server refuses requests without a key that it knows. {remedy}"
        )
    if named:
        return named
    try:
        return str(answer.json()["data"][0]["id"])
    except (ValueError, LookupError, TypeError):
        raise UsageError(
            f"{line(described(answer))}\n"
            "This lists no model. Name one with --model, and see that the address "
            "ends as the official client needs it, mostly with /v1."
        ) from None


async def _judge(
    server: Server, check: Check, seconds: float, *, spend: bool
) -> tuple[Outcome, str]:
    """The outcome of one check, with its evidence."""
    if check.spends and not spend:
        return "not asked", SPENDING
    if check.needs_key and not server.key:
        return "not asked", KEYLESS
    if check.only_local and not server.is_local:
        return "not asked", REMOTE
    if seconds <= 0:
        return "failed", "the time of the whole run was over before"
    try:
        async with asyncio.timeout(seconds):
            await check.ask(server)
    except NotOffered as missing:
        return "not offered", str(missing)
    except Failed as failure:
        return "failed", str(failure)
    except openai.APIStatusError as error:
        known = described(error.response)
        return ("not offered" if error.status_code in NOT_SERVED else "failed"), known
    except (TimeoutError, openai.APITimeoutError, httpx2.TimeoutException):
        return "failed", f"no whole answer within {seconds:.3g} s"
    except (openai.APIError, httpx2.HTTPError, OSError) as error:
        return "failed", f"{type(error).__name__}: {error}"
    except Exception as error:
        # The client builds its objects from whatever came. What a server leaves out is
        # None there, and shows as any kind of exception in the check that reads it.
        return "failed", f"the answer cannot be read: {type(error).__name__}: {error}"
    return "held", ""


def line(text: str) -> str:
    """`text` as one line of printable characters, shortened.

    A server may send anything, also what a terminal takes for a command (ECMA-48).
    """
    printable = "".join(each if each.isprintable() else " " for each in text)
    short = " ".join(printable.split())
    return short if len(short) <= EVIDENCE else f"{short[: EVIDENCE - 1]}…"


def written(report: Report) -> str:
    """The report as a JSON text that ends with a newline."""
    return json.dumps(report.as_json(), indent=2, ensure_ascii=False) + "\n"
