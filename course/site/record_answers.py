"""`python -m course.site.record_answers`: real answers for the OpenAPI documents.

It sends requests to each route of the complete service that answers JSON, and writes
what came into examples/full_app/routes/recorded_answers.json. It does the same with the
sections and their steps, whose answers are in course/recorded_answers.json. `/docs`
shows both.
"""

import importlib
import json
import re
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2

from course import manifest, source, tryit
from course.offline_docs import RECORDED_ANSWERS as OF_SECTIONS
from course.places import ROOT, say
from course.site import live
from examples import s3_patterns as s3
from examples import s5_error_handling as s5
from examples.full_app.errors import (
    InvalidAPIKeyError,
    RequestTooLargeError,
    SlowUploadError,
    error_body,
)
from examples.full_app.events.errors import EventsExpiredError
from examples.full_app.settings import Settings

RECORDING = ROOT / "examples" / "full_app" / "routes" / "recorded_answers.json"
QUESTION = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "What is a token?"}],
}
EMBEDDING = {
    "model": "text-embedding-3-small",
    "input": "What is a token?",
    "dimensions": 4,
}
SECRET = f"whsec_{b64encode(b'an example, no real secret here.').decode('ascii')}"
JOB_SECONDS = 60.0
FEW_EVENTS = 4
# What no caller can bring about at once: here the errors themselves make the answers.
CHAT = "POST /v1/chat/completions"
RARE: tuple[tuple[str, s5.AIError], ...] = (
    (CHAT, SlowUploadError()),
    (CHAT, RequestTooLargeError(Settings().max_body_bytes)),
    (CHAT, InvalidAPIKeyError("This API key is not known.")),
    (CHAT, s5.ModelError("The model's answer could not be read.")),
    ("GET /v1/jobs/{job_id}/events", EventsExpiredError()),
)
LONG = '{"text": "one two three", "delay_ms": 2500}'  # more than ten seconds
# Requests beside the try-it lines, for what these do not show: method, path, body. The
# last ones use up a limit, so they come when everything else has been asked.
MORE: dict[str, tuple[tuple[str, str, str | None], ...]] = {
    "examples.s1_why_fastapi": (("POST", "/ask", "x" * (64 * 1024 + 1)),),
    "examples.s3_patterns": (
        ("POST", "/answers", LONG),
        ("POST", "/answers", "x" * (64 * 1024 + 1)),
        ("GET", "/jobs/none", None),
        ("DELETE", "/jobs/none", None),
        ("DELETE", "/jobs/latest", None),
        ("POST", "/webhooks/receiver", "{}"),
        *(("POST", "/jobs", LONG),) * (s3.MAX_JOBS + 1),
    ),
    "examples.steps.s3_3_job": (("GET", "/jobs/none", None),),
    "examples.s4_dependency_injection": (
        ("POST", "/ask", "[]"),
        *(("GET", "/limits/strict", None),) * 11,
        *(("GET", "/limits/default", None),) * 101,
        ("POST", "/ask", '{"prompt": "hello"}'),
    ),
    "examples.steps.s4_2_service": (("GET", "/ask", None),),
    "examples.steps.s4_4_rate_limiter": (("GET", "/limited", None),) * 3,
    "examples.s5_error_handling": (
        ("POST", "/echo", '{"text": "hello", "count": 2}'),
        *(("GET", f"/errors/{code}", None) for code in s5.ErrorCode),
        *(("POST", f"/errors/{code}", None) for code in s5.ErrorCode),
    ),
    "examples.steps.s5_3_handlers": (("GET", "/double/21", None),),
}


def record() -> dict[str, Any]:
    """What each route answers, by method, path of the document and status."""
    answers: dict[str, Any] = {}

    def ask(method: str, path: str, real: str = "", body: Any = None) -> Any:
        answer = client.request(method, real or path, json=body)
        if answer.content:
            answers[f"{method} {path} {answer.status_code}"] = answer.json()
            return answer.json()
        return None

    with live.served("examples.full_app.main") as client:
        ask("POST", "/v1/chat/completions", body=QUESTION)
        ask("POST", "/v1/chat/completions", body={**QUESTION, "temperature": 9})
        ask("POST", "/v1/chat/completions", body={**QUESTION, "model": "gpt-none"})
        for status in (429, 503):
            ask(
                "POST",
                "/v1/chat/completions",
                body={**QUESTION, "model": f"fault-{status}"},
            )
        ask("POST", "/v1/embeddings", body=EMBEDDING)
        asked = {"model": QUESTION["model"], "input": "What is a token?"}
        response = ask("POST", "/v1/responses", body=asked)
        kept = f"/v1/responses/{response['id']}"
        ask("GET", "/v1/responses/{response_id}", kept)
        ask("GET", "/v1/responses/{response_id}/input_items", f"{kept}/input_items")
        ask("DELETE", "/v1/responses/{response_id}", kept)
        queued = client.post("/v1/responses", json={**asked, "background": True})
        cancel = f"/v1/responses/{queued.json()['id']}/cancel"
        ask("POST", "/v1/responses/{response_id}/cancel", cancel)
        ask("GET", "/v1/models")
        ask("GET", "/v1/models/{model}", "/v1/models/gpt-4o-mini")
        ask("GET", "/v1/models/{model}", "/v1/models/gpt-none")
        ask("GET", "/v1/usage")
        job = ask("POST", "/v1/jobs", body={"requests": [QUESTION]})
        path = f"/v1/jobs/{job['id']}"
        wait_for_the_end(client, path)
        ask("GET", "/v1/jobs/{job_id}", path)
        ask("GET", "/v1/jobs/{job_id}", "/v1/jobs/job_00000000000000000000000000000000")
        ask("GET", "/v1/jobs")
        long = ask("POST", "/v1/jobs", body={"requests": [QUESTION] * 5})
        ask("DELETE", "/v1/jobs/{job_id}", f"/v1/jobs/{long['id']}")
        hook = {"url": str(client.base_url.join("/inbox"))}
        endpoint = ask("POST", "/v1/webhooks", body=hook)
        mine = f"/v1/webhooks/{endpoint['id']}"
        ask("GET", "/v1/webhooks")
        ask("GET", "/v1/webhooks/{endpoint_id}", mine)
        ask("POST", "/v1/webhooks/{endpoint_id}/rotate", f"{mine}/rotate")
        ask("GET", "/v1/webhooks/{endpoint_id}/deliveries", f"{mine}/deliveries")
        ask("GET", "/v1/webhooks/dead-letters")
        ask("GET", "/v1/webhook_event_types")
        target = {"url": "https://app.example.com/hooks"}
        hook = ask("POST", "/v1/webhook_endpoints", body=target)
        hook_path = f"/v1/webhook_endpoints/{hook['id']}"
        ask("GET", "/v1/webhook_endpoints")
        ask("GET", "/v1/webhook_endpoints/{endpoint_id}", hook_path)
        ask("POST", "/v1/webhook_endpoints/{endpoint_id}", hook_path, {"name": "mine"})
        for action, body in (
            ("rotate_secret", {"keep_old_secret_active_for_24_hours": True}),
            ("test", {"event_type": "response.completed"}),
        ):
            name = "/v1/webhook_endpoints/{endpoint_id}/" + action
            place = mine.replace("webhooks", "webhook_endpoints")
            ask("POST", name, f"{place}/{action}", body)
        ask("DELETE", "/v1/webhook_endpoints/{endpoint_id}", hook_path)
        ask("POST", "/v1/webhooks/{endpoint_id}/test", f"{mine}/test")
        give_up(client, ask)
        ask("GET", "/health/live")
        ask("GET", "/health/ready")
        ask("DELETE", "/v1/jobs/{job_id}", path)  # it has ended: 409
        answers |= refusals(client)
    return answers


Ask = Callable[..., Any]


def give_up(client: httpx2.Client, ask: Ask) -> None:
    """Deliver to a receiver that is gone, then send again what was given up."""
    with gone() as url:
        endpoint = client.post("/v1/webhooks", json={"url": url}).json()
        mine = f"/v1/webhooks/{endpoint['id']}"
        client.post(f"{mine}/test").raise_for_status()
        letter = first_dead_letter(client)
        ask("GET", "/v1/webhooks/{endpoint_id}/deliveries", f"{mine}/deliveries")
        ask("GET", "/v1/webhooks/dead-letters")
        ask("POST", "/v1/webhooks/{endpoint_id}/enable", f"{mine}/enable")
        path = "/v1/webhooks/{endpoint_id}/dead-letters"
        one = f"{mine}/dead-letters/{letter['event_id']}/resend"
        ask("POST", path + "/{event_id}/resend", one)
        first_dead_letter(client)
        client.post(f"{mine}/enable").raise_for_status()
        ask("POST", f"{path}/resend", f"{mine}/dead-letters/resend")


def first_dead_letter(client: httpx2.Client) -> dict[str, Any]:
    """The first event that was given up. Raises RuntimeError after a minute."""
    deadline = time.monotonic() + JOB_SECONDS
    pause = threading.Event()
    while time.monotonic() < deadline:
        letters: list[dict[str, Any]] = client.get("/v1/webhooks/dead-letters").json()[
            "data"
        ]
        if letters:
            return letters[0]
        pause.wait(0.1)
    raise RuntimeError("no event was given up")


class Gone(BaseHTTPRequestHandler):
    """A receiver that wants no more events: it answers 410."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(410)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Say nothing."""


@contextmanager
def gone() -> Iterator[str]:
    """The address of such a receiver."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Gone) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def refusals(client: httpx2.Client) -> dict[str, Any]:
    """An answer for each status of an error that a caller can bring about."""
    path = "/v1/chat/completions"
    found: dict[str, Any] = {}

    def keep(answer: httpx2.Response) -> None:
        found[f"POST {path} {answer.status_code}"] = answer.json()

    def ask(body: Any, **headers: str) -> None:
        keep(client.post(path, json=body, headers=headers))

    ask(QUESTION, Origin="https://elsewhere.example.com")  # 403
    keep(client.post(path, content="hello", headers={"Content-Type": "text/plain"}))
    key = {"Idempotency-Key": "one-key"}
    client.post(path, json=QUESTION, headers=key).raise_for_status()
    ask({**QUESTION, "temperature": 1}, **key)  # 422
    for fault in ("500", "timeout"):
        ask({**QUESTION, "model": f"fault-{fault}"})
    for request, error in RARE:
        body = error_body(error, "req_0123456789abcdef0123456789abcdef")
        found[f"{request} {error.status_code}"] = body.model_dump(mode="json")
    return found


def sections() -> dict[str, dict[str, Any]]:
    """What the routes of each section and each step answered, by its module."""
    answers = {}
    for section in manifest.sections()[:-1]:
        modules = [section.module, *(rung.module for rung in section.rungs())]
        for module in modules:
            with live.served(module) as client:
                answers[module] = answers_of(module, client)
    return answers


def answers_of(module: str, client: httpx2.Client) -> dict[str, Any]:
    """The answers to the try-it lines of a module, then to `MORE` of its requests.

    The last request to each route is one that FastAPI refuses, if it can refuse any.
    """
    document = importlib.import_module(module).app.openapi()
    path = ROOT / f"{module.replace('.', '/')}.py"
    asked: list[Asked] = [
        (it.method, it.path, it.headers, it.body) for it in listed(path)
    ]
    asked += [
        (method, place, {"Content-Type": "application/json"}, body)
        for method, place, body in MORE.get(module, ())
    ]
    asked += list(refused(document))
    answers: dict[str, Any] = {}
    for method, place, headers, body in asked:
        answer = client.request(method, place, headers=headers, content=body)
        template = template_of(document, method, place)
        name = f"{method} {template} {answer.status_code}"
        if template and answer.content and name not in answers:
            answers[name] = shown(answer)
    return answers


def listed(path: Path) -> list[tryit.Request]:
    """The try-it lines of a file."""
    return tryit.requests(source.docstring(path))


Asked = tuple[str, str, dict[str, str], str | None]  # method, path, headers, body


def refused(document: dict[str, Any]) -> Iterator[Asked]:
    """For each route that documents 422: a request without sense."""
    for template, operations in document["paths"].items():
        for method, operation in operations.items():
            if "422" not in operation["responses"]:
                continue
            place = re.sub(r"\{\w+\}", "none", template)
            names = [it["name"] for it in operation.get("parameters", ())]
            query = "&".join(f"{name}=many" for name in names)
            kind = {"Content-Type": "application/json"}
            yield method.upper(), f"{place}?{query}", kind, "[]"


def template_of(document: dict[str, Any], method: str, place: str) -> str:
    """The path of the document that `place` is for; empty if it is for none."""
    bare = place.partition("?")[0]
    for template, operations in document["paths"].items():
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
        if method.lower() in operations and re.fullmatch(pattern, bare):
            return str(template)
    return ""


def shown(answer: httpx2.Response) -> Any:
    """JSON as it came; of a stream the first events, as a text; other texts whole."""
    if answer.headers["content-type"].startswith("application/json"):
        return answer.json()
    events = answer.text.replace("\r\n", "\n").split("\n\n")
    return "\n\n".join(events[:FEW_EVENTS])


def impersonal(text: str) -> str:
    """`text` without the secrets that were made, and without this machine's address."""
    text = re.sub(r"whsec_[A-Za-z0-9+/=]{20,}", SECRET, text)
    text = re.sub(r"whsec_\.\.\.[A-Za-z0-9+/=]+", f"whsec_...{SECRET[-4:]}", text)
    return re.sub(r"http://127\.0\.0\.1:\d+", "https://app.example.com", text)


def wait_for_the_end(client: httpx2.Client, path: str) -> None:
    """Poll a job until it has finished. Raises RuntimeError after a minute."""
    deadline = time.monotonic() + JOB_SECONDS
    pause = threading.Event()
    while client.get(path).json()["finished_at"] is None:
        if time.monotonic() > deadline:
            raise RuntimeError("the job did not end")
        pause.wait(0.1)


def main() -> int:
    """Record all answers anew."""
    for file, found in ((RECORDING, record()), (OF_SECTIONS, sections())):
        text = impersonal(json.dumps(found, indent=1, ensure_ascii=False))
        file.write_text(f"{text}\n", encoding="utf-8")
        say(f"Recorded: {file.relative_to(ROOT).as_posix()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
