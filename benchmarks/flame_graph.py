"""Draw a flame graph of full_app under load: where its CPU time goes, as an SVG.

py-spy looks at the process from outside and writes the stacks it saw (it is not a
dependency: `uvx py-spy`). While a load tool asks the server:

    py-spy record --gil -r 250 -d 12 -f raw -o stacks.txt --pid <uvicorn's>
    python -m benchmarks.flame_graph stacks.txt

Committed: whole answers (`full_app_flame.svg`) and streams (`--out`, `.._streams.svg`),
and both of them proxied, before and after their calls were cut (`.._proxied*.svg`).

Time runs down: a bar stands on its callers, and is as wide as it was seen often. A look
from outside prefers moments in which the process is in the system: writing to sockets
looks dearer than it is (`perf` says 9 % where this says 25). Functions without their
lines, and files without their folders, so that nothing of a machine is in it.
"""

import argparse
import html
import re
from dataclasses import dataclass, field
from pathlib import Path

RESULT = Path(__file__).with_name("results") / "full_app_flame.svg"
WIDTH, ROW, LETTER = 1200, 17, 6.6  # pixels
TOP = 64
LEAST = 0.003  # of all samples: narrower bars are left out
BEGIN = "Runner.run (asyncio/runners.py)"
OWNERS = (  # the first that fits; the rest is Python's and other libraries'
    ("full_app", ("examples/",), "#2f6fde"),
    ("FastAPI, Starlette", ("fastapi/", "starlette/"), "#167a55"),
    ("Pydantic", ("pydantic/",), "#b0447f"),
    ("uvicorn", ("uvicorn/",), "#96631a"),
    ("redis-py", ("redis/", "fakeredis/"), "#c4452f"),
    ("the rest", ("",), "#7a7f87"),
)
STYLE = """
text { font: 11px ui-monospace, Consolas, monospace; fill: #fff; }
.words { fill: #1b1f24; font-size: 13px; } svg { background: #fff; }
@media (prefers-color-scheme: dark) {
  .words { fill: #e6e8eb; } svg { background: #14171a; }
}
"""


@dataclass
class Bar:
    """A function with all that it called: how often it was seen."""

    seen: int = 0
    called: dict[str, "Bar"] = field(default_factory=dict)


def read(text: str) -> Bar:
    """The tree of py-spy's raw stacks: frames joined by `;`, then how often."""
    root = Bar()
    for line in text.splitlines():
        stack, _, times = line.rpartition(" ")
        frames = [re.sub(r":\d+\)$", ")", frame) for frame in stack.split(";")]
        if BEGIN not in frames:
            continue  # another thread
        root.seen += int(times)
        bar = root
        for frame in frames[frames.index(BEGIN) + 1 :]:
            bar = bar.called.setdefault(without_folders(frame), Bar())
            bar.seen += int(times)
    return root


def without_folders(frame: str) -> str:
    """`name (package/module.py)`, wherever that package is installed."""
    name, _, place = frame.rpartition(" (")
    short = re.sub(r".*(?:site-packages|lib/python3\.\d+)/", "", place)
    return f"{name} ({short}" if not short.startswith("/") else name


def colour(frame: str) -> str:
    """That of whom the frame belongs to."""
    place = frame.rpartition(" (")[2]
    return next(hue for _, starts, hue in OWNERS if place.startswith(starts))


def draw(bar: Bar, all_seen: int, left: float, depth: int) -> list[str]:
    """Everything `bar` called, from `left` (0 to 1) on."""
    parts = []
    for frame, each in sorted(bar.called.items(), key=lambda one: -one[1].seen):
        share = each.seen / all_seen
        if share >= LEAST:
            parts += [rectangle(frame, share, left, depth)]
            parts += draw(each, all_seen, left, depth + 1)
        left += share
    return parts


def rectangle(frame: str, share: float, left: float, depth: int) -> str:
    """One bar with its name, as far as it fits, and all of it as a tooltip."""
    x, y, wide = left * WIDTH, TOP + depth * ROW, share * WIDTH
    fits = int((wide - 4) / LETTER)
    name = frame.partition(" (")[0]
    shown = name if len(name) <= fits else f"{name[: fits - 1]}…" if fits > 2 else ""
    text = f'<text x="{x + 3:.1f}" y="{y + 12}">{html.escape(shown)}</text>'
    return (
        f'<g><title>{html.escape(frame)}: {share:.1%}</title><rect x="{x:.1f}" y="{y}" '
        f'width="{max(wide - 0.5, 0.5):.1f}" height="{ROW - 1}" '
        f'fill="{colour(frame)}"/>{text if shown else ""}</g>'
    )


def depth_of(bar: Bar, all_seen: int) -> int:
    """Rows that are drawn."""
    drawn = [one for one in bar.called.values() if one.seen >= LEAST * all_seen]
    return 1 + max((depth_of(one, all_seen) for one in drawn), default=0)


def picture(root: Bar) -> str:
    """The SVG. Raises ValueError where no stack is of an event loop's."""
    if not root.seen:
        raise ValueError("There is no stack of an event loop in it.")
    height = TOP + depth_of(root, root.seen) * ROW
    legend, x = [], 0.0
    for name, _, hue in OWNERS:
        legend.append(f'<rect x="{x + 8}" y="34" width="12" height="12" fill="{hue}"/>')
        legend.append(f'<text class="words" x="{x + 26}" y="45">{name}</text>')
        x += 48 + 8 * len(name)
    title = f"full_app under load: {root.seen} samples of its event loop"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'role="img" aria-label="{title}"><title>{title}</title>'
        f"<style>{STYLE}</style>"
        f'<text class="words" x="8" y="22">{title}; point at a bar for its name</text>'
        + "\n".join([*legend, *draw(root, root.seen, 0.0, 0)])
        + "</svg>\n"
    )


def main() -> None:
    """Read the stacks, write the picture."""
    parser = argparse.ArgumentParser(description="A flame graph of py-spy's raw stacks")
    parser.add_argument("stacks", type=Path)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    svg = picture(read(given.stacks.read_text(encoding="utf-8")))
    given.out.write_text(svg, encoding="utf-8")
    print(f"{given.out}: {len(svg) // 1000} kB")


if __name__ == "__main__":
    main()
