"""What notebooks import: code by name, answers as text, figures, a live server."""

import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from fastapi import FastAPI

from course.notebook import (
    arrivals,
    bars,
    check,
    curves,
    data,
    judge,
    live,
    moments,
    show,
    table,
    wire,
)
from course.notebook.display import fenced
from course.notebook.exercise import NOT_YET, SOLVED
from course.source import extract
from examples import s1_why_fastapi as s1
from examples import s2_models as s2
from examples import s4_dependency_injection as s4


def test_a_definition_is_shown_with_its_decorators_and_its_file() -> None:
    text = show(s1, "sequential").text

    assert text.startswith(
        '# examples/s1_why_fastapi.py\n@app.get(\n    "/fan-out/sequential"'
    )
    assert text.endswith("return stopwatch.read()")


def test_several_names_are_shown_in_the_order_they_were_asked_for() -> None:
    text = show(s4, "default_rate_limit", "RateLimiter.take").text

    assert text.index("requests=100") < text.index("async def take")


def test_a_method_is_shown_without_the_indentation_of_its_class() -> None:
    shown = extract(
        "class A:\n    x: int = 1\n\n    def f(self):\n        return 2\n", "A.f"
    )

    assert shown == "def f(self):\n    return 2"
    assert extract("class A:\n    x: int = 1\n", "A.x") == "x: int = 1"
    assert extract("a = b = 1\n", "b") == "a = b = 1"


@pytest.mark.parametrize("name", ["", "Nobody", "RateLimiter.nobody", "settings.x"])
def test_a_name_that_is_not_defined_is_an_error_not_an_empty_slide(name: str) -> None:
    with pytest.raises(LookupError):
        show(s4, name)


def test_code_in_code_keeps_its_fence() -> None:
    assert fenced("```python\n1\n```").startswith("````text\n")


def test_a_solved_exercise_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    check((True, "one"), (1, "two"))

    assert capsys.readouterr().out == f"{SOLVED}\n"


def test_of_several_hints_only_the_first_is_given(
    capsys: pytest.CaptureFixture[str],
) -> None:
    check((True, "one"), (0, "two"), (False, "three"))

    assert capsys.readouterr().out == f"{NOT_YET}two\n"


def test_an_answer_is_shown_with_the_headers_that_were_asked_for() -> None:
    answer = httpx2.Response(429, headers={"Retry-After": "7"}, json={"detail": "no"})

    shown = wire(answer, "retry-after", "location")

    assert shown.text == (
        'HTTP 429 Too Many Requests\nretry-after: 7\n\n{"detail": "no"}'
    )
    assert "```json" in shown.markdown


def test_an_answer_without_a_body_or_without_json_is_shown_as_it_is() -> None:
    assert wire(httpx2.Response(204)).text == "HTTP 204 No Content"
    assert wire(httpx2.Response(200, text="plain")).text == "HTTP 200 OK\n\nplain"


def test_short_data_is_one_line_and_long_data_is_indented() -> None:
    assert data({"a": 1}).text == '{"a": 1}'
    assert data({"a": "x" * 80}).text.count("\n") == 2


def test_a_table_is_aligned_as_text_and_escaped_as_markdown() -> None:
    shown = table([{"name": "a|b", "fits": True}, {"name": "c", "fits": None}])

    assert shown.text == "name  fits\na|b   yes\nc"
    assert "| a\\|b | yes |" in shown.markdown
    assert table([]).text == ""


def test_a_verdict_names_the_field_or_accepts() -> None:
    shown = judge(
        s2.Usage, {"good": {"prompt_tokens": 1, "completion_tokens": 1}, "": {}}
    )

    assert "accepted" in shown.text
    assert "prompt_tokens: Field required" in shown.text


def test_figures_are_words_until_they_are_drawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # an import would raise
    figures = [
        bars("Times", {"fast": 1, "slow": 2000}, unit="ms"),
        moments("Words", {"word": [10, 20]}),
        curves("Level", {"a": [(0, 1)]}, x="x", y="y", alt="it is level."),
    ]

    assert [repr(figure) for figure in figures] == [
        "Times: fast 1 ms, slow 2,000 ms.",
        "Words: word: 2, first after 10 ms, last after 20 ms.",
        "Level: it is level.",
    ]
    for figure in figures:
        bundle, shape = figure._repr_mimebundle_(include={"text/plain"})
        assert bundle == {"text/plain": repr(figure)}
        assert shape == {"alt": repr(figure)}


async def test_a_live_server_answers_keeps_its_log_and_ends() -> None:
    app = FastAPI()

    @app.get("/bug")
    async def bug() -> None:
        raise KeyError("boom")

    handlers = list(logging.getLogger().handlers)
    with live(app) as server:
        async with server.client() as client:
            answers = [await client.get("/bug"), await client.get("/nowhere")]
    server.stop()  # once more does nothing

    assert [answer.status_code for answer in answers] == [500, 404]
    assert any(record.exc_info for record in server.log)
    assert server.ws_url.startswith("ws://127.0.0.1:")
    assert logging.getLogger().handlers == handlers
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(server.url, trust_env=False)


def test_a_server_that_cannot_start_says_why_and_leaves_nothing() -> None:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        raise RuntimeError("no database")
        yield

    handlers = list(logging.getLogger().handlers)
    with pytest.raises(RuntimeError, match="no database"):
        live(FastAPI(lifespan=lifespan))
    assert logging.getLogger().handlers == handlers


async def test_arrivals_are_in_order_and_leave_out_what_is_empty() -> None:
    async def pieces() -> AsyncIterator[str]:
        for piece in ("a", "", "b"):
            yield piece

    heard = await arrivals(pieces())

    assert [arrival.text for arrival in heard] == ["a", "b"]
    assert 0 <= heard[0].ms <= heard[1].ms
