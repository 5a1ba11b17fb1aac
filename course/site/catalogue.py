"""The error catalogue, read off the classes, and the fault models that raise them."""

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator

from course.places import ROOT, CourseError
from course.source import parse
from examples import full_app
from examples.full_app.errors import ConflictError, NotFoundError
from examples.full_app.limits.slots import NoSlotError
from examples.full_app.providers.faults.catalogue import FAULT_MODELS, FaultModel
from examples.s5_error_handling import AIError, CodedError

SCENARIOS = ROOT / "tests" / "full_app" / "test_errors.py"
PARENTS = {CodedError, ConflictError, NotFoundError, NoSlotError}  # never made


def classes() -> list[type[AIError]]:
    """Every concrete error of the service, by status and code."""
    for module in pkgutil.walk_packages(full_app.__path__, "examples.full_app."):
        importlib.import_module(module.name)
    found = {it for it in _below(AIError) if hasattr(it, "code")} - PARENTS
    found = {it for it in found if it.__module__.startswith("examples.")}
    return sorted(found, key=lambda it: (it.status_code, str(it.code), it.__name__))


def _below(parent: type[AIError]) -> Iterator[type[AIError]]:
    for child in parent.__subclasses__():
        yield child
        yield from _below(child)


def trigger(error: type[AIError]) -> FaultModel | None:
    """The fault model that raises exactly this class."""
    for fault in FAULT_MODELS:
        if fault.error is not None and type(fault.error()) is error:
            return fault
    return None


def scenarios() -> dict[str, str]:
    """What the test of each class does, in the words of that test."""
    module = parse(SCENARIOS.read_text(encoding="utf-8"))
    found = {}
    for node in ast.walk(module):
        match node:
            case ast.FunctionDef(
                name=words,
                decorator_list=[
                    ast.Call(func=ast.Name(id="shows"), args=[ast.Constant(str(name))])
                ],
            ):
                found[name] = words.replace("_", " ")
            case ast.Dict(keys=keys):
                for key in keys:
                    match key:
                        case ast.Tuple(
                            elts=[ast.Constant(str(name)), ast.Constant(str(words))]
                        ):
                            found[name] = words
    return found


def table(_: str = "") -> str:
    """One row a class."""
    rows = [
        "| status | code | class | retry? | what to do | what brings it about |",
        "|---:|---|---|---|---|---|",
    ]
    told = scenarios()
    if unseen := {it.__name__ for it in classes() if not trigger(it)} - told.keys():
        raise CourseError(f"No scenario in {SCENARIOS.name} shows {', '.join(unseen)}.")
    for it in classes():
        fault = trigger(it)
        rows.append(
            f"| {it.status_code} | `{it.code}` | `{it.__name__}` "
            f"| {'yes' if it.retryable else 'no'} | {_cell(it.recovery)} "
            f"| {f'`{fault.name}`' if fault else told[it.__name__]} |"
        )
    return "\n".join(rows)


def faults(_: str = "") -> str:
    """One row a fault model: what it does, and what the official client makes of it."""
    rows = [
        "| model | what it sends | what the `openai` client sees |",
        "|---|---|---|",
    ]
    rows += [
        f"| `{it.name}` | {_cell(it.description)} | {_cell(it.sees)} |"
        for it in FAULT_MODELS
    ]
    return "\n".join(rows)


def _cell(text: str) -> str:
    outside = re.sub(r"(`[^`]*`)|<", lambda it: it[1] or "&lt;", text)
    return outside.replace("|", "\\|")
