"""The checks by their subject: one file a group, in the order of its sentences."""

from types import MappingProxyType, ModuleType

from course.score.check import Check
from course.score.groups import (
    chat,
    errors,
    limits,
    responses,
    safety,
    schemas,
    streams,
    tools,
)


def _checks_of(module: ModuleType) -> list[Check]:
    """The checks that a module defines, from top to bottom."""
    return [each for each in vars(module).values() if isinstance(each, Check)]


GROUPS = MappingProxyType(
    {
        "chat": _checks_of(chat),
        "streams": _checks_of(streams),
        "tools": _checks_of(tools),
        "schemas": _checks_of(schemas),
        "errors": _checks_of(errors),
        "limits": _checks_of(limits),
        "responses": _checks_of(responses),
        "safety of a local server": _checks_of(safety),
    }
)
