"""Figures in the course's colours, each with a sentence for those who cannot see it.

They are data until a notebook shows them: only then is matplotlib imported.
"""

import html
import io
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import Any

from course.notebook.display import Bundle, wanted

# The colours of a figure: a name for style sheets, its light value and its dark one.
# The first six are the decks' own (course/deck/assets/deck.css).
PALETTE = {
    "paper": ("#ffffff", "#10171f"),
    "ink": ("#1c2733", "#e8eef4"),
    "soft": ("#516170", "#a9b8c6"),
    "line": ("#d5dde5", "#314050"),
    "accent": ("#0b6b62", "#5fd4c4"),
    "warm": ("#b3401a", "#ffb08a"),
    "third": ("#2f5bd0", "#9db8ff"),
    "fourth": ("#7e22ce", "#d3a6ff"),
}
PAPER, INK, SOFT, RULE, *COLOURS = (light for light, _ in PALETTE.values())
MARKS = ("o", "s", "^", "D")  # colour is never the only difference
MANY = 25  # marks that would run into each other
THOUSANDS = "{x:,g}"
WIDTH = 880  # CSS pixels
INCHES = WIDTH / 100
FONT = "DejaVu Sans"  # comes with matplotlib
STYLE = {
    "font.size": 14,
    "font.family": FONT,
    "svg.fonttype": "none",  # words stay words: they can be read aloud and found
    "text.color": INK,
    "axes.labelcolor": INK,
    "figure.titlesize": 17,
    "axes.edgecolor": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "legend.frameon": False,
}
SVG = "image/svg+xml"
DARK = "@media (prefers-color-scheme:dark){.course-figure{%s}}"
DARK_RULE = re.compile(r"@media \(prefers-color-scheme:dark\)\{(.*?\})\}")
Draw = Callable[[Any], None]
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Figure:
    """A drawing that waits to be seen: `draw` gets matplotlib's axes."""

    title: str
    alt: str
    draw: Draw
    inches_high: float = 3.6

    def __repr__(self) -> str:
        return f"{self.title}: {self.alt}"

    def _repr_mimebundle_(
        self,
        include: Collection[str] | None = None,
        exclude: Collection[str] | None = None,
    ) -> Bundle:
        kinds = wanted(("text/plain", SVG), include, exclude)
        shown: dict[str, Any] = {"text/plain": repr(self)}
        if SVG in kinds:
            shown[SVG] = self.svg()
        return {kind: shown[kind] for kind in kinds}, {"alt": repr(self)}

    def svg(self) -> str:
        """The picture, readable on light and on dark pages.

        Needs matplotlib, of the notebooks group. The same figure is the same text.
        """
        import matplotlib as mpl
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure as Drawing

        with mpl.rc_context({**STYLE, "svg.hashsalt": self.title}):
            size = (INCHES, self.inches_high)
            drawing = Drawing(figsize=size, dpi=100, layout="constrained")
            axes = drawing.subplots()
            drawing.get_layout_engine().set(w_pad=0.12, h_pad=0.1)
            drawing.suptitle(self.title, x=0.01, ha="left", fontweight="bold")
            self.draw(axes)
            file = io.BytesIO()
            FigureCanvasSVG(drawing).print_svg(file, metadata={"Date": None})
        return _in_both_schemes(file.getvalue().decode(), repr(self))


def _in_both_schemes(drawing: str, alt: str) -> str:
    """matplotlib's SVG with variables for its colours, and without what nobody reads.

    A deck gives the variables its own values; elsewhere the reader's system decides.
    """
    drawing = drawing[drawing.index("<svg ") :].strip()
    drawing = re.sub(r"\s*<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r'<g id="[^"]*">', "<g>", drawing)
    drawing = drawing.replace(">*{", ">.course-figure *{")  # in a deck: this alone
    drawing = drawing.replace(f"'{FONT}'", f"'{FONT}', Verdana, sans-serif")
    dark: list[str] = []
    for name, (light_value, dark_value) in PALETTE.items():
        drawing = drawing.replace(light_value, f"var(--{name},{light_value})")
        dark.append(f"--{name}:{dark_value}")
    style = f"<style>{DARK % ';'.join(dark)}</style>"
    words = f'class="course-figure" role="img" aria-label="{html.escape(alt)}"'
    head, _, rest = drawing.partition(">")
    return f"{head} {words}>\n{style}{rest}\n"


def light(drawing: str) -> str:
    """The drawing in its light colours, whatever the reader's system prefers."""
    return DARK_RULE.sub("", drawing)


def dark(drawing: str) -> str:
    """The drawing in its dark colours, whatever the reader's system prefers."""
    return DARK_RULE.sub(r"\1", drawing)


def switched_by(selector: str, drawing: str) -> str:
    """The drawing with its dark colours where an ancestor matches `selector`."""
    return DARK_RULE.sub(lambda rule: f"{selector} {rule[1]}", drawing)


def bars(
    title: str,
    values: Mapping[str, float],
    *,
    unit: str,
    guesses: Mapping[str, float | EllipsisType] | None = None,
    log: bool = False,
) -> Figure:
    """A bar for each value, its figure beside it, and a mark where it was guessed.

    A guess that is still `...` has no mark.
    """
    guessed = {
        name: guess
        for name, guess in (guesses or {}).items()
        if not isinstance(guess, EllipsisType)
    }

    def draw(axes: Any) -> None:
        names = list(values)
        axes.barh(names, list(values.values()), color=COLOURS[0], height=0.6)
        if log:
            axes.set_xscale("log")
        for row, name in enumerate(names):
            axes.annotate(
                f"{values[name]:,g} {unit}".rstrip(),
                (values[name], row),
                xytext=(8, 0),
                textcoords="offset points",
                va="center",
            )
        if guessed:
            marks = [(guess, names.index(name)) for name, guess in guessed.items()]
            places = list(zip(*marks, strict=True))
            look = {"marker": "D", "s": 100, "color": COLOURS[1], "edgecolors": PAPER}
            axes.scatter(*places, zorder=3, **look)
            axes.scatter([], [], label="your guess", **look)
            _legend(axes)
        axes.invert_yaxis()
        axes.margins(x=0.27)
        axes.set_xlabel(f"{unit}, logarithmic" if log else unit)
        axes.xaxis.set_major_formatter(THOUSANDS)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")

    each = (f"{name} {value:,g} {unit}".rstrip() for name, value in values.items())
    told = ", ".join(each)
    return Figure(
        title, told + ".", draw, 1.7 + 0.5 * len(values) + 0.3 * bool(guessed)
    )


def moments(
    title: str, rows: Mapping[str, Sequence[float]], *, unit: str = "ms", alt: str = ""
) -> Figure:
    """A line of marks for each row: when its events happened.

    `alt` replaces the sentence about first, last and count where those vary.
    """

    def draw(axes: Any) -> None:
        names = list(rows)
        for row, name in enumerate(names):
            times = rows[name]
            many = len(times) > MANY
            look = {"marker": "|" if many else MARKS[row % 4], "s": 200 if many else 80}
            axes.axhline(row, color=RULE, zorder=1)
            places = [row] * len(times)
            axes.scatter(times, places, color=COLOURS[row % 4], zorder=3, **look)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlim(left=0)
        axes.margins(x=0.05)
        axes.set_xlabel(f"{unit} since the request")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")

    told = (
        f"{name}: {len(times)}, first after {min(times):.0f} {unit}, "
        f"last after {max(times):.0f} {unit}"
        for name, times in rows.items()
    )
    return Figure(title, alt or "; ".join(told) + ".", draw, 1.9 + 0.5 * len(rows))


def curves(
    title: str,
    lines: Mapping[str, Points],
    *,
    x: str,
    y: str,
    alt: str,
    marks: Mapping[str, Points] | None = None,
    lowest: float = 0,
) -> Figure:
    """A line for each series of (x, y), and marks without lines on top of them.

    `lowest`: where the vertical axis begins.
    """

    def draw(axes: Any) -> None:
        dashes = ("-", "--", ":", "-.")
        for number, (name, points) in enumerate(lines.items()):
            xs, ys = zip(*points, strict=True)
            look = {"color": COLOURS[number % 4], "linestyle": dashes[number % 4]}
            axes.plot(xs, ys, label=name, linewidth=2.5, **look)
        for number, (name, points) in enumerate((marks or {}).items(), 1):
            xs, ys = zip(*points, strict=True)
            look = {"color": COLOURS[number % 4], "marker": MARKS[number % 4]}
            axes.scatter(xs, ys, label=name, s=80, zorder=3, clip_on=False, **look)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.margins(y=0.12)
        axes.set_ylim(bottom=lowest)
        axes.xaxis.set_major_formatter(THOUSANDS)
        axes.yaxis.set_major_formatter(THOUSANDS)
        axes.grid()
        _legend(axes)

    return Figure(title, alt, draw, 4.2)


def _legend(axes: Any) -> None:
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
