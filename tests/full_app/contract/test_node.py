"""`openai` for Node and the AI SDK against a running full_app.

They are pinned in `node/`, without addresses: npm uses the registry that it is
configured for. They are installed once, into `.tools`.
"""

import json
import re
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from tests.full_app.conftest import KEY
from tests.full_app.contract.conftest import HEARTBEAT, NODE, NODE_LOCK, Stage
from tests.servers import wait_until

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
STAGED = ["silence", "error in a stream"]


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
    node_clients: Path, base_url: str, script: str
) -> None:
    cases = MATRIX[script]

    assert run(node_clients, script, base_url, *cases) == dict.fromkeys(cases)


@pytest.mark.wire
@pytest.mark.deep
@pytest.mark.parametrize("script", MATRIX)
def test_clients_for_node_survive_a_silence_longer_than_their_patience(
    node_clients: Path, staged: tuple[str, Stage], stage: Stage, script: str
) -> None:
    stage.silent = True
    ready = threading.Event()

    def end_silence() -> None:
        wait_until(lambda: stage.started > 0, what="the request")
        ready.wait(25 * HEARTBEAT)
        stage.silent = False

    thread = threading.Thread(target=end_silence)
    thread.start()
    found = run(node_clients, script, staged[0], "silence")
    thread.join()

    assert found == {"silence": None}


@pytest.mark.wire
@pytest.mark.deep
@pytest.mark.parametrize("script", MATRIX)
def test_clients_for_node_raise_on_an_error_in_a_stream(
    node_clients: Path, staged: tuple[str, Stage], stage: Stage, script: str
) -> None:
    stage.finish = False
    found = run(node_clients, script, staged[0], "error in a stream")

    assert found == {"error in a stream": None}


@pytest.mark.parametrize("script", MATRIX)
def test_every_case_for_node_is_asked_for(script: str) -> None:
    text = (NODE / script).read_text(encoding="utf-8")
    cases = re.findall(r'(?m)^  async (?:"([^"]+)"|(\w+))\(\) \{', text)

    assert sorted(a or b for a, b in cases) == sorted(MATRIX[script] + STAGED)


def test_the_lock_for_node_names_no_registry() -> None:
    lock = (NODE / NODE_LOCK).read_text(encoding="utf-8")

    assert "resolved" not in lock
    assert "://" not in lock
    for name, package in json.loads(lock)["packages"].items():
        assert not name or package["integrity"].startswith("sha512-")
