"""What the notebooks import: small helpers, so that their cells are about the course.

Everything a cell displays is an object with text, and Markdown or an image beside it:
the tests run the same cells without Jupyter and compare the text.
"""

from course.notebook.exercise import check
from course.notebook.figures import bars, curves, moments
from course.notebook.listing import show
from course.notebook.live import Arrival, Server, arrivals, live
from course.notebook.questions import quiz
from course.notebook.views import data, judge, table, wire

__all__ = [
    "Arrival",
    "Server",
    "arrivals",
    "bars",
    "check",
    "curves",
    "data",
    "judge",
    "live",
    "moments",
    "quiz",
    "show",
    "table",
    "wire",
]
