"""An answer does not quietly take more and more calls of Python functions."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from benchmarks.places import ROOT
from course.groups import satisfied

if not satisfied("bench"):
    assert "COURSE_REQUIRE_BENCH" not in os.environ, "the bench group is missing"
    pytest.skip(
        "the bench group is missing: `python3 -m course setup bench`",
        allow_module_level=True,
    )

from benchmarks import calls


def results(total: int) -> calls.Results:
    row = {"application": calls.PROXIED, "answer": calls.WHOLE}
    rows = [
        {**row, "layer": calls.ALL, "calls": total},
        {**row, "layer": "redis", "calls": total},
    ]
    return calls.Results.model_validate({"python": "3.11", "rows": rows})


@pytest.mark.parametrize(("now", "sentences"), [(1_100, 0), (1_101, 1)])
def test_a_tenth_more_calls_are_said_once(now: int, sentences: int) -> None:
    assert len(calls.grown(results(1_000), results(now))) == sentences


def test_a_function_belongs_to_its_room_or_its_library() -> None:
    from fastapi import FastAPI

    from examples.full_app.chat.answers import collect
    from examples.s2_models import Usage

    assert calls.layer_of(collect.__code__) == "full_app.chat"
    assert calls.layer_of(Usage.check_total.__code__) == "examples.s2_models"
    assert calls.layer_of(FastAPI.__call__.__code__) == "fastapi"
    assert calls.layer_of(json.dumps.__code__) == "json"


@pytest.mark.deep
@pytest.mark.timeout(240)
@pytest.mark.skipif(not shutil.which("redis-server"), reason="needs redis-server")
def test_an_answer_takes_no_more_calls_than_are_committed() -> None:
    """If there is a reason for more: `python -m benchmarks.calls`, and commit it."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.calls", "--check"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=200,
    )

    assert done.returncode == 0, done.stderr
    assert f"| {calls.ALL} |" in done.stdout
