"""Recorded answers for the stage: what to show when a demonstration fails.

The page `docs/instructors/<id>.md` lists the requests of a section's demonstration in
order. `record` sends them to real servers, and writes the answers with their times to
`slides/recorded/<id>.json`. `server` answers the same requests with those answers, at
the pace at which they came. It needs nothing but the standard library.
"""

import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from course.manifest import Section, find_app, sections
from course.places import ROOT, CourseError, say
from course.ports import listen
from course.tryit import Request, parse

KITS = ROOT / "docs" / "instructors"
FOLDER = ROOT / "slides" / "recorded"
HOST = "127.0.0.1"
_FENCE = re.compile(
    r"^```try (?P<app>\S+)\n(?P<lines>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Answer:
    """A request of a demonstration, and what came back.

    `app` is the section or step that answered, `pieces` are the parts of the body, each
    with the milliseconds after which it came.
    """

    app: str
    method: str
    path: str
    body: str
    status: int
    headers: dict[str, str]
    pieces: list[tuple[int, str]]

    def matches(self, method: str, path: str, body: str) -> bool:
        """Whether this is the answer to such a request; JSON may be spaced freely."""
        same = (self.method, self.path) == (method, path)
        return same and _value(self.body) == _value(body)


def _value(body: str) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body


def kit(section: Section) -> Path:
    """The instructor's page of a section."""
    return KITS / f"{section.id}.md"


def fences(section: Section) -> list[tuple[str, str]]:
    """The `try` fences of a section's page: the name of the app, and the lines."""
    text = kit(section).read_text(encoding="utf-8")
    return [(found["app"], found["lines"]) for found in _FENCE.finditer(text)]


def load(section: Section, folder: Path = FOLDER) -> list[Answer]:
    """The recorded answers of a section. Raises CourseError where there are none."""
    path = folder / f"{section.id}.json"
    if not path.is_file():
        raise CourseError(f"Nothing is recorded for {section.id}: {path} is missing.")
    rows = json.loads(path.read_text(encoding="utf-8"))
    return [
        Answer(**{**row, "pieces": [(at, text) for at, text in row["pieces"]]})
        for row in rows
    ]


def record(chosen: list[Section] | None = None, folder: Path = FOLDER) -> int:
    """Send every section's requests to real servers and save the answers."""
    folder.mkdir(parents=True, exist_ok=True)
    for section in chosen or sections():
        rows = [asdict(answer) for answer in send(section)]
        text = json.dumps(rows, ensure_ascii=False, indent=1)
        path = folder / f"{section.id}.json"
        path.write_text(text + "\n", encoding="utf-8", newline="\n")
        say(f"{path.name}: {len(rows)} answers")
    return 0


def send(section: Section) -> Iterator[Answer]:
    """The answers of today's code to the requests of a section's page, in order."""
    from course.site import live, tryit  # of group docs: replaying does without

    for app, lines in fences(section):
        with live.served(find_app(app).module) as client:
            last_id = ""
            for step in tryit.steps(lines):
                request = parse(step.line.replace(tryit.LAST_ID, last_id))
                answer = _ask(client, app, request)
                deadline = time.monotonic() + tryit.UNTIL_SECONDS
                while step.until not in _text(answer) and time.monotonic() < deadline:
                    time.sleep(0.05)
                    answer = _ask(client, app, request)
                named = re.search(r'"id": ?"([^"]+)"', _text(answer))
                last_id = named[1] if named else last_id
                yield answer


def _text(answer: Answer) -> str:
    return "".join(text for _, text in answer.pieces)


def _ask(client: Any, app: str, request: Request) -> Answer:
    from course.site.live import SHOWN_HEADERS

    began = time.perf_counter()
    pieces = []
    with client.stream(
        request.method, request.path, headers=request.headers, content=request.body
    ) as answer:
        for text in answer.iter_text():
            pieces.append((round((time.perf_counter() - began) * 1000), text))
        headers = {
            name: answer.headers[name]
            for name in SHOWN_HEADERS
            if name in answer.headers
        }
        status = answer.status_code
    body = request.body or ""
    return Answer(app, request.method, request.path, body, status, headers, pieces)


class Replay:
    """Chooses the answer to a request: equal requests get their answers in order."""

    def __init__(self, answers: list[Answer]) -> None:
        self.answers = answers
        self._given: list[Answer] = []
        self._lock = threading.Lock()

    def find(self, method: str, path: str, body: str) -> Answer | None:
        """The next answer, or the last one again; None if nothing was recorded."""
        with self._lock:
            found = [it for it in self.answers if it.matches(method, path, body)]
            fresh = [it for it in found if it not in self._given]
            if not found:
                return None
            answer = fresh[0] if fresh else found[-1]
            self._given.append(answer)
            return answer


def server(answers: list[Answer], port: int) -> ThreadingHTTPServer:
    """A server of recorded answers on loopback, on `port` or the next free one."""
    replay = Replay(answers)

    class Handler(BaseHTTPRequestHandler):
        """Answers from the recording."""

        def answer(self) -> None:
            """Send what was recorded for this request, or say what was."""
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length).decode("utf-8", errors="replace")
            found = replay.find(self.command, self.path, body)
            if found is None:
                known = [f"{it.method} {it.path}" for it in answers]
                message = {"error": "Nothing is recorded for this.", "recorded": known}
                pieces = [(0, json.dumps(message, indent=2))]
                kind = {"content-type": "application/json"}
                found = Answer("", self.command, self.path, "", 404, kind, pieces)
            self.send_response(found.status)
            for name, value in found.headers.items():
                self.send_header(name, value)
            self.end_headers()
            began = time.monotonic()
            for at, text in found.pieces:
                time.sleep(max(0.0, at / 1000 - (time.monotonic() - began)))
                self.wfile.write(text.encode("utf-8"))
                self.wfile.flush()

        do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = answer

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - theirs
            """Say nothing."""

    made = ThreadingHTTPServer((HOST, 0), Handler, bind_and_activate=False)
    made.socket.close()
    made.socket = listen(HOST, port)
    made.server_address = made.socket.getsockname()
    made.server_activate()
    return made
