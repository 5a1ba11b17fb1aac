"""Which layer a proxied answer spends its CPU time in, as shares of one run.

    py-spy record --gil -r 200 -d 60 -f raw -o stacks.txt --pid <uvicorn's>
    python -m benchmarks.shares stacks.txt

py-spy looks at full_app while a load tool asks it (see `benchmarks.flame_graph`), and
writes the stacks that it saw. Each of them is counted for one layer: that of its last
frame. Python's own modules have no layer: their time belongs to whoever called them.
The times of a machine that is busy are longer, their shares are the same. So the shares
are written to `results/proxied_shares.json`, and the site multiplies them by the CPU
time of the committed run with peers.
"""

import argparse
import re
from collections import Counter
from pathlib import Path

from pydantic import BaseModel

from benchmarks.flame_graph import BEGIN
from benchmarks.places import ROOT

RESULT = ROOT / "benchmarks" / "results" / "proxied_shares.json"
SERVER = "uvicorn and uvloop: HTTP, the event loop"
WEB = "full_app: middlewares, the body, a client that leaves"
CALL = "full_app: the call, its account, its models"
MONEY = "full_app: limits and money"
SEEN = "log line, metrics, trace, with their libraries"
UPSTREAM = "full_app: reading the upstream's answer"
AIOHTTP = "aiohttp: the call of the upstream"
STARLETTE = "Starlette and anyio"
# The first whose beginning fits the place of a file.
LAYERS = (
    ("examples/full_app/web/connection", SERVER),
    ("examples/full_app/web/middleware/telemetry", SEEN),
    ("examples/full_app/web", WEB),
    ("examples/full_app/routes", WEB),
    ("examples/full_app/lifecycle", WEB),
    ("examples/full_app/limits", MONEY),
    ("examples/full_app/money", MONEY),
    ("examples/full_app/observability", SEEN),
    ("examples/full_app/providers", UPSTREAM),
    ("examples/full_app", CALL),
    ("examples/s2_models", CALL),
    ("examples", WEB),
    ("pythonjsonlogger", SEEN),
    ("opentelemetry", SEEN),
    ("prometheus_client", SEEN),
    ("fastapi", "FastAPI: routing and dependencies"),
    ("starlette", STARLETTE),
    ("anyio", STARLETTE),
    ("sniffio", STARLETTE),
    ("pydantic", "Pydantic: the request and the answer"),
    ("aiohttp", AIOHTTP),
    ("yarl", AIOHTTP),
    ("multidict", AIOHTTP),
    ("redis", "redis-py"),
    ("uvicorn", SERVER),
)
FRAME = re.compile(r"^.* \((?P<path>.*?)(?::\d+)?\)$")


class Row(BaseModel):
    """One layer, and its share of all samples: of 1."""

    layer: str
    share: float


class Shares(BaseModel):
    """What one look found: the largest share first."""

    samples: int
    rows: list[Row]


def layer_of(frame: str) -> str | None:
    """The layer of `name (path:line)`; None for one of Python's own modules."""
    found = FRAME.match(frame)
    if found is None:
        return None
    path = found["path"].replace("\\", "/").rpartition("site-packages/")[2]
    place = path[path.rfind("examples/") :] if "examples/" in path else path
    return next((name for start, name in LAYERS if place.startswith(start)), None)


def read(text: str) -> Shares:
    """The shares of py-spy's raw stacks. Raises ValueError if it saw no event loop."""
    seen: Counter[str] = Counter()
    for line in text.splitlines():
        stack, _, times = line.rpartition(" ")
        frames = stack.split(";")
        if not any(without_line(frame).endswith(BEGIN) for frame in frames):
            continue  # another thread
        layers = (layer_of(frame) for frame in reversed(frames))
        seen[next((it for it in layers if it is not None), SERVER)] += int(times)
    if not seen:
        raise ValueError("There is no stack of an event loop in it.")
    rows = [
        Row(layer=layer, share=round(times / seen.total(), 4))
        for layer, times in seen.most_common()
    ]
    return Shares(samples=seen.total(), rows=rows)


def without_line(frame: str) -> str:
    """`name (asyncio/runners.py)`, for a file of the standard library."""
    name, _, place = frame.rpartition(" (")
    short = re.sub(r".*lib/python3\.\d+/", "", re.sub(r":\d+\)$", ")", place))
    return f"{name} ({short}"


def main() -> None:
    """Read the stacks, write the shares."""
    parser = argparse.ArgumentParser(description="Shares of py-spy's raw stacks")
    parser.add_argument("stacks", type=Path)
    shares = read(parser.parse_args().stacks.read_text(encoding="utf-8"))
    text = f"{shares.model_dump_json(indent=2)}\n"
    RESULT.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
