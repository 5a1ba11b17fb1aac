"""The egress guard: what it refuses, it refuses without opening a connection.

No test here dials: connections go to a recording backend, so that a broken guard
shows up in the record and reaches nobody.
"""

import asyncio
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore2
import httpx2
import pytest

from examples.full_app.egress.client import (
    EgressPolicy,
    ForbiddenTargetError,
    GuardedBackend,
    Resolver,
    check_url,
    guarded_client,
    system_resolver,
)

PUBLIC = "93.184.216.34"
OTHER_PUBLIC = "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
STRICT = EgressPolicy()
DEVELOPMENT = EgressPolicy(allow_loopback=True)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

# Every way to write an address that is not public, as a resolver answers it.
PRIVATE_ADDRESSES = [
    "0.0.0.0",  # noqa: S104 - refused, not bound
    *("127.0.0.1", "127.0.0.2", "10.0.0.1", "172.16.0.1", "192.168.1.1"),
    *("169.254.169.254", "100.64.0.1", "100.100.100.200", "198.18.0.1", "192.0.0.1"),
    *("192.0.0.9", "192.0.0.192", "192.0.2.1", "192.88.99.1", "168.63.129.16"),
    *("203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:7f00:1"),
    *("::ffff:93.184.216.34", "64:ff9b::7f00:1", "64:ff9b::5db8:d822"),
    *("64:ff9b:1::7f00:1", "100::1", "2001:0:7f00:1::", "2001:db8::1"),
    *("2002:7f00:1::", "2002:5db8:d822::1", "fc00::1", "fd00:ec2::254", "fe80::1"),
    *("fe80::1%lo", "fec0::1", "ff02::1", "ff0e::1", "5f00::1", "4000::1"),
    "2606:2800:21f:cb07:6820:80da:af6b:8b2c%eth0",
]
# What only resolvers, or only some parsers, take for an address.
ODD_HOSTS = [
    *("localhost", "LOCALHOST", "localhost.", "api.localhost", "127.0.0.1."),
    *("0", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0X7F.0.0.1"),
    *("0177.0.0.1", "017700000001", "127.0.0.01", "10.1", "0x", "1.2.3.4.5"),
    *("256.256.256.256", "4294967296", "93.184.216.34.", "example.1", "example.0x7f"),
    *("127。0。0。1", "①②⑦.⓪.⓪.①", "\uff11\uff12\uff17.0.0.1", "١٢٧.0.0.1"),
    *("127.0.0.1%2523", "127.0.0.1%00.example.com", "%31%32%37.0.0.1", "local%68ost"),
    *("exa mple.com", "example..com", ".example.com", "example.com..", "ex\u200bample"),
    *(
        "a" * 64 + ".com",
        "example." + "a" * 64,
        "a." * 127 + "com",
        "[::1",
        "[fe80::1%25lo]",
        "[::1%25lo]",
        "ⓛocalhost",
    ),
]
# Whole URLs that hide the target, or are none of an HTTP client's business.
ODD_URLS = [
    "http://example.com/",
    "http://example.com:443/",
    "https://example.com:80/",
    "https://example.com:0/",
    "https://example.com:22/",
    "https://example.com:8443/",
    "https://example.com:6379/",
    "https://example.com:99999/",
    "https://user@example.com/",
    "https://user:password@example.com/",
    "https://:@example.com/",
    "https://example.com@127.0.0.1/",
    "https://example.com:443@127.0.0.1/",
    "https://127.0.0.1\\@example.com/",
    "https://127.0.0.1#@example.com/",
    "https://127.0.0.1?@example.com/",
    "https://[::ffff:127.0.0.1]:443/",
    "file:///etc/passwd",
    "ftp://example.com/",
    "gopher://127.0.0.1:6379/_PING",
    "wss://example.com/",
    "unix:///var/run/docker.sock",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/",
    "javascript:alert(1)",
    "//127.0.0.1/",
    "https:127.0.0.1",
    "https:///path",
    "https://",
    "/path",
    "",
    " https://example.com/",
    "https://exam\tple.com/",
    "https://exam\nple.com/",
    "https://example.com/" + "a" * 2048,
]


def bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


REFUSED = [
    *(f"https://{bracketed(address)}/" for address in PRIVATE_ADDRESSES),
    *(f"https://{host}/" for host in ODD_HOSTS),
    *ODD_URLS,
]


class Wire(httpcore2.AsyncNetworkStream):
    """One connection that answers with prepared bytes."""

    def __init__(self, dialler: "RecordingDialler", answer: list[bytes]) -> None:
        self.dialler = dialler
        self.answer = answer

    async def read(self, *args: Any, **kwargs: Any) -> bytes:
        part = self.answer.pop(0) if self.answer else b""
        if part == b"break":
            raise httpcore2.ReadError("cut")
        return part

    async def write(self, buffer: bytes, *args: Any, **kwargs: Any) -> None:
        self.dialler.sent += buffer

    async def start_tls(self, *args: Any, **kwargs: Any) -> "Wire":
        context: ssl.SSLContext = kwargs["ssl_context"]
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        self.dialler.tls_names.append(kwargs["server_hostname"])
        return self

    async def aclose(self) -> None:
        self.dialler.closed += 1


class RecordingDialler(httpcore2.AsyncNetworkBackend):
    """Writes down what would have been dialled."""

    def __init__(self, *answer: bytes, dead: Iterable[str] = ()) -> None:
        self.answer = answer or (OK,)
        self.dead = set(dead)
        self.dialled: list[tuple[str, int]] = []
        self.tls_names: list[str] = []
        self.sent = b""
        self.closed = 0
        self.slept: list[float] = []

    async def connect_tcp(self, host: str, port: int, *args: Any, **kw: Any) -> Wire:
        self.dialled.append((host, port))
        if host in self.dead:
            raise httpcore2.ConnectError("nobody there")
        return Wire(self, list(self.answer))

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


class Names:
    """A resolver with a fixed table, and a record of what was asked."""

    def __init__(self, **answers: list[list[str]]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        rounds = self.answers.get(host.split(".")[0], [[PUBLIC]])
        return rounds.pop(0) if len(rounds) > 1 else rounds[0]


def client_with(
    dialler: RecordingDialler,
    resolve: Resolver | None = None,
    policy: EgressPolicy = STRICT,
    timeout: float = 5.0,
) -> httpx2.AsyncClient:
    resolve = resolve or Names()
    return guarded_client(policy, resolve=resolve, dialler=dialler, timeout=timeout)


@pytest.mark.parametrize("url", REFUSED)
def test_bad_urls_are_refused_by_sight(url: str) -> None:
    with pytest.raises(ForbiddenTargetError) as refusal:
        check_url(url, STRICT)
    assert (refusal.value.status_code, refusal.value.code) == (400, "forbidden_target")
    assert refusal.value.param == "url"
    assert len(url) < 10 or url not in refusal.value.message


@pytest.mark.wire
async def test_bad_urls_are_refused_before_any_lookup_or_connection() -> None:
    dialler, names = RecordingDialler(), Names()
    # httpx2 refuses some of them itself, before the guard is asked.
    refusals = (ForbiddenTargetError, httpx2.InvalidURL, httpx2.UnsupportedProtocol)
    async with client_with(dialler, names) as client:
        for url in REFUSED:
            with pytest.raises(refusals):
                await client.post(url)
            assert (dialler.dialled, names.asked) == ([], []), url


@pytest.mark.wire
def test_the_corpus_is_large_enough() -> None:
    assert len(set(REFUSED)) >= 120


@pytest.mark.parametrize("policy", [STRICT, DEVELOPMENT], ids=["strict", "development"])
async def test_names_of_private_addresses_are_refused_unconnected(
    policy: EgressPolicy,
) -> None:
    answers = [[address] for address in PRIVATE_ADDRESSES]
    dialler, names = RecordingDialler(), Names(trap=answers)
    async with client_with(dialler, names, policy) as client:
        for address in PRIVATE_ADDRESSES:
            with pytest.raises(ForbiddenTargetError, match="not public"):
                await client.post("https://trap.test/")
            assert dialler.dialled == [], address


@pytest.mark.parametrize(
    "host", ["127.1", "2130706433", "0x7f.1", "017700000001", "localhost"]
)
async def test_the_socket_is_guarded_even_if_a_local_host_gets_that_far(
    host: str,
) -> None:
    dialler = RecordingDialler()
    backend = GuardedBackend(STRICT, system_resolver, dialler)
    with pytest.raises(ForbiddenTargetError):
        await backend.connect_tcp(host, 443)
    assert dialler.dialled == []


@pytest.mark.parametrize(
    "answers",
    [[PUBLIC, "127.0.0.1"], ["10.0.0.1", PUBLIC], [PUBLIC, OTHER_PUBLIC, "::1"]],
)
async def test_one_private_address_among_public_ones_refuses_the_name(
    answers: list[str],
) -> None:
    dialler = RecordingDialler()
    async with client_with(dialler, Names(mixed=[answers])) as client:
        with pytest.raises(ForbiddenTargetError):
            await client.post("https://mixed.test/")
    assert dialler.dialled == []


async def test_the_checked_address_is_dialled_and_tls_asks_for_the_name() -> None:
    dialler, names = RecordingDialler(), Names()
    async with client_with(dialler, names) as client:
        answer = await client.post("https://hooks.example.com/in?a=1", content=b"hi")
    assert (answer.status_code, answer.text) == (200, "ok")
    assert names.asked == ["hooks.example.com"]
    assert dialler.dialled == [(PUBLIC, 443)]
    assert dialler.tls_names == ["hooks.example.com"]
    assert dialler.sent.startswith(b"POST /in?a=1 HTTP/1.1\r\nHost: hooks.example.com")
    assert b"\r\nAccept-Encoding: identity\r\n" in dialler.sent
    assert dialler.sent.endswith(b"\r\n\r\nhi")
    assert dialler.closed == 1


@pytest.mark.wire
async def test_a_rebinding_name_is_looked_up_once_and_checked_each_connection() -> None:
    closing = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    dialler, names = RecordingDialler(closing), Names(rebind=[[PUBLIC], ["127.0.0.1"]])
    async with client_with(dialler, names) as client:
        assert (await client.post("https://rebind.test/")).status_code == 200
        assert names.asked == ["rebind.test"], "a second lookup is a second answer"
        with pytest.raises(ForbiddenTargetError):
            await client.post("https://rebind.test/")
    assert dialler.dialled == [(PUBLIC, 443)]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_answers_and_never_lead_inside(status: int) -> None:
    for location in ("http://127.0.0.1/", "https://[::1]/", "https://trap.test/"):
        lines = f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\n"
        redirect = f"{lines}Connection: close\r\nContent-Length: 0\r\n\r\n"
        dialler = RecordingDialler(redirect.encode())
        async with client_with(dialler, Names(trap=[["10.0.0.1"]])) as client:
            answer = await client.post("https://public.test/")
            assert (answer.status_code, dialler.dialled) == (status, [(PUBLIC, 443)])
            with pytest.raises(ForbiddenTargetError):
                await client.post("https://public.test/", follow_redirects=True)
        assert dialler.dialled == [(PUBLIC, 443)] * 2


async def test_proxies_of_the_environment_are_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:3128")
        monkeypatch.setenv(variable.lower(), "http://127.0.0.1:3128")
    dialler = RecordingDialler()
    async with client_with(dialler) as client:
        await client.post("https://public.test/")
        assert not client.trust_env
    assert dialler.dialled == [(PUBLIC, 443)]
    assert b"CONNECT" not in dialler.sent


async def test_trusted_certificates_are_not_taken_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/at/all.pem")
    async with client_with(RecordingDialler()) as client:
        assert (await client.post("https://public.test/")).status_code == 200


async def test_cookies_of_one_receiver_are_not_sent_to_the_next() -> None:
    cookie = b"HTTP/1.1 200 OK\r\nSet-Cookie: who=you\r\nContent-Length: 0\r\n\r\n"
    dialler = RecordingDialler(cookie, cookie)
    async with client_with(dialler) as client:
        await client.post("https://public.test/")
        await client.post("https://public.test/")
        assert len(client.cookies) == 0
    assert b"who=you" not in dialler.sent


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://EXAMPLE.com:443/path?query=1#fragment",
        "https://example.com./",
        "https://hooks_in.example.com/",
        "https://bücher.example/",
        "https://xn--bcher-kva.example/",
        "https://1.example/",
        "https://93.184.216.34/",
        "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/",
        "https://" + "a" * 63 + ".example/",
    ],
)
@pytest.mark.parametrize("policy", [STRICT, DEVELOPMENT], ids=["strict", "development"])
def test_public_hosts_are_accepted(url: str, policy: EgressPolicy) -> None:
    check_url(url, policy)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:8000/hook", "127.0.0.1"),
        ("http://127.1.2.3:1/", "127.1.2.3"),
        ("http://[::1]:8000/", "::1"),
        ("http://localhost/", "127.0.0.1"),
        ("https://localhost:8443/", "::1"),
        ("http://hooks.localhost:8000/", "127.0.0.1"),
    ],
)
async def test_loopback_is_called_where_the_development_setting_allows_it(
    url: str, address: str
) -> None:
    dialler = RecordingDialler()

    async def resolve(host: str, port: int) -> list[str]:
        return [address]

    async with client_with(dialler, resolve, DEVELOPMENT) as client:
        assert (await client.post(url)).status_code == 200
    assert [host for host, _ in dialler.dialled] == [address]


LOOPBACK_URLS = {
    "https://127.0.0.1/",
    "https://127.0.0.2/",
    "https://[::1]/",
    "https://localhost/",
    "https://LOCALHOST/",
    "https://localhost./",
    "https://api.localhost/",
    "https://127。0。0。1/",
    "https://127.0.0.1#@example.com/",
    "https://127.0.0.1?@example.com/",
}


@pytest.mark.parametrize("url", [url for url in REFUSED if url not in LOOPBACK_URLS])
def test_the_development_setting_opens_nothing_else(url: str) -> None:
    with pytest.raises(ForbiddenTargetError):
        check_url(url, DEVELOPMENT)


@pytest.mark.parametrize("address", ["10.0.0.1", PUBLIC, "::ffff:127.0.0.1"])
async def test_localhost_must_be_loopback_where_it_is_allowed(address: str) -> None:
    dialler = RecordingDialler()
    names = Names(localhost=[["127.0.0.1", address]])
    async with client_with(dialler, names, DEVELOPMENT) as client:
        with pytest.raises(ForbiddenTargetError):
            await client.post("http://localhost:8000/")
    assert dialler.dialled == []


async def test_another_address_is_tried_when_the_first_is_dead() -> None:
    names = Names(two=[[PUBLIC, OTHER_PUBLIC]])
    dialler = RecordingDialler(dead=[PUBLIC])
    async with client_with(dialler, names) as client:
        assert (await client.post("https://two.test/")).status_code == 200
        assert dialler.dialled == [(PUBLIC, 443), (OTHER_PUBLIC, 443)]
        dialler.dead.add(OTHER_PUBLIC)
    async with client_with(dialler, names) as client:
        with pytest.raises(httpx2.ConnectError, match="nobody there"):
            await client.post("https://two.test/")


async def test_names_that_do_not_resolve_are_connection_errors() -> None:
    async def fails(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    async def chokes(host: str, port: int) -> list[str]:
        return [("a" * 64).encode("idna").decode()]

    async def hangs(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    async def nothing(host: str, port: int) -> list[str]:
        return []

    for resolve, error in (
        (fails, httpx2.ConnectError),
        (chokes, httpx2.ConnectError),
        (nothing, httpx2.ConnectError),
        (hangs, httpx2.ConnectTimeout),
    ):
        async with client_with(RecordingDialler(), resolve, timeout=0.05) as client:
            assert client.timeout == httpx2.Timeout(0.05)
            with pytest.raises(error):
                await client.post("https://public.test/")


async def test_broken_answers_are_the_clients_own_errors() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"
    for answer, error in (
        ([b"break"], httpx2.ReadError),
        ([b"nonsense\r\n\r\n"], httpx2.RemoteProtocolError),
        ([head, b"break"], httpx2.ReadError),
        ([head, b""], httpx2.RemoteProtocolError),
    ):
        async with client_with(RecordingDialler(*answer)) as client:
            with pytest.raises(error):
                await client.post("https://public.test/")


async def test_refusals_do_not_use_up_the_connection_pool() -> None:
    names = Names(trap=[["10.0.0.1"]])
    async with client_with(RecordingDialler(), names) as client:
        for _ in range(110):
            with pytest.raises(ForbiddenTargetError):
                await client.post("https://trap.test/")
        assert (await client.post("https://public.test/")).status_code == 200


async def test_sockets_of_this_machine_are_never_opened() -> None:
    dialler = RecordingDialler()
    backend = GuardedBackend(DEVELOPMENT, system_resolver, dialler)
    with pytest.raises(ForbiddenTargetError):
        await backend.connect_unix_socket("/var/run/docker.sock")
    await backend.sleep(0.5)
    assert dialler.slept == [0.5]


async def test_the_system_resolver_gives_addresses() -> None:
    assert await system_resolver("127.0.0.1", 443) == ["127.0.0.1"]
    found = await system_resolver("localhost", 443)
    assert found
    assert set(found) <= {"127.0.0.1", "::1"}
