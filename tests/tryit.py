"""Reads the `curl` lines of a module docstring, so that tests can send them."""

import shlex
from dataclasses import dataclass, field

import httpx2

BASE = "http://127.0.0.1:8000"


@dataclass
class Try:
    """One try-it line: what it sends, without the address it is sent to."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None

    def send(self, client: httpx2.Client) -> httpx2.Response:
        """Send it with `client`, whose base URL says where."""
        return client.request(
            self.method, self.path, headers=self.headers, content=self.body
        )


def try_lines(docstring: str | None) -> list[Try]:
    """Every `curl` command in `docstring`, lines continued with a backslash joined.

    Understands -X, -H, -d and --json (sets Content-Type); ignores -s, -N and -i.
    """
    joined = (docstring or "").replace("\\\n", " ")
    lines = (line.strip().removeprefix("$ ") for line in joined.splitlines())
    return [_parse(line) for line in lines if line.startswith("curl ")]


def _parse(line: str) -> Try:
    words = iter(shlex.split(line)[1:])
    found = Try(method="", path="")
    for word in words:
        if word == "-X":
            found.method = next(words)
        elif word == "-H":
            name, _, value = next(words).partition(":")
            found.headers[name.strip()] = value.strip()
        elif word in ("-d", "--json"):
            found.body = next(words)
            if word == "--json":
                found.headers.setdefault("Content-Type", "application/json")
        elif word.startswith(BASE):
            found.path = word.removeprefix(BASE) or "/"
        else:
            assert set(word) <= set("-sNi"), f"try-it line has an unknown word: {word}"
    found.method = found.method or ("POST" if found.body is not None else "GET")
    return found
