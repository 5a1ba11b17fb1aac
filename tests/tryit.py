"""The `curl` lines of a docstring, to send: the pages' own reader reads them."""

from course.tryit import BASE
from course.tryit import requests as try_lines

__all__ = ["BASE", "try_lines"]
