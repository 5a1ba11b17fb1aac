"""The process that runs a student's code: `python -m course.exercises.child`.

It gets the id of an exercise, the file of the answer and the file of the report, and
adds one line of JSON to the report for each thing that happened. The parent reads it,
whatever becomes of this process.
"""

import asyncio
import importlib.util
import inspect
import json
import sys
from collections.abc import Coroutine
from importlib.abc import Loader
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from course.exercises import source
from course.exercises.words import in_words

MEMORY_BYTES = 2 * 1024**3  # of address space; a FastAPI application needs a quarter


def main(exercise_id: str, answer: Path, report: Path) -> None:
    """Load the answer, run the checks in order, and stop at the first that fails."""
    with report.open("a", encoding="utf-8") as lines:

        def tell(event: str, **facts: str) -> None:
            lines.write(json.dumps({"event": event, **facts}) + "\n")
            lines.flush()

        exercise = source.find(exercise_id)
        limit_memory()
        checks: dict[str, Any] = {}
        exec(compile(exercise.checks, f"<{exercise.id}>", "exec"), checks)  # noqa: S102 - the course's own file
        tell("loading")
        module, loader = prepare(answer)
        try:
            loader.exec_module(module)
        except BaseException as error:
            tell("failed", check="", words=in_words(error, answer, module))
            return
        for name in exercise.names:
            tell("checking", check=name)
            try:
                outcome: Coroutine[Any, Any, None] | None = checks[name](module)
                if inspect.iscoroutine(outcome):
                    asyncio.run(outcome)
            except BaseException as error:
                tell("failed", check=name, words=in_words(error, answer, module))
                return
            tell("passed", check=name)
        tell("solved")


class FreshLoader(SourceFileLoader):
    """Loads a file as it is now.

    Python trusts a compiled file if time and size agree, but the time has whole
    seconds: of two quick edits the second could be missed.
    """

    def get_code(self, fullname: str) -> CodeType:
        """The code of the file, compiled now."""
        return self.source_to_code(self.get_data(self.path), self.path)


def prepare(path: Path) -> tuple[ModuleType, Loader]:
    """The module of a file, not yet run. It is called `answer`, never `__main__`."""
    loader = FreshLoader("answer", str(path))
    spec = importlib.util.spec_from_file_location("answer", path, loader=loader)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules["answer"] = module  # pydantic looks up annotations there
    return module, spec.loader


def limit_memory() -> None:
    """Bound this process's memory where the system can: not on Windows."""
    if sys.platform == "win32":
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, hard))
    except (OSError, ValueError):  # macOS may refuse; the time limit holds
        return


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).resolve(), Path(sys.argv[3]))
