"""Whether a request costs the same with 1 API key and with 1,000, in one run.

    python -m benchmarks.keys_flat

full_app with 1, 10, 100 and 1,000 keys, each key with limits, slots and a budget of its
own that Redis knows already; requests take the keys in turn. The applications and the
client are one process, without sockets between them, and one request runs at a time.
A figure is the processor time of this process, the median of rounds that alternate
among all rows; what counts is its ratio to the figure for 1 key. Writes
`results/keys_flat.json` and `.md` beside this file. Rows "on Redis" need `redis-server`
and are left out without it. It takes about 20 seconds.
"""

import asyncio
import contextlib
import json
import time

from benchmarks.full_app_layers import (
    MANY,
    Row,
    asking,
    log_to_nowhere,
    machine,
    measure,
    real_redis,
    running,
)
from benchmarks.places import ROOT
from examples.full_app.main import create_app
from examples.full_app.settings import Settings

RESULTS = ROOT / "benchmarks" / "results" / "keys_flat"
BODY = json.dumps(
    {
        "model": "gpt-4o-mini",  # it has a price
        "messages": [{"role": "user", "content": "What does a key cost?"}],
        "max_tokens": 20,
    }
).encode()
COUNTS = (1, 10, 100, 1_000)


def settings(redis_url: str | None, keys: list[str]) -> Settings:
    """The service with a budget for each of these keys, and no limit in reach."""
    entries = [
        {"name": f"caller-{number}", "key": key, "budget_usd": "1000000"}
        for number, key in enumerate(keys)
    ]
    given = {
        "redis_url": redis_url,
        "api_keys": entries,
        "offline_pace": 0,
        "requests_per_minute": MANY,
        "tokens_per_minute": MANY,
        "job_worker": False,
    }
    return Settings.model_validate(given)


async def row(
    stack: contextlib.AsyncExitStack, where: str, redis_url: str | None, count: int
) -> Row:
    """full_app with so many keys, each of which has been used."""
    keys = [f"sk-benchmark-{number:04}" for number in range(count)]
    app = create_app(settings(redis_url, keys))
    state = await stack.enter_async_context(running(app))
    found = Row(f"{count:,} {where}", asking(app, state, keys, BODY))
    for _ in keys:
        await found.once()
    return found


async def main() -> None:
    """Measure everything and write the results."""
    log_to_nowhere()
    async with contextlib.AsyncExitStack() as stack:
        redis_url = stack.enter_context(real_redis())
        places = {"embedded": None, "on Redis": redis_url}
        if redis_url is None:
            del places["on Redis"]
        rows = {
            where: [await row(stack, where, url, count) for count in COUNTS]
            for where, url in places.items()
        }
        await measure(
            [each for found in rows.values() for each in found], time.process_time
        )
        write(rows)


def write(rows: dict[str, list[Row]]) -> None:
    """The table, for people and for programs."""
    table = [
        {
            "redis": where,
            "keys": count,
            "microseconds": round(each.median(), 1),
            "of_one_key": round(each.median() / found[0].median(), 3),
        }
        for where, found in rows.items()
        for count, each in zip(COUNTS, found, strict=True)
    ]
    facts = machine()
    RESULTS.parent.mkdir(exist_ok=True)
    text = json.dumps({"machine": facts, "rows": table}, indent=2) + "\n"
    RESULTS.with_suffix(".json").write_text(text, encoding="utf-8")
    lines = [
        "# What a request costs with 1 to 1,000 API keys",
        "",
        "Written by `python -m benchmarks.keys_flat`, which says how. Each key has",
        "limits, slots and a budget; requests take them in turn. Processor time;",
        "compare the last column.",
        "",
        *(f"- {name}: {value}" for name, value in facts.items()),
        "",
        "| Redis | keys | microseconds | of one key |",
        "|---|--:|--:|--:|",
        *(
            f"| {each['redis']} | {each['keys']:,} | {each['microseconds']:,} "
            f"| {each['of_one_key']:.2f} |"
            for each in table
        ),
        "",
    ]
    RESULTS.with_suffix(".md").write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    asyncio.run(main())
