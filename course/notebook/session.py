"""A notebook's cells, run in this process: no kernel, no Jupyter, no matplotlib.

As in a kernel, `await` works outside of functions, all cells share one event loop and
one namespace, and the last expression of a cell is shown.
"""

import ast
import asyncio
import contextlib
import io
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Self

from course.notebook.live import Server
from course.notebook.normal import joined

TEXT = {"text/plain", "text/markdown"}
Output = dict[str, Any]


class Session:
    """The namespace and the event loop of one notebook; a context manager."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.namespace: dict[str, Any] = {"__name__": "__main__"}
        self._loop = asyncio.Runner()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for value in self.namespace.values():
            if isinstance(value, Server):
                value.stop()  # the last cell does this, but may not be reached
        self._loop.close()

    def run(self, cell: dict[str, Any]) -> list[Output]:
        """The outputs of one cell, in nbformat's form. Raises what the cell raises."""
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            value = self._evaluate(joined(cell["source"]), cell["id"])
        outputs: list[Output] = []
        if printed.getvalue():
            stream = {"output_type": "stream", "name": "stdout"}
            outputs.append({**stream, "text": printed.getvalue()})
        if value is not None:
            outputs.append({"output_type": "execute_result", "data": shown(value)})
        return outputs

    def _evaluate(self, source: str, cell: str) -> Any:
        tree = ast.parse(source, f"{self.name}#{cell}")
        last = tree.body[-1] if tree.body else None
        if not isinstance(last, ast.Expr) or source.rstrip().endswith(";"):
            self._execute(tree)
            return None
        self._execute(ast.Module(tree.body[:-1], []))
        return self._execute(ast.Expression(last.value))

    def _execute(self, tree: ast.Module | ast.Expression) -> Any:
        mode = "exec" if isinstance(tree, ast.Module) else "eval"
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile(tree, self.name, mode, flags=flags, dont_inherit=True)

        async def step() -> Any:
            result = eval(code, self.namespace)  # noqa: S307 - the notebook's own code
            return await result if isinstance(result, Coroutine) else result

        return self._loop.run(step())


def shown(value: Any) -> dict[str, Any]:
    """What a cell's last value looks like, images left out."""
    if hasattr(value, "_repr_mimebundle_"):
        bundle: dict[str, Any] = value._repr_mimebundle_(include=TEXT)[0]
        return bundle
    return {"text/plain": repr(value)}
