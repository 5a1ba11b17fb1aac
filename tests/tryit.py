"""The `curl` lines of a docstring, to send: the pages' own reader reads them."""

from course.site.commands import commands as try_lines
from course.tryit import BASE

__all__ = ["BASE", "try_lines"]
