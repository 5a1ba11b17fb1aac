"""`openai` for Node and the AI SDK against a running full_app.

They are pinned in `node/`, without addresses: npm uses the registry that it is
configured for. They are installed once, into `.tools`.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from examples.full_app.main import create_app
from tests.full_app.conftest import KEY, settings
from tests.full_app.contract.conftest import HEARTBEAT, Stage
from tests.full_app.contract.test_upstream_shapes import (
    Seen,
    Upstream,
    check_answer,
    check_error,
    upstream_running,
)
from tests.full_app.contract.upstream_shapes import ASKED, JSON, SHAPES, Shape
from tests.servers import ROOT, serve, wait_until

SOURCE = Path(__file__).with_name("node")
FILES = ("package.json", "package-lock.json")
OFFICIAL, AI_SDK = "matrix.mjs", "ai-sdk.mjs"
MATRIX = {
    OFFICIAL: [
        "plain",
        "stream",
        "stream helper",
        "structured",
        "tools",
        "round trip",
        "errors",
        "responses",
        "responses stream",
        "retries",
        "embeddings",
        "models",
    ],
    AI_SDK: [
        "plain",
        "stream",
        "structured",
        "tools and round trip",
        "errors",
        "its default route",
        "embeddings",
    ],
}
NOT_CHAT = {"vectors"}  # seen by the client for Python
STAGED = ["silence", "error in a stream"]


@pytest.fixture(scope="session")
def installed() -> Path:
    """A folder with the pinned client; made once a lock file, also by several at once.

    Without Node the test is skipped on a student's machine; with COURSE_REQUIRE_NODE
    set (CI) it fails instead.
    """
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        if os.environ.get("COURSE_REQUIRE_NODE"):
            pytest.fail("COURSE_REQUIRE_NODE is set and node or npm is missing")
        pytest.skip("Node and npm are not installed")
    lock = (SOURCE / FILES[1]).read_bytes()
    folder = ROOT / ".tools" / f"node-{hashlib.sha256(lock).hexdigest()[:16]}"
    if not folder.exists():
        making = folder.with_name(f"{folder.name}.{os.getpid()}")
        making.mkdir(parents=True)
        for name in FILES:
            shutil.copy(SOURCE / name, making)
        command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(
            command, cwd=making, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        with contextlib.suppress(OSError):  # another process was faster
            making.rename(folder)
        shutil.rmtree(making, ignore_errors=True)
    for script in SOURCE.glob("*.mjs"):
        shutil.copy(script, folder)
    return folder


def run(folder: Path, script: str, url: str, *names: str) -> dict[str, str | None]:
    """What each case complains about; None: nothing."""
    node = shutil.which("node") or "node"
    done = subprocess.run(
        [node, script, f"{url}/v1", KEY, *names],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["name"]: line["failure"] for line in lines}


@pytest.mark.deep
@pytest.mark.parametrize("script", MATRIX)
def test_clients_for_node_are_served_as_the_one_for_python_is(
    installed: Path, base_url: str, script: str
) -> None:
    cases = MATRIX[script]

    assert run(installed, script, base_url, *cases) == dict.fromkeys(cases)


@pytest.mark.wire
@pytest.mark.deep
@pytest.mark.parametrize("script", MATRIX)
def test_clients_for_node_survive_a_silence_longer_than_their_patience(
    installed: Path, staged: tuple[str, Stage], stage: Stage, script: str
) -> None:
    stage.silent = True
    ready = threading.Event()

    def end_silence() -> None:
        wait_until(lambda: stage.started > 0, what="the request")
        ready.wait(25 * HEARTBEAT)
        stage.silent = False

    thread = threading.Thread(target=end_silence)
    thread.start()
    found = run(installed, script, staged[0], "silence")
    thread.join()

    assert found == {"silence": None}


@pytest.mark.wire
@pytest.mark.deep
@pytest.mark.parametrize("script", MATRIX)
def test_clients_for_node_raise_on_an_error_in_a_stream(
    installed: Path, staged: tuple[str, Stage], stage: Stage, script: str
) -> None:
    stage.finish = False
    found = run(installed, script, staged[0], "error in a stream")

    assert found == {"error in a stream": None}


# --- Shapes of upstreams ---


class ByModel(Upstream):
    """An upstream that answers as the shape of the model's name says."""

    def __init__(self, shapes: list[Shape]) -> None:
        super().__init__()
        self.shapes = {shape.id: shape for shape in shapes}

    def reply_to(self, asked: JSON) -> bytes:
        """The shape's reply."""
        shape = self.shapes[asked["model"].partition("/")[2]]
        reply = shape.stream if asked.get("stream") else shape.whole
        made = reply() if callable(reply) else reply
        return made or super().reply_to(asked)


def seen_by_node(line: JSON) -> Seen:
    """What `see.mjs` printed."""
    if "error" in line:
        error = line["error"]
        retry = error["retry"] == "true"
        return Seen(error["status"], error=error, retry=retry)
    completion = line["completion"]
    seen = Seen(usage=completion.get("usage"))
    for choice in completion["choices"]:
        seen.messages[choice["index"]] = choice["message"]
        seen.finishes[choice["index"]] = choice["finish_reason"]
        chances = (choice.get("logprobs") or {}).get("content") or []
        seen.tokens += [one["token"] for one in chances]
    return seen


@pytest.mark.deep
def test_the_official_client_for_node_sees_the_shapes_of_upstreams(
    installed: Path,
) -> None:
    shapes = [
        shape
        for shape in SHAPES
        if shape.sees and shape.key is None and shape.kind not in NOT_CHAT
        if "model" not in shape.ask and "listed" not in shape.sees
    ]
    plain = next(shape for shape in SHAPES if shape.id == "parts/one-text")
    tried = []
    for shape in shapes:
        tried += [(shape, mode) for mode in shape.modes]
        if shape.kind == "broken":  # five failures in a row would open the breaker
            tried.append((plain, "whole"))
    asks = [
        {
            "mode": mode,
            "ask": {"messages": ASKED, **shape.ask, "model": f"as/{shape.id}"},
        }
        for shape, mode in tried
    ]
    with upstream_running(ByModel(shapes)) as upstream:
        app = create_app(settings(upstream_base_url=upstream.url))
        with serve(app) as url:
            done = subprocess.run(
                [shutil.which("node") or "node", "see.mjs", f"{url}/v1", KEY],
                cwd=installed,
                input=json.dumps(asks),
                capture_output=True,
                encoding="utf-8",
                timeout=50,
            )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]

    assert len(lines) == len(tried) > 90
    for (shape, mode), line in zip(tried, lines, strict=True):
        sees = dict(shape.sees)
        for name in ("code", "param", "retry_after"):  # the message is all we print
            sees.pop(name, None)
        if mode == "stream":  # the helper keeps the last piece of what it does not know
            known = {"refusal"}
            further = sees.get("further", {})
            sees["further"] = {n: v for n, v in further.items() if n in known}
            sees.pop("retry", None)
        try:
            check_answer(sees, seen_by_node(line))
            check_error(sees, seen_by_node(line))
        except (AssertionError, KeyError) as error:
            pytest.fail(f"{shape.id} {mode}: {error!r} in {line}")


@pytest.mark.parametrize("script", MATRIX)
def test_every_case_for_node_is_asked_for(script: str) -> None:
    text = (SOURCE / script).read_text(encoding="utf-8")
    cases = re.findall(r'(?m)^  async (?:"([^"]+)"|(\w+))\(\) \{', text)

    assert sorted(a or b for a, b in cases) == sorted(MATRIX[script] + STAGED)


def test_the_lock_for_node_names_no_registry() -> None:
    lock = (SOURCE / FILES[1]).read_text(encoding="utf-8")

    assert "resolved" not in lock
    assert "://" not in lock
    for name, package in json.loads(lock)["packages"].items():
        assert not name or package["integrity"].startswith("sha512-")
