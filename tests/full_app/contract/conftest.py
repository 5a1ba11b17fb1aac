"""One full_app a Redis mode is shared with all tests; here is one that misbehaves."""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import httpx2
import openai
import pytest

from examples.full_app.main import create_app
from examples.full_app.providers.base import CallContext, Delta
from examples.full_app.schemas.catalogue import Model
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.s2_models import Usage
from tests.full_app.conftest import KEY, settings
from tests.full_app.contract.before_an_upstream import (
    Service,
    one_shape,
    service_before_an_upstream,
)
from tests.full_app.scripted import Scripted
from tests.once import once_a_run
from tests.servers import ROOT, serve

HEARTBEAT = 0.1
NODE = Path(__file__).with_name("node")
NODE_LOCK = "package-lock.json"
PYTHON = Path("Scripts/python.exe" if os.name == "nt" else "bin/python")
PYTHON_CLIENTS = Path(__file__).with_name("python_clients")
WHY_NOT = "why_not.txt"  # the frameworks could not be installed


class Stage(Scripted):
    """A `Scripted` that can fail at once, and has a model with `/` in its name."""

    def __init__(self) -> None:
        super().__init__()
        self.refusal: Exception | None = None

    async def models(self) -> Sequence[Model]:
        """One model, named as on a hub."""
        return [Model(id="org/some-model:7b", created=1, owned_by="org")]

    async def stream(
        self, request: ChatCompletionRequest, call: CallContext
    ) -> AsyncIterator[Delta | Usage]:
        """The refusal, or what the script says."""
        if self.refusal is not None:
            raise self.refusal
        async for item in super().stream(request, call):
            yield item


@pytest.fixture(scope="session")
def staged() -> Iterator[tuple[str, Stage]]:
    """full_app before a `Stage`, and that stage; beats every `HEARTBEAT` seconds."""
    found = Stage()
    app = create_app(settings(heartbeat_seconds=HEARTBEAT), provider=found)
    with serve(app) as url:
        yield url, found


@pytest.fixture
def stage(staged: tuple[str, Stage]) -> Stage:
    """The stage, as if new."""
    used = staged[1]
    used.__dict__.clear()
    used.__dict__.update(Stage().__dict__)
    return used


@pytest.fixture(scope="session")
def _clients(
    staged: tuple[str, Stage],
) -> Iterator[tuple[httpx2.Client, openai.OpenAI]]:
    """Both clients of the stage, for all tests: a new one takes 30 ms."""
    url, headers = staged[0], {"Authorization": f"Bearer {KEY}"}
    with (
        httpx2.Client(base_url=url, headers=headers, timeout=20) as http,
        openai.OpenAI(
            base_url=f"{url}/v1", api_key=KEY, max_retries=0, timeout=20
        ) as client,
    ):
        yield http, client


@pytest.fixture
def stage_http(
    _clients: tuple[httpx2.Client, openai.OpenAI], stage: Stage
) -> httpx2.Client:
    """A plain client of the stage."""
    return _clients[0]


@pytest.fixture
def stage_client(
    _clients: tuple[httpx2.Client, openai.OpenAI], stage: Stage
) -> openai.OpenAI:
    """The official client of the stage, told not to retry."""
    return _clients[1]


# --- A service before an upstream ---


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    """A service whose upstream answers what a test says."""
    with service_before_an_upstream() as service:
        yield service


@pytest.fixture
def service(running: Service) -> Iterator[Service]:
    """The service, for one shape."""
    with one_shape(running) as service:
        yield service


# --- Clients that are installed for themselves ---


@pytest.fixture(scope="session")
def node_clients() -> Path:
    """A folder with the pinned client; made once a lock file, also by several at once.

    Without Node the test is skipped on a student's machine; with COURSE_REQUIRE_NODE
    set (CI) it fails instead.
    """
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        if os.environ.get("COURSE_REQUIRE_NODE"):
            pytest.fail("COURSE_REQUIRE_NODE is set and node or npm is missing")
        pytest.skip("Node and npm are not installed")
    lock = (NODE / NODE_LOCK).read_bytes()
    folder = ROOT / ".tools" / f"node-{hashlib.sha256(lock).hexdigest()[:16]}"
    if not folder.exists():
        making = folder.with_name(f"{folder.name}.{os.getpid()}")
        making.mkdir(parents=True)
        for name in ("package.json", NODE_LOCK):
            shutil.copy(NODE / name, making)
        command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(
            command, cwd=making, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        with contextlib.suppress(OSError):  # another process was faster
            making.rename(folder)
        shutil.rmtree(making, ignore_errors=True)
    for script in NODE.glob("*.mjs"):
        shutil.copy(script, folder)
    return folder


@pytest.fixture(scope="session")
def python_clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the pinned frameworks; made once a lock file.

    It is apart from ours, because the frameworks want other versions of what we use.
    Where it cannot be made, as without a network, the test is skipped on a student's
    machine; with COURSE_REQUIRE_CLIENTS set (CI) it fails instead.
    """
    lock = ROOT / "requirements" / "clients.txt"
    digest = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()
    folder = ROOT / ".tools" / f"clients-{digest[:16]}"

    def make(made: Path) -> None:
        made.mkdir()
        making = folder.with_name(f"{folder.name}.{os.getpid()}")
        reason = _install_frameworks(making, lock)
        if reason is None:
            with contextlib.suppress(OSError):  # another process was faster
                making.rename(folder)
        else:
            (made / WHY_NOT).write_text(reason, encoding="utf-8")
        shutil.rmtree(making, ignore_errors=True)

    if not folder.exists():
        why_not = once_a_run(tmp_path_factory, "clients", make) / WHY_NOT
        if why_not.exists():
            if os.environ.get("COURSE_REQUIRE_CLIENTS"):
                reason = why_not.read_text(encoding="utf-8")
                pytest.fail(f"COURSE_REQUIRE_CLIENTS is set, and:\n{reason}")
            pytest.skip("the frameworks cannot be installed (is the network away?)")
    return folder / PYTHON


def _install_frameworks(folder: Path, lock: Path) -> str | None:
    """An environment with what the lock lists; what went wrong, or None."""
    python = str(folder / PYTHON)
    options = ["--quiet", "--require-hashes", "--no-deps", "-r", str(lock)]
    if uv := shutil.which("uv"):
        commands = [
            [uv, "venv", "--quiet", "--python", sys.executable, str(folder)],
            [uv, "pip", "install", "--python", python, *options],
        ]
    else:
        commands = [
            [sys.executable, "-m", "venv", str(folder)],
            [python, "-m", "pip", "install", "--no-input", "--no-compile", *options],
        ]
    for command in commands:
        done = subprocess.run(
            command,
            cwd=tempfile.gettempdir(),  # else uv holds them to our own versions
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=360,  # of some 90 packages
        )
        if done.returncode != 0:
            return done.stderr
    return None
