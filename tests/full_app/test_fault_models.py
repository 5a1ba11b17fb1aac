"""Every fault model, asked for by name from plain HTTP and from the official client."""

import asyncio
import json
from typing import Any

import httpx2
import openai
import pytest

from examples.full_app.providers.faults import (
    FAULT_MODELS,
    MAX_SILENCE,
    FaultProvider,
    find_fault,
    wire_fault,
)
from examples.full_app.providers.offline import OfflineProvider
from examples.full_app.providers.protocol import CallContext
from examples.full_app.schemas.chat import ChatCompletionRequest

PATH = "/v1/chat/completions"


def body(model: str, *, stream: bool = False, text: str = "Hello?") -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    return {"model": model, "messages": messages, "stream": stream}


def test_every_fault_is_listed_with_what_a_client_sees(http: httpx2.Client) -> None:
    listed = {m["id"]: m["description"] for m in http.get("/v1/models").json()["data"]}

    for fault in FAULT_MODELS:
        assert listed[fault.name] == fault.description
        found = find_fault(fault.name)
        assert found is not None
        assert found[0] is fault


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "status", "retry_after"),
    [
        ("fault-429", 429, "1"),
        ("fault-500", 500, None),
        ("fault-503", 503, "1"),
        ("fault-timeout", 504, None),
        ("fault-content-filter", 400, None),
        ("fault-context-length", 400, None),
        ("fault-nonsense", 404, None),
        ("fault-silent-1234", 404, None),
    ],
)
def test_a_fault_with_a_status_has_it_streamed_or_not(
    http: httpx2.Client, model: str, status: int, retry_after: str | None, stream: bool
) -> None:
    answer = http.post(PATH, json=body(model, stream=stream))

    assert answer.status_code == status
    assert answer.headers.get("retry-after") == retry_after
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_reset_cuts_the_connection(http: httpx2.Client, stream: bool) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        http.post(PATH, json=body("fault-reset-after-2", stream=stream))


def test_a_reset_comes_after_so_many_frames(http: httpx2.Client) -> None:
    frames: list[str] = []

    def read() -> None:
        asked = body("fault-reset-after-4", stream=True)
        with http.stream("POST", PATH, json=asked) as got:
            frames.extend(line for line in got.iter_lines() if line.startswith("data"))

    with pytest.raises(httpx2.RemoteProtocolError):
        read()

    assert 4 <= len(frames) <= 5  # the first carries the role in an event of its own


def test_a_truncated_stream_ends_cleanly_without_done(http: httpx2.Client) -> None:
    text = http.post(PATH, json=body("fault-truncated", stream=True)).text

    assert "[DONE]" not in text
    assert '"finish_reason":"stop"' not in text


def test_garbage_is_half_a_json_object(http: httpx2.Client) -> None:
    whole = http.post(PATH, json=body("fault-garbage"))
    stream = http.post(PATH, json=body("fault-garbage", stream=True)).text

    with pytest.raises(json.JSONDecodeError):
        whole.json()
    last = [line for line in stream.split("\n") if line.startswith("data: ")][-1]
    with pytest.raises(json.JSONDecodeError):
        json.loads(last[6:])


@pytest.mark.parametrize("stream", [False, True])
def test_the_wrong_content_type_and_a_gateway_page(
    http: httpx2.Client, stream: bool
) -> None:
    plain = http.post(PATH, json=body("fault-wrong-content-type", stream=stream))
    page = http.post(PATH, json=body("fault-html-502", stream=stream))

    assert plain.status_code == 200
    assert plain.headers["content-type"].startswith("text/plain")
    assert (page.status_code, page.headers["content-type"][:9]) == (502, "text/html")


def test_done_comes_twice(http: httpx2.Client) -> None:
    text = http.post(PATH, json=body("fault-duplicate-done", stream=True)).text

    assert text.count("data: [DONE]") == 2
    assert http.post(PATH, json=body("fault-duplicate-done")).status_code == 200


def test_usage_that_the_model_does_not_report_is_counted(http: httpx2.Client) -> None:
    answer = http.post(PATH, json=body("fault-missing-usage")).json()

    assert answer["usage"]["completion_tokens"] > 0


def test_the_official_client_retries_a_flaky_model_to_success(base_url: str) -> None:
    question = f"flaky for {base_url}"
    with openai.OpenAI(
        base_url=f"{base_url}/v1", api_key="sk-test-alpha", max_retries=2
    ) as client:
        answer = client.chat.completions.create(
            model="fault-flaky", messages=[{"role": "user", "content": question}]
        )

    assert answer.choices[0].message.content


async def test_silence_and_slowness_last_as_long_as_the_name_says() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    faults = FaultProvider(OfflineProvider(pace=0), sleep=sleep)
    for model in ("fault-silent-7", "fault-silent", "fault-silent-999", "fault-slow"):
        asked = ChatCompletionRequest.model_validate(body(model))
        async for _ in faults.stream(asked, CallContext("req")):
            await asyncio.sleep(0)

    assert slept[:3] == [7, 5, MAX_SILENCE]
    assert len(slept) > 20


async def test_a_flaky_model_remembers_only_so_many_questions() -> None:
    faults = FaultProvider(OfflineProvider(pace=0))

    async def fails(text: str) -> bool:
        asked = ChatCompletionRequest.model_validate(body("fault-flaky", text=text))
        try:
            async for _ in faults.stream(asked, CallContext("req")):
                pass
        except Exception:
            return True
        return False

    assert [await fails("one") for _ in range(4)] == [True, True, False, True]
    for number in range(1100):
        await fails(f"question {number}")
    assert len(faults._failures) <= 1000


def test_only_fault_models_break_the_wire() -> None:
    assert wire_fault("gpt-4o") is None
    assert wire_fault("fault-429") is None
    assert wire_fault("fault-nonsense") is None


def test_fault_models_do_not_embed(http: httpx2.Client) -> None:
    answer = http.post("/v1/embeddings", json={"model": "fault-429", "input": "x"})

    assert answer.status_code == 404
