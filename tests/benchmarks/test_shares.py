"""Every look at full_app is counted for one layer, and for none of Python's own."""

import inspect
import os
from types import FrameType

import pytest

from course.groups import satisfied
from course.site import results

if not satisfied("bench"):
    assert "COURSE_REQUIRE_BENCH" not in os.environ, "the bench group is missing"
    pytest.skip(
        "the bench group is missing: `python3 -m course setup bench`",
        allow_module_level=True,
    )

from benchmarks import load, shares

LIMITS = "examples/full_app/limits/ledger.py"
PYTHON = "/usr/lib/python3.11/asyncio"


@pytest.mark.parametrize(
    ("path", "layer"),
    [
        (f"/home/a/{LIMITS}", shares.MONEY),
        (r"C:\a\examples\full_app\limits\ledger.py", shares.MONEY),
        ("/v/lib/python3.11/site-packages/aiohttp/client.py", shares.AIOHTTP),
        (f"{PYTHON}/timeouts.py", None),
        ("<frozen importlib>", None),
    ],
)
def test_a_file_belongs_to_its_room_or_its_library(
    path: str, layer: str | None
) -> None:
    assert shares.layer_of(path) == layer


def frame_in(path: str, inner: str) -> FrameType:
    """A frame of `inner`, a file whose function was called by one of `path`."""
    names = {"inspect": inspect}
    exec(compile("def look(): return inspect.currentframe()", inner, "exec"), names)  # noqa: S102
    exec(compile("frame = look()", path, "exec"), names)  # noqa: S102
    frame = names["frame"]
    assert isinstance(frame, FrameType)
    return frame


def test_time_of_pythons_own_modules_is_that_of_their_caller() -> None:
    sampler = shares.Sampler()

    sampler.look(0, frame_in(LIMITS, f"{PYTHON}/timeouts.py"))
    sampler.look(0, None)
    found = sampler.shares(
        load.Load(requests=9, requests_per_second=1, p50_ms=1, p99_ms=1, errors=0)
    )

    assert {row.layer: row.share for row in found.rows} == {
        shares.MONEY: 0.5,
        shares.SERVER: 0.5,
    }
    assert (found.samples, found.requests) == (2, 9)


def test_the_page_shares_out_all_of_the_time_of_an_answer() -> None:
    committed = shares.Shares.model_validate_json(
        shares.RESULT.read_text(encoding="utf-8")
    )
    layers = {name for _, name in shares.LAYERS}

    assert not committed.errors
    assert {row.layer for row in committed.rows} <= layers
    assert sum(row.share for row in committed.rows) == pytest.approx(1, abs=0.01)
    for row in committed.rows:
        assert f"| {row.layer} |" in results.proxied()
