"""The race of the home page: recorded once from the complete service, drawn as SVG.

`python -m course.site.race` records it anew into docs/race.json: the same question,
asked in four ways one after the other, and when each frame arrived.
"""

import html
import json
import sys
import threading
import time
from typing import Any

import httpx2
from pydantic import BaseModel, ConfigDict

from course.places import ROOT, say
from course.site import live

RECORDING = ROOT / "docs" / "race.json"
REQUEST = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "Why does streaming feel faster?"}],
}
DELIVERY_SECONDS = 30.0
LABEL, TRACK, ROW, DOT = 112, 380, 34, 4  # units of the drawing


class Lane(BaseModel):
    """One way to answer: when its frames arrived, in milliseconds after the request."""

    model_config = ConfigDict(extra="forbid")

    name: str
    frames_ms: list[int]
    first_ms: int  # the first word that a person can read


def record() -> list[Lane]:
    """Ask the complete service in four ways: without keys, and at its own pace."""
    with live.served("examples.full_app.main") as client:
        return [synchronous(client), streaming(client), job(client), webhook(client)]


def milliseconds_since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)


def synchronous(client: httpx2.Client) -> Lane:
    began = time.monotonic()
    client.post("/v1/chat/completions", json=REQUEST).raise_for_status()
    took = milliseconds_since(began)
    return Lane(name="Synchronous", frames_ms=[took], first_ms=took)


def streaming(client: httpx2.Client) -> Lane:
    frames: list[int] = []
    first = None
    began = time.monotonic()
    body = {**REQUEST, "stream": True}
    with client.stream("POST", "/v1/chat/completions", json=body) as answer:
        for line in answer.iter_lines():
            if not line.startswith("data: {"):
                continue
            frames.append(milliseconds_since(began))
            delta = json.loads(line.removeprefix("data: "))["choices"][0]["delta"]
            if first is None and delta.get("content"):
                first = frames[-1]
    if first is None:
        raise RuntimeError("the stream had no word in it")
    return Lane(name="Streaming", frames_ms=frames, first_ms=first)


def job(client: httpx2.Client) -> Lane:
    began = time.monotonic()
    created = client.post("/v1/jobs", json={"requests": [REQUEST]}).json()
    frames = [milliseconds_since(began)]
    with client.stream("GET", f"/v1/jobs/{created['id']}/events") as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                frames.append(milliseconds_since(began))
    client.get(f"/v1/jobs/{created['id']}").raise_for_status()
    return Lane(name="Job", frames_ms=frames, first_ms=milliseconds_since(began))


def webhook(client: httpx2.Client) -> Lane:
    secret = client.get("/inbox").json()["secret"]
    hook = {"url": str(client.base_url.join("/inbox")), "secret": secret}
    body = {"requests": [REQUEST], "webhook": hook}
    began_at = time.time()
    began = time.monotonic()
    created = client.post("/v1/jobs", json=body).json()
    accepted = milliseconds_since(began)
    called = delivered_at(client, created["id"])
    arrived = round((called - began_at) * 1000)
    return Lane(name="Webhook", frames_ms=[accepted, arrived], first_ms=arrived)


def delivered_at(client: httpx2.Client, job_id: str) -> float:
    """When the inbox received the event of the job, in seconds since 1970."""
    deadline = time.monotonic() + DELIVERY_SECONDS
    pause = threading.Event()
    while time.monotonic() < deadline:
        entries: list[dict[str, Any]] = client.get("/inbox").json()["received"]
        for entry in entries:
            if entry["event"]["data"].get("id") == job_id:
                return float(entry["received_at"])
        pause.wait(0.05)
    raise RuntimeError("the webhook was not delivered")


def recorded() -> list[Lane]:
    """The lanes of docs/race.json."""
    lanes = json.loads(RECORDING.read_text(encoding="utf-8"))
    return [Lane.model_validate(lane) for lane in lanes]


def figure(_: str = "") -> str:
    """The recorded race: a dot for each frame, a line for the first readable word."""
    lanes = recorded()
    longest = max(max(*lane.frames_ms, lane.first_ms) for lane in lanes)
    whole = longest * 1.04
    drawn = "".join(row(number, lane, whole) for number, lane in enumerate(lanes))
    sync, stream = lanes[0], lanes[1]
    words = (
        f"One question, asked in four ways. The stream's first word is there after "
        f"{seconds(stream.first_ms)}, the synchronous answer after "
        f"{seconds(sync.first_ms)}. One recording from the complete service, one way "
        f"after the other: each dot is a frame that arrived, each line the first word "
        f"that can be read."
    )
    label = "; ".join(f"{it.name}: first word {seconds(it.first_ms)}" for it in lanes)
    size = f"0 0 {LABEL + TRACK} {ROW * len(lanes)}"
    return (
        f'<figure class="race"><svg viewBox="{size}" role="img" '
        f'aria-label="{html.escape(label)}">{drawn}</svg>'
        f"<figcaption>{words}</figcaption></figure>"
    )


def row(number: int, lane: Lane, whole: float) -> str:
    """One lane of the drawing, whose width stands for `whole` milliseconds."""
    top = number * ROW + 4
    middle = top + 13
    dots = "".join(
        f'<circle cx="{LABEL + at / whole * TRACK:.1f}" cy="{middle}" r="{DOT}"/>'
        for at in lane.frames_ms
    )
    first = LABEL + lane.first_ms / whole * TRACK
    track = f'x="{LABEL}" y="{top}" width="{TRACK}" height="26" rx="5"'
    mark = f'x="{first:.1f}" y="{top + 1}" width="3" height="24"'
    return (
        f'<text x="0" y="{middle + 5}">{lane.name}</text>'
        f'<rect class="track" {track}/>{dots}<rect class="first" {mark}/>'
    )


def seconds(milliseconds: int) -> str:
    """A time as a person says it: "80 ms", "2.1 s"."""
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    return f"{milliseconds / 1000:.1f} s"


def main() -> int:
    """Record the race anew."""
    lanes = [lane.model_dump() for lane in record()]
    text = "[\n" + ",\n".join(json.dumps(lane) for lane in lanes) + "\n]\n"
    RECORDING.write_text(text, encoding="utf-8")
    say(f"Recorded: {RECORDING.relative_to(ROOT).as_posix()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
