"""Frameworks that ask for responses by themselves, against a running full_app.

openai-agents, pydantic-ai, langchain-openai and litellm, untouched, in an environment
of their own. One process for each framework runs all its cases; the tests compare what
they saw.
"""

import contextlib
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from examples.full_app.main import create_app
from tests.full_app.conftest import KEY, settings
from tests.full_app.contract.before_an_upstream import Upstream, upstream_running
from tests.full_app.contract.conftest import PYTHON_CLIENTS
from tests.full_app.contract.upstream_shapes import (
    COUNTS,
    JSON,
    REFUSAL,
    SHAPES,
    TEXT,
    THOUGHT,
    as_json,
    call,
    chunk,
    counted,
    message,
    sse,
)
from tests.servers import serve

# The first test of a run may have to install what it needs.
pytestmark = [pytest.mark.deep, pytest.mark.timeout(480)]
SCRIPTS = {
    name: f"{name}_client.py"
    for name in ("openai_agents", "pydantic_ai", "langchain", "litellm")
}

SILENT = {  # no framework may call home
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "LANGSMITH_TRACING": "false",
    "LANGCHAIN_TRACING_V2": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "OTEL_SDK_DISABLED": "true",
}


class ByModel(Upstream):
    """An upstream that answers as the shape says that the model is named after.

    Any other model does what it is asked for: it calls the first tool, and thinks.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shapes = {shape.id: shape for shape in SHAPES}

    def reply_to(self, asked: JSON) -> bytes:
        """The shape's reply, or that of a model which can do everything."""
        shape = self.shapes.get(asked["model"].removeprefix("as/"))
        if shape is None:
            return able_reply(asked)
        reply = shape.stream if asked.get("stream") else shape.whole
        made = reply() if callable(reply) else reply
        return made or super().reply_to(asked)


def able_reply(asked: JSON) -> bytes:
    """A call of the first tool, or a text; with a thought where one is asked for."""
    said: JSON = {"role": "assistant", "content": TEXT}
    reason = "stop"
    if tools := asked.get("tools"):
        function = {"name": tools[0]["function"]["name"], "arguments": "{}"}
        said = {"role": "assistant", "tool_calls": [call(function, index=0)]}
        reason = "tool_calls"
    if asked.get("reasoning_effort"):
        said["reasoning_content"] = THOUGHT
    if asked.get("stream"):
        return sse(chunk(said), chunk({}, reason), counted(COUNTS))
    return as_json(message(said, reason))


@contextlib.contextmanager
def services() -> Iterator[tuple[str, str]]:
    """The URLs of a service that answers offline, and of one before an upstream."""
    with upstream_running(ByModel()) as upstream:
        offline = create_app(settings())
        before = create_app(settings(upstream_base_url=upstream.url))
        with serve(offline) as offline_url, serve(before) as before_url:
            yield f"{offline_url}/v1", f"{before_url}/v1"


class Report:
    """What a script saw, case by case."""

    def __init__(self, printed: JSON) -> None:
        self.cases: dict[str, JSON] = printed["cases"]
        self.hosts: list[str] = printed["hosts"]

    def seen(self, name: str) -> Any:
        """What a case saw; it must not have ended with an error."""
        found = self.cases[name]
        assert "error" not in found, found
        return found["seen"]

    def error(self, name: str) -> JSON:
        """The error that a case ended with."""
        found = self.cases[name]
        assert "error" in found, found
        return found


def reported(python: Path, script: str, offline: str, before: str) -> Report:
    """Run a script with both services."""
    environment = {
        **{"PATH": os.environ["PATH"], "PYTHONUTF8": "1"},
        **{"OPENAI_BASE_URL": offline, "OPENAI_API_KEY": KEY},
        **SILENT,
    }
    if "SYSTEMROOT" in os.environ:  # without it Windows opens no socket
        environment["SYSTEMROOT"] = os.environ["SYSTEMROOT"]
    done = subprocess.run(
        [str(python), str(PYTHON_CLIENTS / script), offline, before, KEY],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=150,
    )
    assert done.returncode == 0, done.stderr
    return Report(json.loads(done.stdout.splitlines()[-1]))


Services = tuple[str, str]


@pytest.fixture(scope="module")
def urls() -> Iterator[Services]:
    with services() as urls:
        yield urls


@pytest.fixture(scope="module")
def agents(python_clients: Path, urls: Services) -> Report:
    """What openai-agents saw."""
    return reported(python_clients, SCRIPTS["openai_agents"], *urls)


@pytest.fixture(scope="module")
def pydantic_ai(python_clients: Path, urls: Services) -> Report:
    """What pydantic-ai saw."""
    return reported(python_clients, SCRIPTS["pydantic_ai"], *urls)


@pytest.fixture(scope="module")
def langchain(python_clients: Path, urls: Services) -> Report:
    """What langchain-openai saw."""
    return reported(python_clients, SCRIPTS["langchain"], *urls)


@pytest.fixture(scope="module")
def litellm(python_clients: Path, urls: Services) -> Report:
    """What litellm saw."""
    return reported(python_clients, SCRIPTS["litellm"], *urls)


def texts_read(urls: Services, response_id: str) -> list[str]:
    """The texts that the model read for a response of the offline service."""
    place = f"{urls[0]}/responses/{response_id}/input_items"
    answer = httpx2.get(
        place, params={"order": "asc"}, headers={"Authorization": f"Bearer {KEY}"}
    )
    return [part["text"] for item in answer.json()["data"] for part in item["content"]]


SAID = ["one", "one", "two", "two", "three"]  # the model echoes


# --- openai-agents ---


def test_agents_of_openai_get_the_same_text_whole_and_streamed(agents: Report) -> None:
    whole, streamed = agents.seen("plain"), agents.seen("stream")

    assert streamed["text"] == whole["text"] != ""
    assert "".join(streamed["words"]) == whole["text"]
    assert len(streamed["words"]) > 10
    assert streamed["output_tokens"] == whole["output_tokens"] > 0
    assert streamed["types"][0] == "response.created"
    assert streamed["types"][-1] == "response.completed"
    assert whole["response"].startswith("resp_")


@pytest.mark.parametrize("name", ["tool", "tool_streamed"])
def test_an_agent_of_openai_calls_a_tool_and_goes_on_with_its_result(
    agents: Report, name: str
) -> None:
    found = agents.seen(name)

    assert found["items"] == [
        "ToolCallItem",
        "ToolCallOutputItem",
        "MessageOutputItem",
    ]
    assert found["requests"] == 2
    assert "17 degrees" in found["text"]
    assert found.get("calls", ["Lisbon"]) == ["Lisbon"]


def test_an_agent_of_openai_calls_two_tools_at_once(agents: Report) -> None:
    found = agents.seen("parallel_tools")
    of_an_upstream = agents.seen("two_calls_of_the_upstream")

    assert found["calls"] == ["Lisbon", "Lisbon"]
    assert "17 degrees" in found["text"]
    assert "noon" in found["text"]
    assert of_an_upstream["items"].count("ToolCallOutputItem") == 2


def test_an_agent_of_openai_answers_with_a_model_and_with_options(
    agents: Report,
) -> None:
    assert agents.seen("structured") == {"city": True}
    assert agents.seen("options")["text"] == agents.seen("plain")["text"]


def test_an_agent_of_openai_goes_on_by_items_and_by_an_id(
    agents: Report, urls: Services
) -> None:
    turns = agents.seen("turns")

    assert [turn["text"] for turn in turns] == ["one", "two", "three"]
    assert texts_read(urls, turns[1]["response"]) == SAID[:3]
    assert texts_read(urls, turns[2]["response"]) == SAID


def test_an_agent_of_openai_sees_thoughts_and_sends_them_back(agents: Report) -> None:
    assert agents.seen("thoughts")["items"] == ["ReasoningItem", "MessageOutputItem"]
    again = agents.seen("thoughts_go_back")
    assert "reasoning" in again["sent"]
    assert again["text"] == TEXT


def test_an_agent_of_openai_raises_what_went_wrong(agents: Report) -> None:
    for name in ("unknown_model", "unknown_model_streamed"):
        unknown = agents.error(name)
        assert (unknown["error"], unknown["status"]) == ("NotFoundError", 404)
        assert unknown["code"] == "model_not_found"
        assert unknown["body"]["request_id"].startswith("req_")
    assert agents.error("refusal")["error"] == "ModelRefusalError"
    assert REFUSAL in agents.error("refusal")["text"]
    assert agents.error("broken_stream")["error"] == "APIConnectionError"
    broken = agents.error("broken_off_by_the_upstream")
    assert (broken["error"], broken["code"]) == ("APIError", "upstream_error")
    assert broken["body"]["message"] == "The pot fell."
    incomplete = agents.error("too_few_tokens")  # as the page about responses warns
    assert incomplete["error"] == "ModelBehaviorError"
    assert "max_output_tokens" in incomplete["text"]


# --- pydantic-ai ---

KINDS = pytest.mark.parametrize("kind", ["openai-responses", "openai-chat"])


@KINDS
def test_pydantic_ai_gets_the_same_text_whole_and_streamed(
    pydantic_ai: Report, kind: str
) -> None:
    whole, streamed = (
        pydantic_ai.seen(f"{name} {kind}") for name in ("plain", "stream")
    )

    assert "".join(streamed["words"]) == whole["output"] != ""
    assert len(streamed["words"]) > 10
    assert streamed["output_tokens"] == whole["output_tokens"] > 0
    assert pydantic_ai.seen(f"options {kind}")["output"]


@KINDS
def test_pydantic_ai_calls_tools_and_goes_on_with_their_results(
    pydantic_ai: Report, kind: str
) -> None:
    one = pydantic_ai.seen(f"tool {kind}")
    streamed = pydantic_ai.seen(f"tool_streamed {kind}")
    two = pydantic_ai.seen(f"parallel_tools {kind}")

    assert one["parts"] == ["user-prompt", "tool-call", "tool-return", "text"]
    assert one["calls"] == streamed["calls"] == ["Lisbon"]
    assert "17 degrees" in one["output"]
    assert "17 degrees" in "".join(streamed["words"])
    assert two["parts"].count("tool-call") == 2
    assert "17 degrees noon" in two["output"]


@KINDS
def test_pydantic_ai_answers_with_a_model_by_a_tool_and_by_a_schema(
    pydantic_ai: Report, kind: str
) -> None:
    for name in ("structured", "structured_by_schema"):
        assert pydantic_ai.seen(f"{name} {kind}") == {"city": True}


@KINDS
def test_pydantic_ai_sends_its_history(
    pydantic_ai: Report, urls: Services, kind: str
) -> None:
    turns = pydantic_ai.seen(f"turns {kind}")

    assert [turn["output"] for turn in turns] == ["one", "two", "three"]
    if kind == "openai-responses":
        assert texts_read(urls, turns[2]["response"]) == SAID
        by_id = pydantic_ai.seen("turns_by_id")
        assert texts_read(urls, by_id["response"]) == SAID[:3]


@KINDS
def test_pydantic_ai_sees_thoughts(pydantic_ai: Report, kind: str) -> None:
    whole = pydantic_ai.seen(f"thoughts {kind}")
    streamed = pydantic_ai.seen(f"thoughts_streamed {kind}")

    assert whole["parts"] == ["user-prompt", "thinking", "text"]
    assert streamed["parts"] == ["thinking", "text"]
    assert whole["output"] == TEXT


@KINDS
def test_pydantic_ai_raises_what_went_wrong(pydantic_ai: Report, kind: str) -> None:
    unknown = pydantic_ai.error(f"unknown_model {kind}")
    refusal = pydantic_ai.error(f"refusal {kind}")
    broken = pydantic_ai.error(f"broken_off_by_the_upstream {kind}")

    assert (unknown["status"], unknown["body"]["code"]) == (404, "model_not_found")
    assert refusal["error"] == "ContentFilterError"
    assert REFUSAL in refusal["text"] + str(refusal["body"])
    assert (broken["status"], broken["body"]["message"]) == (500, "The pot fell.")
    assert pydantic_ai.error(f"broken_stream {kind}")["text"] == "Connection error."
    assert pydantic_ai.seen(f"too_few_tokens {kind}")["output"] == "one two "


def test_pydantic_ai_waits_for_a_response_in_the_background(
    pydantic_ai: Report,
) -> None:
    whole = pydantic_ai.seen("plain openai-responses")
    polled = pydantic_ai.seen("background")
    streamed = pydantic_ai.seen("background_streamed")

    assert polled["output"] == "".join(streamed["words"]) == whole["output"]
    assert polled["output_tokens"] == streamed["output_tokens"]
    assert polled["output_tokens"] == whole["output_tokens"]


# --- langchain ---


def test_langchain_gets_the_same_text_whole_and_streamed(langchain: Report) -> None:
    whole, streamed = langchain.seen("plain"), langchain.seen("stream")
    chat = langchain.seen("chat_completions")

    assert langchain.seen("plain_in_a_thread")["text"] == whole["text"]
    assert streamed["text"] == "".join(streamed["words"]) == whole["text"] != ""
    assert len(streamed["words"]) > 10
    assert streamed["output_tokens"] == whole["output_tokens"] > 0
    assert whole["metadata"]["object"] == "response"
    assert [one["text"] for one in chat] == [whole["text"]] * 2
    assert chat[0]["output_tokens"] == chat[1]["output_tokens"] > 0


def test_langchain_calls_tools_and_goes_on_with_their_results(
    langchain: Report,
) -> None:
    weather = ["get_weather", {"city": "Lisbon"}]
    asked, answer = langchain.seen("tools")

    assert asked["calls"] == langchain.seen("tools_streamed")["calls"] == [weather]
    assert "17 degrees in Lisbon" in answer["text"]
    assert langchain.seen("parallel_tools_streamed")["calls"] == [
        weather,
        ["get_time", {"city": "Lisbon"}],
    ]
    assert langchain.seen("two_calls_of_the_upstream")["calls"] == [
        ["brew", {"leaf": "green"}],
        ["pour", {"cups": 2}],
    ]


def test_langchain_answers_with_a_model_and_takes_options(langchain: Report) -> None:
    assert langchain.seen("structured") == [True, True]
    assert langchain.seen("options")["text"] == langchain.seen("plain")["text"]
    few = langchain.seen("too_few_tokens")
    assert few["text"] == "one two "
    assert few["metadata"]["incomplete_details"] == {"reason": "max_output_tokens"}


@pytest.mark.parametrize("name", ["turns", "turns_by_id"])
def test_langchain_goes_on_by_messages_and_by_an_id(
    langchain: Report, urls: Services, name: str
) -> None:
    found = langchain.seen(name)

    assert found["text"] == "three"
    assert texts_read(urls, found["metadata"]["id"]) == SAID


def test_langchain_sees_thoughts_and_refusals(langchain: Report) -> None:
    for found in langchain.seen("thoughts"):
        assert found["blocks"] == ["reasoning", "text"]
        assert found["text"] == TEXT
    assert langchain.seen("refusal")["blocks"] == ["refusal"]


def test_langchain_raises_what_went_wrong(langchain: Report) -> None:
    for name in ("unknown_model", "unknown_model_streamed"):
        unknown = langchain.error(name)
        assert (unknown["status"], unknown["code"]) == (404, "model_not_found")
    lost = langchain.error("unasked_result")
    assert (lost["status"], lost["body"]["param"]) == (400, "input[1].call_id")
    broken = langchain.error("broken_off_by_the_upstream")
    assert (broken["code"], broken["text"]) == ("upstream_error", "The pot fell.")
    assert langchain.error("broken_stream")["text"] == "Connection error."


# --- litellm ---


def test_litellm_gets_the_same_text_whole_and_streamed(litellm: Report) -> None:
    whole, streamed = litellm.seen("plain"), litellm.seen("stream")

    assert whole["kind"] == streamed["kind"] == "ResponsesAPIResponse"
    assert litellm.seen("plain_in_a_thread")["text"] == whole["text"]
    assert streamed["text"] == "".join(streamed["words"]) == whole["text"] != ""
    assert len(streamed["words"]) > 10
    assert streamed["output_tokens"] == whole["output_tokens"] > 0
    assert streamed["types"][0] == "response.created"
    assert streamed["types"][-1] == "response.completed"


def test_litellm_makes_the_same_chat_completions_of_responses(litellm: Report) -> None:
    plain, whole = litellm.seen("plain"), litellm.seen("chat")

    assert whole == litellm.seen("chat_bridged")
    for answer in whole:
        assert answer["text"] == plain["text"]
        assert answer["finish"] == "stop"
        assert answer["output_tokens"] == plain["output_tokens"]
    assert len(whole[1]["words"]) > 10


def test_litellm_calls_tools_and_goes_on_with_their_results(litellm: Report) -> None:
    weather, time = ([name, {"city": "Lisbon"}] for name in ("get_weather", "get_time"))
    asked, answer, by_id = litellm.seen("tool")

    assert asked["calls"] == litellm.seen("tool_streamed")["calls"] == [weather]
    assert "17 degrees" in answer["text"]
    assert answer["text"] == by_id["text"]
    assert answer["text"] == litellm.seen("tool_result_bridged")["text"]
    for answered in (*litellm.seen("parallel_tools"), *litellm.seen("tools_bridged")):
        assert answered["calls"] == [weather, time]


def test_litellm_answers_with_a_model_and_with_options(litellm: Report) -> None:
    options = litellm.seen("options")

    assert litellm.seen("structured") is True
    assert options["text"] == litellm.seen("plain")["text"]
    assert options["instructions"] == "Be brief."
    assert (options["temperature"], options["top_p"]) == (0.2, 0.9)
    assert options["metadata"] == {"a": "b"}
    assert (options["truncation"], options["user"]) == ("auto", "u")


def test_litellm_sees_that_an_answer_is_incomplete(litellm: Report) -> None:
    whole, streamed, chat = litellm.seen("too_few_tokens")

    assert whole["status"] == streamed["status"] == "incomplete"
    assert "max_output_tokens" in whole["incomplete"]
    assert streamed["types"][-1] == "response.incomplete"
    assert whole["text"] == streamed["text"] == chat["text"] == "one " * 16
    assert chat["finish"] == "length"


@pytest.mark.parametrize("name", ["turns", "turns_by_id"])
def test_litellm_goes_on_by_items_and_by_an_id(litellm: Report, name: str) -> None:
    assert litellm.seen(name) == SAID


def test_litellm_waits_for_a_response_in_the_background_or_cancels_it(
    litellm: Report,
) -> None:
    queued, ended = litellm.seen("background")

    assert (queued["status"], ended["status"]) == ("queued", "completed")
    assert queued["id"] == ended["id"]
    assert ended["text"] == litellm.seen("plain")["text"]
    assert litellm.seen("cancelled") == ["cancelled", "cancelled"]


def test_litellm_deletes_a_response(litellm: Report) -> None:
    gone = litellm.error("read_after_it_was_deleted")

    assert litellm.seen("deleted") == {"deleted": True, "object": "response"}
    assert (gone["error"], gone["status"]) == ("NotFoundError", 404)
    assert '"code":"response_not_found"' in gone["text"]


def test_litellm_sees_thoughts_and_refusals(litellm: Report) -> None:
    whole, streamed, chat = litellm.seen("thoughts")
    refusal = litellm.seen("refusal")

    assert whole["items"] == streamed["items"] == ["reasoning", "message"]
    assert whole["text"] == streamed["text"] == chat["text"] == TEXT
    assert chat["thoughts"] == THOUGHT
    assert refusal["part"] == {"type": "refusal", "refusal": REFUSAL}


def test_litellm_raises_what_went_wrong(litellm: Report) -> None:
    names = ("unknown_model", "unknown_model_streamed", "unknown_model_bridged")
    for name in names:
        unknown = litellm.error(name)
        assert (unknown["error"], unknown["status"]) == ("NotFoundError", 404)
        assert '"code":"model_not_found"' in unknown["text"]
    hosted = litellm.error("hosted_tool")
    assert (hosted["error"], hosted["status"]) == ("BadRequestError", 400)
    assert '"param":"tools[0].type"' in hosted["text"]
    assert "The pot fell." in litellm.error("broken_off_by_the_upstream")["text"]
    assert "not completed" in litellm.error("broken_stream")["text"]


# --- All of them ---


@pytest.mark.parametrize("name", ["agents", "pydantic_ai", "langchain", "litellm"])
def test_no_framework_asks_another_host(
    request: pytest.FixtureRequest, name: str
) -> None:
    report: Report = request.getfixturevalue(name)

    assert report.hosts == ["127.0.0.1"]


@pytest.mark.parametrize("script", SCRIPTS.values())
def test_every_case_of_a_script_is_looked_at(script: str) -> None:
    text = (PYTHON_CLIENTS / script).read_text(encoding="utf-8")
    cases = re.findall(r"(?m)^@(?:case|each)\nasync def (\w+)", text)
    tests = Path(__file__).read_text(encoding="utf-8")

    assert len(cases) > 15
    assert [name for name in cases if not re.search(rf'"{name}\b', tests)] == []


# --- llm-comply ---


def complied(python: Path, url: str, form: str, model: str) -> dict[str, JSON]:
    """Each check of llm-comply, by its id."""
    asked = ["run", "-u", url, "-k", KEY, "-m", model, "--format", form, "--json"]
    done = subprocess.run(
        [str(python), "-m", "llm_comply.cli", *asked],
        capture_output=True,
        encoding="utf-8",
        timeout=150,
    )
    found = json.loads(done.stdout)["results"]
    return {check["id"]: check for check in found}


def not_passed(checks: dict[str, JSON]) -> dict[str, str]:
    """The checks that failed or were skipped."""
    return {
        name: check["status"]
        for name, check in checks.items()
        if check["status"] != "passed"
    }


@pytest.mark.parametrize(
    ("form", "checks"), [("openai-chat", 9), ("open-responses", 13)]
)
def test_llm_comply_finds_no_fault_offline_but_that_the_models_read_texts_only(
    python_clients: Path, urls: Services, form: str, checks: int
) -> None:
    prefix = "chat-" if form == "openai-chat" else ""
    found = complied(python_clients, urls[0], form, "gpt-4o-mini")

    assert len(found) == checks
    assert not_passed(found) == {
        f"{prefix}image-input": "failed",
        f"{prefix}reasoning-summary": "skipped",  # of this model it expects none
    }


def test_llm_comply_is_content_with_chat_before_an_upstream(
    python_clients: Path, urls: Services
) -> None:
    found = complied(python_clients, urls[1], "openai-chat", "gpt-5-mini")

    assert len(found) == 9
    assert not_passed(found) == {}


def test_llm_comply_misses_images_only_in_responses_before_an_upstream(
    python_clients: Path, urls: Services
) -> None:
    found = complied(python_clients, urls[1], "open-responses", "gpt-5-mini")

    assert len(found) == 13
    assert not_passed(found) == {"image-input": "failed"}  # as docs say: texts only
