"""Kind 7: Redis is killed and restarts while resumable answers come to their end.

    python -m benchmarks.attacks.redis_restarts [--answers 40] [--at-once 10]

Redis is killed before the rest of some answers is said, and is started again a second
later. Each answer must then be there from its first to its last piece, and be charged
once.
"""

import shutil
import tempfile
import time
from pathlib import Path

import httpx2

from benchmarks.attacks.run import Figures, run, wait_until, what_went_wrong
from benchmarks.attacks.silent_redis import money
from examples.full_app.money import Prices
from tests.full_app.conftest import KEY
from tests.full_app.resumable.test_generations import begin
from tests.full_app.resumable.test_redis_away import LastingRedis
from tests.full_app.scripted import Scripted, scripted

AWAY_SECONDS = 1.0
PIECES = 200  # that are said while Redis is away
MODEL = "gpt-4o-mini"
HEADERS = {"Authorization": f"Bearer {KEY}"}


def text_of(http: httpx2.Client, where: str) -> str:
    """All events of an answer; empty while it cannot be read."""
    try:
        answer = http.get(where)
    except httpx2.TransportError:
        return ""
    return answer.text if answer.is_success else ""


def is_whole(text: str) -> bool:
    """Whether all pieces are there, each once and in order, and the end."""
    pieces = ["a", "b", *(f"late {number}." for number in range(PIECES))]
    positions = [text.find(f'"content":"{piece}"') for piece in pieces]
    once = all(text.count(f'"content":"{piece}"') == 1 for piece in pieces)
    return once and positions == sorted(positions) and "[DONE]" in text


def one_restart(
    http: httpx2.Client, model: Scripted, redis: LastingRedis, answers: int
) -> int:
    """How many of the answers that ended without Redis are whole afterwards."""
    model.silent = True
    where = [begin(http, 2)[0] for _ in range(answers)]
    redis.kill()
    model.silent = False
    time.sleep(AWAY_SECONDS)
    redis.start()
    wait_until(lambda: all("[DONE]" in text_of(http, one) for one in where), 30)
    return sum(is_whole(text_of(http, one)) for one in where)


def measure(answers: int, at_once: int) -> Figures:
    """All answers, so many at each restart."""
    binary = shutil.which("redis-server")
    if binary is None:
        raise SystemExit("redis-server is not installed")
    kept = begun = restarts = 0
    with tempfile.TemporaryDirectory() as folder:
        redis = LastingRedis(binary, Path(folder))
        try:
            keys = [{"name": "alpha", "key": KEY, "budget_usd": "1000"}]
            given = {"redis_url": redis.url, "api_keys": keys, "job_worker": False}
            with (
                scripted(**given, resume_grace_seconds=30) as (url, model),
                httpx2.Client(base_url=url, headers=HEADERS, timeout=60) as http,
            ):
                model.pieces = ["a", "b"]
                model.late = [f"late {number}." for number in range(PIECES)]
                while begun < answers:
                    count = min(at_once, answers - begun)
                    kept += one_restart(http, model, redis, count)
                    begun += count
                    restarts += 1
                wait_until(lambda: money(http)["reserved"] == 0, 30)
                spent = money(http)
        finally:
            redis.kill()
    cost = answers * (Prices().cost_of(MODEL, 1, 3) or 0)
    return {
        "answers": answers,
        "restarts": restarts,
        "whole": kept,
        "spent_nano_usd": spent["spent"],
        "cost_of_the_answers_nano_usd": cost,
        "wrong": what_went_wrong(
            {
                "an answer was lost": kept < answers,
                "the money is not exact": spent != {"spent": cost, "reserved": 0},
            }
        ),
    }


if __name__ == "__main__":
    run(__doc__, measure, answers=40, at_once=10)
