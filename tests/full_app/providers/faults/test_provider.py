"""Every fault model, asked for by name from plain HTTP and from the official client."""

import json
from typing import Any

import httpx2
import openai
import pytest

from examples.full_app.providers.base import CallContext, Delta
from examples.full_app.providers.faults.catalogue import (
    FAULT_MODELS,
    MAX_SECONDS,
    FaultModel,
    WireFault,
    find_fault,
    wire_fault,
)
from examples.full_app.providers.faults.provider import (
    REMEMBERED,
    FaultProvider,
    Memory,
)
from examples.full_app.providers.offline.provider import OfflineProvider
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.s2_models import Usage
from examples.s5_error_handling import AIError
from tests.full_app.scripted import Scripted

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


# --- what the catalogue says of the official client ---------------------------------

# Whole and streamed; None: an answer. Of the rest a test of its own says more.
SEEN: dict[str, tuple[type[Exception] | None, type[Exception] | None]] = {
    "fault-429": (openai.RateLimitError,) * 2,
    "fault-429-for-2": (openai.RateLimitError,) * 2,
    "fault-500": (openai.InternalServerError,) * 2,
    "fault-503": (openai.InternalServerError,) * 2,
    "fault-timeout": (openai.InternalServerError,) * 2,
    "fault-reset-after-3": (openai.APIConnectionError,) * 2,
    "fault-truncated": (json.JSONDecodeError, None),
    "fault-garbage": (json.JSONDecodeError,) * 2,
    "fault-wrong-content-type": (None, None),
    "fault-html-502": (openai.InternalServerError,) * 2,
    "fault-duplicate-done": (None, None),
    "fault-missing-usage": (None, None),
    "fault-content-filter": (openai.BadRequestError,) * 2,
    "fault-content-filter-late": (None, None),
    "fault-context-length": (openai.BadRequestError,) * 2,
    "fault-flaky": (openai.InternalServerError,) * 2,
}
ANSWERS_LATER = {"fault-429-for-2", "fault-flaky"}


def test_no_fault_is_left_out_of_these_tests() -> None:
    timed = {"fault-slow", "fault-silent-5"}

    assert SEEN.keys() | timed == {fault.name for fault in FAULT_MODELS}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "fault", [f for f in FAULT_MODELS if f.name in SEEN], ids=lambda fault: fault.name
)
def test_the_official_client_sees_what_the_catalogue_says(
    client: openai.OpenAI, fault: FaultModel, stream: bool
) -> None:
    expected = SEEN[fault.name][stream]
    question = f"{fault.name} {stream} {client.base_url}"
    raised: Exception | None = None
    try:
        answer = client.chat.completions.create(
            model=fault.name,
            messages=[{"role": "user", "content": question}],
            stream=stream,
        )
        if isinstance(answer, openai.Stream):
            list(answer)
    except Exception as error:
        raised = error

    assert type(raised) is (expected or type(None))
    told = fault.sees.split(";")[0] if expected is None else fault.sees
    if fault.name not in ANSWERS_LATER:
        assert expected is None or expected.__name__ in told
    if isinstance(raised, openai.APIStatusError):
        retries = raised.response.headers.get("x-should-retry") != "false"
        assert retries is ("at once" not in fault.sees)


# --- without a wire -----------------------------------------------------------------


class Time:
    """A clock that goes on when something sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        return self.now

    def faults(self) -> FaultProvider:
        return FaultProvider(OfflineProvider(pace=0), self.sleep, self.clock)


async def play(
    faults: FaultProvider, model: str, **given: Any
) -> list[Delta | Usage] | AIError:
    """What comes of a request, or the error. Nobody reads it word by word."""
    asked = ChatCompletionRequest.model_validate({**body(model), **given})
    call = CallContext("req", whole=True)
    try:
        return [item async for item in faults.stream(asked, call)]
    except AIError as error:
        return error


@pytest.mark.parametrize(
    ("model", "seconds"),
    [
        ("fault-silent-7", 7),
        ("fault-silent", 5),
        ("fault-silent-0", 0),
        ("fault-silent-999", MAX_SECONDS),
    ],
)
async def test_silence_lasts_as_long_as_the_name_says(
    model: str, seconds: float
) -> None:
    time = Time()
    items = await play(time.faults(), model)

    assert time.slept == [seconds]
    assert isinstance(items, list)
    assert len(items) > 20


async def test_a_slow_answer_takes_half_a_second_a_word_but_not_for_ever() -> None:
    time = Time()
    items = await play(time.faults(), "fault-slow", n=16)

    assert isinstance(items, list)
    assert set(time.slept) == {0.5}
    assert sum(time.slept) == MAX_SECONDS < len(items) * 0.5


@pytest.mark.parametrize("waits", [2.0, 2.5])
async def test_a_caller_who_waits_as_long_as_told_gets_its_answer(
    waits: float,
) -> None:
    time = Time()
    faults = time.faults()
    first = await play(faults, "fault-429-for-2")
    time.now += 0.75
    second = await play(faults, "fault-429-for-2")
    other = await play(
        faults, "fault-429-for-2", messages=body("", text="Hi")["messages"]
    )

    assert [getattr(e, "retry_after", None) for e in (first, second, other)] == [
        2,
        1.25,
        2,
    ]
    time.now += waits - 0.75
    assert isinstance(await play(faults, "fault-429-for-2"), list)
    assert isinstance(await play(faults, "fault-429-for-2"), AIError)


async def test_a_limit_is_never_longer_than_a_client_waits() -> None:
    error = await play(Time().faults(), "fault-429-for-999")

    assert isinstance(error, AIError)
    assert error.retry_after == MAX_SECONDS


async def test_a_flaky_model_fails_twice_for_each_conversation() -> None:
    faults = Time().faults()
    tries = [await play(faults, "fault-flaky") for _ in range(4)]
    other = await play(faults, "fault-flaky", messages=body("", text="Hi")["messages"])

    assert [isinstance(t, AIError) for t in tries] == [True, True, False, True]
    assert isinstance(other, AIError)


def test_memory_forgets_the_oldest() -> None:
    memory: Memory[int] = Memory()
    for number in range(REMEMBERED + 1):
        memory.keep(str(number), number)

    assert len(memory) == REMEMBERED
    assert memory.pop("0", -1) == -1
    assert memory.pop("1", -1) == 1
    assert memory.pop("1", -1) == -1


@pytest.mark.parametrize("limit", [1, 1024])
async def test_a_filter_ends_every_choice_once(limit: int) -> None:
    items = await play(
        Time().faults(), "fault-content-filter-late", n=2, max_tokens=limit
    )

    assert isinstance(items, list)
    deltas = [item for item in items if isinstance(item, Delta)]
    assert len(deltas) == len(items)  # what was said is left to be counted
    finishes = [(d.index, d.finish_reason) for d in deltas if d.finish_reason]
    assert finishes == [(0, "content_filter"), (1, "content_filter")]
    assert all(sum(d.index == index for d in deltas) <= 3 for index in (0, 1))


async def test_leaving_a_faulty_answer_stops_it_at_its_source() -> None:
    for model in ("fault-slow", "fault-missing-usage", "fault-truncated"):
        inner = Scripted()
        inner.endless = True
        asked = ChatCompletionRequest.model_validate(body(model))
        faults = FaultProvider(inner, Time().sleep)
        stream = faults.stream(asked, CallContext("req"))
        await anext(stream)
        await stream.aclose()

        assert inner.closed == 1


def test_a_fault_of_the_wire_is_told_to_who_writes_it() -> None:
    assert wire_fault("fault-reset-after-12") == WireFault("reset", 12)
    assert wire_fault("fault-truncated") == WireFault("truncated", 3)
    assert wire_fault("fault-duplicate-done") == WireFault("duplicate-done")


@pytest.mark.parametrize(
    "model",
    [
        "gpt-4o",
        "fault-429",
        "fault-nonsense",
        "fault-reset-after-",
        "fault-reset-after-\u0665",
    ],
)
def test_no_other_model_breaks_the_wire(model: str) -> None:
    assert wire_fault(model) is None


@pytest.mark.parametrize(("model", "status"), [("fault-429", 400), ("fault-x", 404)])
def test_fault_models_do_not_embed(
    http: httpx2.Client, model: str, status: int
) -> None:
    answer = http.post("/v1/embeddings", json={"model": model, "input": "x"})

    assert answer.status_code == status


def test_names_of_faults_are_dashed_and_told_apart() -> None:
    for fault in FAULT_MODELS:
        assert fault.name.startswith("fault-")
        assert ":" not in fault.name
        assert [f for f in FAULT_MODELS if f.match(fault.name) is not None] == [fault]
