"""`python -m course.site.record_answers`: real answers for the OpenAPI document.

It sends one request to each route of the complete service that answers JSON, and writes
what came into examples/full_app/routes/recorded_answers.json, which `/docs` shows.
"""

import json
import re
import sys
import threading
import time
from base64 import b64encode
from typing import Any

import httpx2

from course.places import ROOT, say
from course.site import live

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
        ask("GET", "/v1/webhook_endpoints")
        ask("GET", "/health/live")
        ask("GET", "/health/ready")
    return answers


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
    text = impersonal(json.dumps(record(), indent=1, ensure_ascii=False))
    RECORDING.write_text(f"{text}\n", encoding="utf-8")
    say(f"Recorded: {RECORDING.relative_to(ROOT).as_posix()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
