"""Kind 1: small requests that ask for much work, large answers or large results.

    python -m benchmarks.attacks.amplification [--requests 300] [--items 1000]

- Requests for 5 million log probabilities of a text of 100 kB: refused before any work.
- The largest request that is allowed, and the most embeddings of one letter.
- A job whose items all ask for the largest answer: what is stored, and its pages.
"""

from typing import Any

import httpx2

from benchmarks.attacks.run import Figures, run, wait_until, what_went_wrong
from benchmarks.attacks.service import CHAT, Service, running

MIB = 1024 * 1024
REFUSED_CPU_MS = 50.0
ALLOWED_CPU_MS = 3_000.0
EMBEDDINGS_CPU_MS = 500.0
PAGE_BYTES = 4 * MIB
STORED_BYTES = 64 * MIB
AT_ONCE = 8  # items of a job that run at a time
JOB_SECONDS = 90.0


def ask(text: str, **factors: object) -> dict[str, Any]:
    """A chat request for log probabilities of an echo of `text`."""
    message = {"role": "user", "content": text}
    asked: dict[str, Any] = {"model": "offline-echo", "messages": [message]}
    return {**asked, "logprobs": True, "n": 16, "top_logprobs": 20, **factors}


AMPLIFIED = ask("word " * 20_000, max_tokens=16_384)
LARGEST = ask("word " * 80, max_tokens=74)  # 16 * 74 * 21 are 24,864
LETTERS = {"model": "text-embedding-3-small", "input": ["a"] * 2_048}


class Meter:
    """The statuses of some requests, and what one of them cost the service."""

    def __init__(self, service: Service, http: httpx2.Client) -> None:
        self.service = service
        self.http = http

    def ask(self, path: str, body: Any, times: int) -> tuple[dict[str, int], float]:
        """How often each status came, and the CPU milliseconds of one request."""
        statuses: dict[str, int] = {}
        before = self.service.cpu_seconds()
        for _ in range(times):
            status = str(self.http.post(path, json=body).status_code)
            statuses[status] = statuses.get(status, 0) + 1
        spent = self.service.cpu_seconds() - before
        return statuses, round(spent / times * 1000, 1)


def run_job(http: httpx2.Client, items: int) -> dict[str, Any]:
    """A job of `items` largest requests: how it ended, and the bytes of its pages."""
    made = http.post("/v1/jobs", json={"requests": [LARGEST] * items})
    path = f"/v1/jobs/{made.raise_for_status().json()['id']}"
    job: dict[str, Any] = {}

    def ended() -> bool:
        job.update(http.get(path, params={"results": "false"}).json())
        return job["status"] not in ("queued", "running")

    wait_until(ended, JOB_SECONDS)
    pages = [http.get(path)]
    while pages[-1].json().get("has_more_results"):
        last = pages[-1].json()["results"][-1]["index"]
        pages.append(http.get(path, params={"results_after": last}))
    sizes = [len(page.content) for page in pages]
    return {
        "items": items,
        "status": job["status"],
        "code": (job.get("error") or {}).get("code"),
        "items_done": job["progress"]["done"],
        "stored_bytes": sum(sizes),
        "largest_page_bytes": max(sizes),
    }


def measure(requests: int, items: int) -> Figures:
    """Each of the attacks, and what it cost."""
    with running() as service, service.client("hostile") as http:
        meter = Meter(service, http)
        meter.ask(CHAT, ask("Hi.", n=1, max_tokens=1), 20)  # warm
        before = service.peak_kib()
        refused, refused_cpu = meter.ask(CHAT, AMPLIFIED, requests)
        growth = service.peak_kib() - before
        allowed, allowed_cpu = meter.ask(CHAT, LARGEST, max(1, requests // 30))
        embedded, embedded_cpu = meter.ask(
            "/v1/embeddings", LETTERS, max(1, requests // 30)
        )
        job = run_job(http, items)
    too_large = job["code"] == "job_results_too_large"
    largest_item = job["stored_bytes"] / max(1, job["items_done"])
    return {
        "refused": refused,
        "refused_cpu_ms": refused_cpu,
        "refused_growth_kib": growth,
        "largest_allowed": allowed,
        "largest_allowed_cpu_ms": allowed_cpu,
        "embeddings_of_2048_letters": embedded,
        "embeddings_cpu_ms": embedded_cpu,
        "job": job,
        "wrong": what_went_wrong(
            {
                "a request was not refused": refused != {"400": requests},
                "a refusal costs much": refused_cpu > REFUSED_CPU_MS,
                "an allowed request failed": {*allowed, *embedded} != {"200"},
                "an allowed request costs much": allowed_cpu > ALLOWED_CPU_MS,
                "embeddings cost much": embedded_cpu > EMBEDDINGS_CPU_MS,
                "a job neither succeeded nor stopped at its limit": (
                    job["status"] != "succeeded" and not too_large
                ),
                "a page is too large": job["largest_page_bytes"] > PAGE_BYTES,
                "a job stores too much": (
                    job["stored_bytes"] > STORED_BYTES + AT_ONCE * largest_item
                ),
            }
        ),
    }


if __name__ == "__main__":
    run(__doc__, measure, requests=300, items=1_000)
