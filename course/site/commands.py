"""One try-it line in three languages: bash as written, PowerShell, Python."""

import json
import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from course.tryit import BASE, curl_lines

if TYPE_CHECKING:
    import httpx2

_OPTION = re.compile(r" (?=(?:--json|-d|-H) ['\"])")
WIDE = 76  # columns of a page; a longer line is broken before its options


@dataclass
class Command:
    """A `curl` line taken apart; `shown` is the line as the docstring has it."""

    shown: str
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


def commands(docstring: str | None) -> list[Command]:
    """Every `curl` line of `docstring`, taken apart."""
    return [parse(line) for line in curl_lines(docstring)]


def parse(line: str) -> Command:
    """Take one line apart. Raises ValueError for a word it does not know."""
    words = iter(shlex.split(line)[1:])
    found = Command(line)
    for word in words:
        if word == "-X":
            found.method = next(words)
        elif word == "-H":
            name, _, value = next(words).partition(":")
            found.headers[name.strip()] = value.strip()
        elif word in {"-d", "--json"}:
            found.body = next(words)
            kind = "json" if word == "--json" else "x-www-form-urlencoded"
            found.headers.setdefault("Content-Type", f"application/{kind}")
        elif word.startswith(BASE):
            found.path = word.removeprefix(BASE) or "/"
        elif set(word) <= set("-sNi"):
            found.head |= "i" in word
        else:
            raise ValueError(f"a try-it line has an unknown word: {word}")
    found.method = found.method or ("GET" if found.body is None else "POST")
    return found


def bash(command: Command) -> str:
    """The line itself; a long one goes on below."""
    wide = len(command.shown) > WIDE
    return _OPTION.sub(" \\\\\n    ", command.shown) if wide else command.shown


def powershell(command: Command) -> str:
    """The same in any PowerShell, with no quotes for `curl.exe` to lose."""
    words = ["Invoke-WebRequest", "-UseBasicParsing", _quoted(BASE + command.path)]
    if command.method != "GET":
        words += ["-Method", command.method]
    headers = dict(command.headers)
    kind = headers.pop("Content-Type", None)
    if kind:
        words += ["-ContentType", _quoted(kind)]
    if headers:
        pairs = "; ".join(f"{_quoted(k)} = {_quoted(v)}" for k, v in headers.items())
        words += ["-Headers", f"@{{{pairs}}}"]
    if command.body is not None:
        # as bytes: Windows PowerShell 5.1 would send text in Latin-1
        encoded = f"[Text.Encoding]::UTF8.GetBytes({_quoted(command.body)})"
        words += ["-Body", f"({encoded})"]
    return " ".join(words) if command.head else f"({' '.join(words)}).Content"


def python(command: Command) -> str:
    """The same with httpx2, which the course has installed."""
    lines = ["import httpx2", "", "answer = httpx2.request("]
    lines += [f'    "{command.method}",', f"    {json.dumps(BASE + command.path)},"]
    if command.headers:
        lines.append(f"    headers={command.headers!r},")
    if command.body is not None:
        lines.append(f"    content={command.body!r}.encode(),")
    lines += ["    timeout=30,", ")"]
    if command.head:
        lines.append("print(answer.status_code, answer.headers)")
    return "\n".join([*lines, "print(answer.text)"])


def _quoted(text: str) -> str:
    doubled = text.replace("'", "''")
    return f"'{doubled}'"
