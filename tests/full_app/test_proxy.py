"""The proxy in front: the configuration on the page about operations, under nginx."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from examples.full_app.main import create_app
from tests.full_app.conftest import settings
from tests.full_app.scripted import Scripted
from tests.full_app.web.test_clients import ASK, CHAT, KEYED
from tests.servers import ROOT, free_port, serve, wait_until

PAGE = ROOT / "docs" / "full-app" / "operations.md"
HOST = "api.example.com"
Proxy = tuple[httpx2.Client, Scripted, int]


def configuration(service: str, port: int, folder: Path) -> str:
    """What the page shows, for other ports and without TLS."""
    (text,) = re.findall(r"```nginx\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    text = re.sub(r"(?m)^ *ssl_.*\n", "", text).replace("443 ssl", f"127.0.0.1:{port}")
    text = text.replace("127.0.0.1:8000", service.removeprefix("http://"))
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {folder / kind};\n" for kind in kinds)
    return (
        f"daemon off;\npid {folder / 'pid'};\nerror_log {folder / 'errors'};\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{paths}{text}}}\n"
    )


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A client of nginx, the model behind the service behind it, and nginx' port."""
    binary = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if binary is None:
        if os.environ.get("COURSE_REQUIRE_NGINX"):
            pytest.fail("COURSE_REQUIRE_NGINX is set and nginx is missing")
        pytest.skip("nginx is not installed")
    folder, port, model = tmp_path_factory.mktemp("nginx"), free_port(), Scripted()
    with serve(create_app(settings(), provider=model)) as service:
        file = folder / "nginx.conf"
        file.write_text(configuration(service, port, folder), encoding="utf-8")
        nginx = subprocess.Popen([binary, "-c", str(file), "-p", str(folder)])
        try:
            url = f"http://127.0.0.1:{port}"
            headers = {**KEYED, "Host": HOST}
            with httpx2.Client(
                base_url=url, headers=headers, timeout=20, trust_env=False
            ) as http:
                wait_for_port(port)
                yield http, model, port
        finally:
            nginx.terminate()
            nginx.wait(10)


def wait_for_port(port: int) -> None:
    """Return when something listens there."""

    def listens() -> bool:
        with socket.socket() as raw:
            return raw.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens, what="nginx")


def test_a_call_passes_the_proxy(proxy: Proxy) -> None:
    http, _, _ = proxy
    answer = http.post(CHAT, json=ASK)

    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"] == "The kettle is on."


def test_streams_pass_the_proxy_as_they_come(proxy: Proxy) -> None:
    http, model, _ = proxy
    model.silent = True
    asked = {**ASK, "model": "any", "stream": True}
    try:
        with http.stream("POST", CHAT, json=asked) as answer:
            lines = (line for line in answer.iter_lines() if line)
            begun = [next(lines) for _ in range(2)]
            assert '"content":"a"' in begun[-1]  # the answer is not at its end
            model.silent = False
            assert list(lines)[-1] == "data: [DONE]"
    finally:
        model.silent = False


def raw_answer(port: int, request: bytes) -> bytes:
    """The beginning of what comes back; nothing if the connection is closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as raw:
        raw.sendall(request)
        return raw.recv(12)


def test_what_the_proxy_refuses_never_reaches_the_service(proxy: Proxy) -> None:
    http, _, port = proxy
    other_host = b"GET /health/live HTTP/1.1\r\nHost: evil.example\r\n\r\n"
    two_hosts = b"GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n"
    long_head = b"GET / HTTP/1.1\r\nHost: %s\r\nX: %s\r\n\r\n"

    assert raw_answer(port, other_host) == b""
    assert raw_answer(port, two_hosts) == b"HTTP/1.1 400"
    assert raw_answer(port, long_head % (HOST.encode(), b"x" * 70_000)) in (
        b"HTTP/1.1 400",
        b"HTTP/1.1 414",
    )
    assert http.get("/metrics").headers["server"].startswith("nginx")
    assert http.post(CHAT, content=b"x" * 3_000_000).status_code == 413
    assert http.get("/health/live").status_code == 200
