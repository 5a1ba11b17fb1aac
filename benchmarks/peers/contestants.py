"""Who takes part: how each is started, asked, and what its environment says."""

import json
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peers.bodies import BARE, FULL, OFFLINE_MODEL, PROXY_MODEL, RAW, TEXT
from benchmarks.peers.homes import node_home, python_home
from benchmarks.peers.processes import Tree, free_port, started

APPS = "benchmarks.apps"
MANY = 10**9
LITELLM = "litellm[proxy]==1.106.2"
LITSERVE = "litserve==0.2.19"
PORTKEY = "1.15.2"
# With a newer one every stream of it is a 500: "immutable" headers.
PORTKEY_STANDS_ON = {"@hono/node-server": "1.13.8", "hono": "4.9.7"}
VERSIONS = {"LiteLLM": "1.106.2", "LitServe": "0.2.19", "Portkey": PORTKEY}
# Made up for this run; they open nothing anywhere else.
KEYS = tuple(f"sk-bench-{number:032d}" for number in range(1_001))

Command = Callable[[int, str | None], tuple[list[str], dict[str, str]]]


@dataclass(frozen=True)
class Contestant:
    """A server; `command(port, upstream)` gives its command line and environment.

    Without an upstream it answers by itself.
    """

    name: str
    command: Command = field(repr=False)
    ready: str = "/"
    key: str = KEYS[0]

    def start(self, upstream: str | None) -> AbstractContextManager[Tree]:
        """Raises MissingPeerError if it cannot be had, OSError if it does not start."""
        port = free_port()
        command, env = self.command(port, upstream)
        return started(command, port, env, self.ready)

    def headers(self, upstream: str | None) -> dict[str, str]:
        """What a request to it carries besides its body."""
        headers = {"Authorization": f"Bearer {self.key}"}
        if self.name == "Portkey" and upstream:
            headers["x-portkey-provider"] = "openai"
            headers["x-portkey-custom-host"] = f"{upstream}/v1"
        return headers


def full_app(redis_url: str | None, workers: int = 1) -> Contestant:
    """full_app with everything on, and limits that are never reached."""

    def command(port: int, upstream: str | None) -> tuple[list[str], dict[str, str]]:
        keys = [
            {"name": f"caller-{number}", "key": key, "budget_usd": "1000000"}
            for number, key in enumerate(KEYS)
        ]
        env = {
            "FULL_APP_API_KEYS": json.dumps(keys),
            "FULL_APP_LOG_JSON": "true",
            "FULL_APP_OFFLINE_PACE": "0",
            "FULL_APP_REQUESTS_PER_MINUTE": str(MANY),
            "FULL_APP_TOKENS_PER_MINUTE": str(MANY),
            "FULL_APP_CONCURRENT_CALLS": "100000",
            "FULL_APP_CONCURRENT_CALLS_PER_KEY": "100000",
            "FULL_APP_JOB_WORKER": "false",
        }
        if redis_url:
            env["REDIS_URL"] = redis_url
        if upstream:
            env["FULL_APP_UPSTREAM_BASE_URL"] = f"{upstream}/v1"
            env["FULL_APP_UPSTREAM_API_KEY"] = KEYS[0]
        app = "examples.full_app.main" if upstream else f"{APPS}.full_chat"
        return _uvicorn(f"{app}:app", port, workers), env

    return Contestant(FULL, command, ready="/health/live")


def _app(module: str) -> Command:
    def command(port: int, _: str | None) -> tuple[list[str], dict[str, str]]:
        return _uvicorn(f"{APPS}.{module}:app", port, 1), {}

    return command


def _uvicorn(app: str, port: int, workers: int) -> list[str]:
    options = ["--no-access-log", "--log-level", "warning", "--workers", str(workers)]
    return [sys.executable, "-m", "uvicorn", app, "--port", str(port), *options]


def _litellm(port: int, upstream: str | None) -> tuple[list[str], dict[str, str]]:
    python = python_home("litellm", LITELLM)
    model = {"model": f"openai/{PROXY_MODEL}", "api_key": KEYS[0]}
    how = {"api_base": f"{upstream}/v1"} if upstream else {"mock_response": TEXT}
    names = dict.fromkeys((OFFLINE_MODEL, PROXY_MODEL))
    listed = [{"model_name": name, "litellm_params": model | how} for name in names]
    config = Path(tempfile.gettempdir()) / f"course-bench-litellm-{port}.json"
    config.write_text(json.dumps({"model_list": listed}), encoding="utf-8")
    program = str(python.with_name("litellm"))
    words = ["--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    env = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it asks another machine
        "LITELLM_LOG": "ERROR",
        "LITELLM_MASTER_KEY": KEYS[0],
    }
    return [program, *words, "--telemetry", "False"], env


def _litserve(port: int, _: str | None) -> tuple[list[str], dict[str, str]]:
    python = python_home("litserve", LITSERVE)
    app = Path(__file__).parent.parent / "apps" / "lit_chat.py"
    return [str(python), str(app), str(port)], {}


def _portkey(port: int, _: str | None) -> tuple[list[str], dict[str, str]]:
    folder = node_home("@portkey-ai/gateway", PORTKEY, PORTKEY_STANDS_ON)
    program = folder / "build" / "start-server.js"
    return ["node", str(program), f"--port={port}", "--headless"], {}


UPSTREAM = Contestant(RAW, _app("raw_chat"))
LITELLM_PROXY = Contestant("LiteLLM", _litellm, ready="/health/liveliness")


def offline(redis_url: str | None) -> list[Contestant]:
    """Those that answer by themselves."""
    return [
        UPSTREAM,
        Contestant(BARE, _app("bare_chat")),
        full_app(redis_url),
        LITELLM_PROXY,
        Contestant("LitServe", _litserve, ready="/health"),
    ]


def proxying(redis_url: str | None) -> list[Contestant]:
    """Those that pass a request on to a fast upstream."""
    return [full_app(redis_url), LITELLM_PROXY, Contestant("Portkey", _portkey)]
