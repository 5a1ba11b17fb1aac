"""Which addresses may be called: the rules of the guard, without any network.

Sources: OWASP's server-side request forgery cheat sheet; IANA's special-purpose
address registries; RFC 6761 (localhost); the WHATWG URL standard (numeric hosts).
"""

import ipaddress
import re
from dataclasses import dataclass

import httpx2

from examples.full_app.errors import RequestError

MAX_URL_LENGTH = 2048

_LOOPBACK = tuple(map(ipaddress.ip_network, ("127.0.0.0/8", "::1/128")))
_GLOBAL_UNICAST_V6 = ipaddress.ip_network("2000::/3")
_REFUSED = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24",  # protocol assignments; one cloud's metadata service
            "192.88.99.0/24",  # relays of 6to4
            "168.63.129.16/32",  # one cloud's host agent, on a public address
            "2002::/16",  # 6to4: an IPv4 address in disguise
        ),
    )
)
_DEFAULT_PORTS = {"http": 80, "https": 443}
# A DNS name, underscores tolerated: nothing percent-encoded, no spaces.
_NAME = re.compile(r"(?=.{1,253}\Z)([a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


class ForbiddenTargetError(RequestError):
    """The URL names, or resolves to, something this service does not call."""

    code = "forbidden_target"
    recovery = "Use an https URL on port 443 of a public host."


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """What may be called.

    `allow_loopback` is a development setting: `localhost` and literal loopback
    addresses may then be called too, over plain http as well and on any port.
    """

    allow_loopback: bool = False
    schemes: frozenset[str] = frozenset({"https"})
    ports: frozenset[int] = frozenset({443})


def check_url(url: str | httpx2.URL, policy: EgressPolicy) -> None:
    """Refuse what can be refused without asking DNS; ForbiddenTargetError says why.

    The URL is read by the parser of the client that will call it, so that the two
    cannot disagree about which part is the host.
    """
    target = _parse(url)
    host = target.raw_host.decode("ascii")
    local = is_local(host)
    if target.userinfo:
        raise _refuse("The URL must not carry credentials.")
    if local and not policy.allow_loopback:
        raise _refuse("The URL names this machine.")
    if target.scheme not in policy.schemes and not (local and target.scheme == "http"):
        raise _refuse("The URL must start with https://.")
    port = _DEFAULT_PORTS.get(target.scheme) if target.port is None else target.port
    if port not in policy.ports and not local:
        raise _refuse("The URL names a port that is not called.")
    if not local:
        _check_host(host)


def is_local(host: str) -> bool:
    """Whether `host` (lower case) is or ends in `localhost`, or a loopback address."""
    name = host.removesuffix(".")
    return name == "localhost" or name.endswith(".localhost") or is_loopback(host)


def is_loopback(address: str) -> bool:
    """Whether this text is an address in 127.0.0.0/8, or ::1; mapped forms are not."""
    ip = _address(address)
    return ip is not None and any(ip in network for network in _LOOPBACK)


def is_public(address: str) -> bool:
    """Whether this text is the usual spelling of a public unicast IP address."""
    ip = _address(address)
    if ip is None or any(ip in network for network in _REFUSED):
        return False
    # Python calls NAT64 (64:ff9b::/96) and site-local addresses (fec0::/10) global.
    if ip.version == 6 and ip not in _GLOBAL_UNICAST_V6:
        return False
    return ip.is_global and not ip.is_multicast


def _parse(url: str | httpx2.URL) -> httpx2.URL:
    if len(str(url)) > MAX_URL_LENGTH:
        raise _refuse("The URL is too long.")
    try:
        return httpx2.URL(url)
    except httpx2.InvalidURL:
        raise _refuse("This is not a URL.") from None


def _check_host(host: str) -> None:
    """Only names and usual address spellings: `2130706433` is 127.0.0.1 to resolvers.

    A host whose last label is a number is an address, says the WHATWG standard.
    """
    last_label = host.removesuffix(".").rpartition(".")[2]
    if ":" in host or _NUMBER.fullmatch(last_label):
        if not is_public(host):
            raise _refuse("The URL names an address that is not public.")
    elif not _NAME.fullmatch(host):
        raise _refuse("The URL names a host that cannot be one.")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Strict: no decimal, octal, hexadecimal or shortened IPv4 forms, no zones."""
    try:
        return None if "%" in text else ipaddress.ip_address(text)
    except ValueError:
        return None


def _refuse(reason: str) -> ForbiddenTargetError:
    return ForbiddenTargetError(reason, param="url")
