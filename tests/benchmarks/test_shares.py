"""Every sample of a profile is counted for one layer, and for none of Python's own."""

import pytest

from benchmarks import shares

LOOP = "Runner.run (/usr/lib/python3.11/asyncio/runners.py:118)"


@pytest.mark.parametrize(
    ("frame", "layer"),
    [
        ("reserve (/home/a/examples/full_app/limits/ledger.py:1)", shares.MONEY),
        (r"reserve (C:\a\examples\full_app\limits\ledger.py:1)", shares.MONEY),
        ("_request (/v/lib/python3.11/site-packages/aiohttp/x.py:9)", shares.AIOHTTP),
        ("_request (aiohttp/client.py:9)", shares.AIOHTTP),
        ("timeout (/usr/lib/python3.11/asyncio/timeouts.py:2)", None),
        ("<frozen importlib>", None),
    ],
)
def test_a_frame_belongs_to_its_room_or_its_library(
    frame: str, layer: str | None
) -> None:
    assert shares.layer_of(frame) == layer


def test_time_of_pythons_own_modules_is_that_of_their_caller() -> None:
    call = "post (aiohttp/client.py:3);timeout (asyncio/timeouts.py:1)"

    found = shares.read(f"{LOOP};{call} 3\n{LOOP} 1\nrun (threading.py:1) 9\n")

    assert found.samples == 4
    assert [(row.layer, row.share) for row in found.rows] == [
        (shares.AIOHTTP, 0.75),
        (shares.SERVER, 0.25),
    ]


def test_stacks_without_an_event_loop_are_no_profile() -> None:
    with pytest.raises(ValueError, match="event loop"):
        shares.read("run (threading.py:1) 9\n")
