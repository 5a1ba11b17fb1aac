"""The try-it lines of docstrings and pages: `curl` commands, taken apart and rewritten.

They are written for bash and for the address that every section has by default. Read
here, they can be sent (tests, pages), printed for the port that is really served, and
shown for other shells.
"""

import json
import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from course.places import WINDOWS

if TYPE_CHECKING:
    import httpx2

BASE = "http://127.0.0.1:8000"
WIDE = 76  # columns of a page; a longer line is broken before its options
_OPTION = re.compile(r" (?=(?:-d|-H) ['\"])")
_CONTINUED = re.compile(r"\\\n\s*")


@dataclass
class Request:
    """A `curl` line taken apart; `line` is as it was written."""

    line: str
    method: str = ""
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None
    head: bool = False  # -i: the status and the headers are shown, too

    def send(self, client: "httpx2.Client") -> "httpx2.Response":
        """Send it with `client`, whose base URL says where."""
        return client.request(
            self.method, self.path, headers=self.headers, content=self.body
        )


def joined(text: str) -> str:
    """`text`, where a line that ends with a backslash is one with the next."""
    return _CONTINUED.sub("", text)


def curl_lines(text: str | None) -> list[str]:
    """Every `curl` command of `text`, in one line each."""
    lines = map(str.strip, joined(text or "").splitlines())
    return [line for line in lines if line.startswith("curl ")]


def requests(text: str | None) -> list[Request]:
    """Every `curl` command of `text`, taken apart. Raises ValueError."""
    return [parse(line) for line in curl_lines(text)]


def parse(line: str) -> Request:
    """Take one line apart. Raises ValueError for a word it does not know."""
    words = iter(shlex.split(line)[1:])
    request = Request(line)
    for word in words:
        if word == "-X":
            request.method = next(words)
        elif word == "-H":
            name, _, value = next(words).partition(":")
            request.headers[name.strip()] = value.strip()
        elif word == "-d":
            request.body = next(words)
            form = "application/x-www-form-urlencoded"
            request.headers.setdefault("Content-Type", form)
        elif word.startswith(BASE):
            request.path = word.removeprefix(BASE) or "/"
        elif set(word) <= set("-sNi"):
            request.head = request.head or "i" in word
        else:
            raise ValueError(f"a try-it line has an unknown word: {word}")
    if not request.method:
        request.method = "GET" if request.body is None else "POST"
    return request


def try_it(
    docstring: str | None, address: str, *, windows: bool = WINDOWS
) -> list[str]:
    """What a terminal shows: each `curl` command of `docstring`, sent to `address`."""
    lines = curl_lines(docstring)
    if not lines:
        return []
    if windows:
        title = "Try it, in a second PowerShell window:"
        lines = [powershell(parse(line)) for line in lines]
    else:
        title = "Try it, in a second terminal:"
    return [title, *(f"  {line.replace(BASE, address)}" for line in lines)]


def bash(request: Request) -> str:
    """The line itself; a wide one is continued on further lines."""
    wide = len(request.line) > WIDE
    return _OPTION.sub(" \\\\\n    ", request.line) if wide else request.line


def powershell(request: Request) -> str:
    """The same line for PowerShell on Windows.

    There `curl` may be another command, so it is `curl.exe`; and after `--%` every
    version of PowerShell passes the rest on as it is, so that the quotes arrive
    (about_Parsing, "The stop-parsing token").
    """
    words = []
    for word in shlex.split(request.line)[1:]:
        if word == request.body:
            word = _in_ascii(word)
        words.append(word if re.fullmatch(r"[\w.:/=-]+", word) else _quoted(word))
    return " ".join(["curl.exe", "--%", *words])


def _quoted(word: str) -> str:
    """A word as programs on Windows read it: `\\"` is a quote inside of quotes."""
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', word)
    ended = re.sub(r"(\\+)$", r"\1\1", escaped)
    return f'"{ended}"'


def _in_ascii(body: str) -> str:
    """A JSON text whose other letters are escapes: `curl.exe` would not send UTF-8."""
    return re.sub(r"[^\x00-\x7f]+", lambda found: json.dumps(found[0])[1:-1], body)


def python(request: Request) -> str:
    """The same with httpx2, which the course has installed."""
    lines = ["import httpx2", "", "answer = httpx2.request("]
    lines += [f'    "{request.method}",', f"    {json.dumps(BASE + request.path)},"]
    if request.headers:
        lines.append(f"    headers={request.headers!r},")
    if request.body is not None:
        lines.append(f"    content={request.body!r}.encode(),")
    lines += ["    timeout=30,", ")"]
    if request.head:
        lines.append("print(answer.status_code, answer.headers)")
    return "\n".join([*lines, "print(answer.text)"])
