"""The odd shapes of upstreams' answers, as the official client for Node sees them.

The shapes, and what must be seen of them, are those of the client for Python. One
process of Node answers all questions, so that a shape takes some milliseconds.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

import pytest

from tests.full_app.contract.before_an_upstream import (
    CALLERS,
    Look,
    Seen,
    Service,
    check,
    check_error,
    prepare,
    put_together,
    seen_whole,
)
from tests.full_app.contract.test_upstream_shapes import OTHERS, parametrized
from tests.full_app.contract.upstream_shapes import JSON, SHAPES, SIBLINGS, Shape

# About the wire below a client, so that no client is in them.
ALL_SHAPES = [shape for shape in [*SHAPES, *SIBLINGS] if shape.id not in OTHERS]
VECTORS = [shape for shape in ALL_SHAPES if shape.kind == "vectors"]
LISTS = [shape for shape in ALL_SHAPES if "listed" in shape.sees]
ANSWERS = [shape for shape in ALL_SHAPES if shape not in VECTORS + LISTS]
HELPER_KNOWS = {"refusal"}  # of other further fields it keeps the last piece


class NodeClient:
    """The official client for Node, in a process that answers questions in turn."""

    def __init__(self, questions: IO[str], answers: IO[str]) -> None:
        self._questions = questions
        self._answers = answers

    def ask(self, mode: str, ask: JSON, caller: str = "alpha") -> JSON:
        """What `see.mjs` prints."""
        question = {"mode": mode, "key": CALLERS[caller], "ask": ask}
        self._questions.write(json.dumps(question) + "\n")
        self._questions.flush()
        line: JSON = json.loads(self._answers.readline())
        return line

    def see(self, mode: str, ask: JSON, caller: str = "alpha") -> Seen:
        """The answer to a question, or the error."""
        return seen_in(self.ask(mode, ask, caller))


def seen_in(line: JSON) -> Seen:
    """What a line of `see.mjs` means."""
    seen = put_together(line.get("chunks", []))
    if completion := line.get("completion"):
        seen = seen_whole(completion)
    if failure := line.get("error"):
        seen.status = failure["status"]
        seen.error = failure["error"]
        if failure["retry"] is not None:
            seen.retry = failure["retry"] == "true"
        if failure["retry_after"] is not None:
            seen.retry_after = int(failure["retry_after"])
    return seen


@pytest.fixture(scope="module")
def node(node_clients: Path, running: Service) -> Iterator[NodeClient]:
    """A client for Node of the service."""
    with subprocess.Popen(
        [shutil.which("node") or "node", "see.mjs", f"{running.url}/v1"],
        cwd=node_clients,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield NodeClient(process.stdin, process.stdout)
        process.stdin.close()
        assert process.wait(20) == 0


@pytest.mark.deep
@pytest.mark.parametrize(("shape", "mode"), parametrized(ANSWERS))
def test_node_sees_a_shape_of_an_answer_as_python_does(
    service: Service, node: NodeClient, shape: Shape, mode: str
) -> None:
    check(service, shape, mode, node.see)


@pytest.mark.deep
@pytest.mark.parametrize(
    "shape",
    [shape for shape in ANSWERS if "stream" in shape.modes],
    ids=lambda it: it.id,
)
def test_nodes_stream_helper_puts_a_shape_together(
    service: Service, node: NodeClient, shape: Shape
) -> None:
    further = shape.sees.get("further", {})
    known = {name: further[name] for name in further if name in HELPER_KNOWS}
    sees = {**shape.sees, "further": known}
    sees.pop("back", None)  # what goes back is tried with what the client sees itself
    prepare(service, shape, "stream")

    check(service, replace(shape, sees=sees, whole=None), "stream", helped(node))


def helped(node: NodeClient) -> Look:
    """The client's stream helper."""
    return lambda _, ask, caller: node.see("helper", ask, caller)


@pytest.mark.deep
@pytest.mark.parametrize("shape", VECTORS, ids=lambda shape: shape.id)
@pytest.mark.parametrize("mode", ["vectors", "vectors as asked"])
def test_node_sees_a_shape_of_vectors_as_python_does(
    service: Service, node: NodeClient, shape: Shape, mode: str
) -> None:
    prepare(service, shape, "whole")
    line = node.ask(mode, {"model": "pot/vectors", **shape.ask})

    if expected := shape.sees.get("vectors"):
        assert line.get("error") is None
        data = line["embeddings"]["data"]
        assert [one["embedding"] for one in data] == expected
        assert [one["index"] for one in data] == [0, 1]
        assert line["embeddings"]["usage"]["prompt_tokens"] > 0
    else:
        check_error({**shape.sees, "code": "upstream_error"}, seen_in(line))


@pytest.mark.deep
@pytest.mark.parametrize("shape", LISTS, ids=lambda shape: shape.id)
def test_node_sees_a_list_of_models_with_gaps_as_python_does(
    service: Service, node: NodeClient, shape: Shape
) -> None:
    prepare(service, shape, "whole")
    ids = node.ask("models", {})["ids"]

    for model in shape.sees["listed"]:
        assert model in ids
        assert node.ask("model", {"model": model})["ids"] == [model]


def test_no_kind_that_has_a_client_is_left_out() -> None:
    kinds = {shape.kind for shape in [*SHAPES, *SIBLINGS]}

    assert kinds - {shape.kind for shape in ALL_SHAPES} == {
        "upgrade",
        "slow",
        "slash",
        "live",
    }
    assert len(ANSWERS) + len(VECTORS) + len(LISTS) > 110
