"""Logs of `/v1/responses` never hold a word of what was asked or answered."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from examples.full_app.main import create_app
from examples.full_app.providers.base import Delta
from examples.full_app.schemas.answers import ToolCallDelta
from tests.full_app.conftest import KEY, settings
from tests.full_app.observability.test_observability import everything_logged, lines
from tests.full_app.responses.working import begin_and_die, work_on
from tests.full_app.routes.test_responses import PATH, WEATHER
from tests.full_app.scripted import Scripted
from tests.full_app.upstreams import HEADERS

ASKED = "Xylander"
ANSWERED = "Quagmire"


def asks() -> list[dict[str, Any]]:
    """Requests that hold the word in every place that text may have."""
    said = {"role": "user", "content": f"I am {ASKED}."}
    call = {"type": "function_call", "call_id": ASKED, "name": "f", "arguments": ASKED}
    output = {"type": "function_call_output", "call_id": ASKED, "output": ASKED}
    plain = {"model": "any", "input": [said]}
    return [
        plain,
        {**plain, "stream": True},
        {**plain, "instructions": ASKED, "metadata": {ASKED: ASKED}, "user": ASKED},
        {**plain, "input": [said, call, output]},
        {**plain, "input": [said, output, output]},
        {**plain, "input": [{"type": ASKED}]},
        {**plain, "input": [{"type": "item_reference", "id": ASKED}]},
        {**plain, "previous_response_id": ASKED},
        {**plain, "tools": [{**WEATHER, "description": ASKED}]},
        {**plain, "tools": [{"type": ASKED}]},
        {**plain, ASKED: ASKED},
        {**plain, "include": [ASKED]},
        {**plain, "text": {"format": {"type": ASKED}}},
        {**plain, "prompt_cache_key": ASKED, "safety_identifier": ASKED},
    ]


def model_that_says(word: str) -> Scripted:
    """A model whose text, thoughts, refusal and call hold the word."""
    function = {"name": "f", "arguments": f'{{"a":"{word}"}}'}
    piece = {"index": 0, "id": f"call_{word}", "function": function}
    model = Scripted()
    model.pieces = [word]
    model.deltas = [
        Delta(further={"reasoning_content": word, "refusal": word}),
        Delta(tool_calls=(ToolCallDelta.model_validate(piece),)),
    ]
    return model


@pytest.mark.parametrize("drop", ["refuse", "drop"])
@pytest.mark.parametrize(
    "failure", [None, RuntimeError(f"{ASKED} {ANSWERED} {KEY}")], ids=["works", "fails"]
)
def test_no_log_line_holds_what_was_asked_or_answered(
    failure: Exception | None, drop: str
) -> None:
    model = model_that_says(ANSWERED)
    model.failure = failure
    app = create_app(settings(job_worker=False, unsupported_tools=drop), provider=model)
    with (
        everything_logged() as log,
        TestClient(app, headers=HEADERS, raise_server_exceptions=False) as http,
    ):
        for body in asks():
            http.post(PATH, json=body)
        made = http.post(PATH, json=asks()[0]).json().get("id", "resp_none")
        for rest in ("", "/input_items", "?stream=true", "?stream=true&include[]=x"):
            http.get(f"{PATH}/{made}{rest}")
        background = {**asks()[0], "background": True}
        worked = http.post(PATH, json=background).json()["id"]
        work_on(http, worked)
        died = http.post(PATH, json=background).json()["id"]
        begin_and_die(http, died, said=ANSWERED)
        work_on(http, died)
        cancelled = http.post(PATH, json=background).json()["id"]
        http.post(f"{PATH}/{cancelled}/cancel")
        http.delete(f"{PATH}/{cancelled}")
        text = log.getvalue()
        calls = lines(log)

    assert len(calls) > len(asks())
    assert model.started > 5
    for secret in (ASKED, ANSWERED, KEY):
        assert secret not in text
