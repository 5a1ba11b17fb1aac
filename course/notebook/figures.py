"""Figures in the course's colours, each with a sentence for those who cannot see it.

They are data until a notebook shows them: only then is matplotlib imported.
"""

import io
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from course.notebook.display import Bundle, wanted

INK, SOFT, RULE, PAPER = "#12203f", "#51607f", "#d7deee", "#ffffff"
COLOURS = ("#2f5bd0", "#c2410c", "#0f766e", "#7e22ce")  # AA on paper, in this order
MARKS = ("o", "s", "^", "D")  # colour is never the only difference
MANY = 25  # marks that would run into each other
THOUSANDS = "{x:,g}"
WIDTH = 880  # CSS pixels; drawn at 1.6 times that
INCHES = WIDTH / 100
STYLE = {
    "font.size": 14,
    "font.family": "DejaVu Sans",
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
        kinds = wanted(("text/plain", "image/png"), include, exclude)
        shown: dict[str, Any] = {"text/plain": repr(self)}
        if "image/png" in kinds:
            shown["image/png"] = self.png()
        shape = {"image/png": {"width": WIDTH}, "alt": repr(self)}
        return {kind: shown[kind] for kind in kinds}, shape

    def png(self) -> bytes:
        """The picture. Needs matplotlib, of the notebooks group."""
        import matplotlib as mpl
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure as Drawing

        with mpl.rc_context(STYLE):
            drawing = Drawing(figsize=(INCHES, self.inches_high), layout="constrained")
            axes = drawing.subplots()
            drawing.get_layout_engine().set(w_pad=0.12, h_pad=0.1)
            drawing.suptitle(self.title, x=0.01, ha="left", fontweight="bold")
            self.draw(axes)
            file = io.BytesIO()
            FigureCanvasAgg(drawing).print_figure(
                file, dpi=160, format="png", metadata={"Software": None}
            )
        return file.getvalue()


def bars(
    title: str,
    values: Mapping[str, float],
    *,
    unit: str,
    guesses: Mapping[str, float] | None = None,
    log: bool = False,
) -> Figure:
    """A bar for each value, its figure beside it, and a mark where it was guessed."""
    guessed = dict(guesses or {})

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
            axes.scatter(*places, marker="D", s=90, color=COLOURS[1], zorder=3)
            axes.scatter([], [], marker="D", s=90, color=COLOURS[1], label="your guess")
            _legend(axes)
        axes.invert_yaxis()
        axes.margins(x=0.27)
        axes.set_xlabel(f"{unit}, logarithmic" if log else unit)
        if not log:
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
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=13)
