"""The page at `/` in a real Chromium: every panel driven, its console silent."""

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from examples.full_app.main import create_app
from tests.browser import DESKTOP, PHONE, axe_violations, opened, overflows
from tests.full_app.conftest import KEY, settings
from tests.servers import serve

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.deep
PROJECTOR = (1366, 650)
PANELS = ("synchronous", "streaming", "job", "webhook")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The embedded service without keys, at a pace that leaves time to cancel."""
    with serve(create_app(settings(api_keys="", offline_pace=0.3))) as found:
        yield found


@pytest.fixture
def page(browser: "Browser", url: str) -> Iterator["Page"]:
    # A status that a panel is to show is an error in Chromium's console.
    with opened(browser, url, allowed=["the server responded with a status of"]) as it:
        ready(it)
        yield it


def ready(page: "Page") -> None:
    page.wait_for_selector("#model optgroup", state="attached")


def shows(page: "Page", selector: str, pattern: str) -> None:
    """Wait for a text. (`wait_for_function` is what the page's CSP forbids.)"""
    from playwright.sync_api import expect

    expect(page.locator(selector)).to_contain_text(re.compile(pattern), timeout=15_000)


def status_of(page: "Page", panel: str) -> str:
    """What the panel says once it has ended."""
    page.wait_for_selector(f"#{panel} .send:not([disabled])")
    return str(page.inner_text(f"#{panel} .status"))


def send(page: "Page", panel: str) -> str:
    page.click(f"#{panel} .send")
    return status_of(page, panel)


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_sends_its_request_and_shows_wire_and_result(
    page: "Page", panel: str
) -> None:
    assert send(page, panel).startswith("done in")
    assert "→ POST /v1/" in page.inner_text(f"#{panel} .wire")
    assert len(page.inner_text(f"#{panel} .result")) > 40
    assert re.search(r"\d of 6,000", page.inner_text("#requests-left")) or panel in (
        "job",
        "webhook",
    )


def test_a_cut_stream_goes_on_to_the_same_text(page: "Page") -> None:
    long = " ".join(f"word-{number}" for number in range(400))
    message = f'{{"role": "user", "content": "{long}"}}'
    body = f'{{"model": "offline-echo", "messages": [{message}], "stream": true}}'
    page.fill("#streaming textarea", body)
    send(page, "streaming")
    whole = page.inner_text("#streaming .result")
    page.click("#streaming .send")
    shows(page, "#streaming .result", ".{20}")
    page.click("#streaming .cancel")
    assert status_of(page, "streaming").startswith("cancelled after")
    assert page.inner_text("#streaming .result") != whole
    page.click("#streaming .more")

    assert status_of(page, "streaming").startswith("done in")
    assert page.inner_text("#streaming .result") == whole


def test_cancelling_a_job_cancels_it_in_the_service(page: "Page") -> None:
    message = '{"role": "user", "content": "Tell me more."}'
    one = f'{{"model": "gpt-4o-mini", "messages": [{message}]}}'
    page.fill("#job textarea", f'{{"requests": [{", ".join([one] * 50)}]}}')
    page.click("#job .send")
    shows(page, "#job .wire", "job.running")
    page.click("#job .cancel")
    shows(page, "#job .result", "^cancelled")


def test_a_fault_is_picked_and_its_error_shown(page: "Page") -> None:
    page.select_option("#model", "fault-429")

    assert send(page, "synchronous").startswith("429:")
    assert "retry-after" in page.inner_text("#synchronous .wire")
    assert "rate_limit_exceeded" in page.inner_text("#synchronous .result")


def test_a_job_whose_requests_failed_is_red_and_says_how_many(page: "Page") -> None:
    page.select_option("#model", "fault-429")

    assert send(page, "job") == "3 of 3 failed"
    assert page.get_attribute("#job .status", "class") == "status bad"
    assert page.inner_text("#job .result").startswith("succeeded, 3 of 3 failed")
    assert page.inner_text(".lane:nth-child(3) .words") == "3 of 3 failed"


def test_the_inbox_verifies_and_turns_a_forgery_away(page: "Page") -> None:
    send(page, "webhook")
    assert "signature verified" in page.inner_text("#webhook .result")
    page.click("#webhook .more")

    assert status_of(page, "webhook").startswith("401:")
    assert "invalid_signature" in page.inner_text("#webhook .wire")
    assert page.is_hidden("#key-field")  # it is not the caller who is not known


def test_a_panel_works_from_the_keyboard(page: "Page") -> None:
    page.focus("#synchronous textarea")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "send"
    page.keyboard.press("Enter")

    shows(page, "#synchronous .status", "^done")


def test_where_there_is_no_inbox_the_panel_says_so_and_a_key_is_asked_for(
    browser: "Browser",
) -> None:
    """Nothing is asked for that is not there: the browser's console stays empty."""
    with (
        serve(create_app(settings())) as url,
        opened(browser, url) as page,
    ):
        shows(page, "#webhook .result", "no inbox here")
        assert page.is_disabled("#webhook .send")
        assert page.is_disabled("#webhook .more")
        assert page.evaluate("document.activeElement.id") == "key"
        page.fill("#key", KEY)
        page.keyboard.press("Tab")
        ready(page)

        assert send(page, "synchronous").startswith("done in")
        assert send(page, "job").startswith("done in")
        assert axe_violations(page) == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(
    "size", [DESKTOP, PROJECTOR, PHONE], ids=["desktop", "projector", "phone"]
)
def test_axe_finds_nothing_and_nothing_overflows(
    browser: "Browser", url: str, size: tuple[int, int], dark: bool
) -> None:
    with opened(browser, url, size=size, dark=dark) as page:
        ready(page)
        for panel in PANELS if size != PHONE else ():  # in sight without scrolling
            seen = page.locator(f"#{panel} .result").bounding_box()
            assert seen is not None
            assert seen["y"] + 100 < size[1]
        page.click("#send-all")
        shows(page, "#verdict", "first word")
        page.locator("#streaming .wire summary").last.click()

        assert axe_violations(page) == []
        assert overflows(page) == []


def test_the_four_race_over_one_axis_and_the_verdict_is_in_words(page: "Page") -> None:
    page.click("#send-all")
    shows(page, "#verdict", r"first word was there .* before the synchronous answer")

    lane = ".lane:nth-child({})"
    assert page.locator(f"{lane.format(2)} circle").count() > 20  # the streamed frames
    for number in (1, 2, 3, 4):
        assert page.locator(f"{lane.format(number)} .first").count() == 1
    assert re.match(
        "first word after .*, whole after", page.inner_text(f"{lane.format(2)} .words")
    )
    assert page.inner_text("#axis").split()[:2] == ["0", "s"]


def test_the_race_says_which_lanes_did_not_arrive(page: "Page") -> None:
    page.select_option("#model", "fault-429")
    page.click("#send-all")

    shows(page, "#verdict", "did not arrive: Synchronous, Streaming, Job, Webhook")


def test_a_picked_model_is_written_into_the_requests_but_not_over_a_typed_one(
    page: "Page",
) -> None:
    typed = '{"model": "gpt-4o", "messages": [{"role": "user", "content": "Why?"}]}'
    page.fill("#streaming textarea", typed)
    page.select_option("#model", "fault-429")

    assert '"fault-429"' in page.input_value("#synchronous textarea")
    assert page.input_value("#job textarea").count('"fault-429"') == 3
    assert page.input_value("#streaming textarea") == typed


def test_what_was_typed_is_sent_as_it_was_typed(page: "Page") -> None:
    typed = '{"model": "none-such",  "messages": [{"role": "user", "content": "Why?"}]}'
    page.fill("#synchronous textarea", typed)

    assert send(page, "synchronous").startswith("404:")
    assert page.input_value("#synchronous textarea") == typed


@pytest.mark.parametrize("panel", ["synchronous", "streaming", "job"])
def test_markup_in_an_answer_is_shown_as_text_and_not_run(
    page: "Page", panel: str
) -> None:
    markup = "<img src=/nowhere onerror=alert(1)>"
    question = page.input_value(f"#{panel} textarea")
    typed = question.replace("Why does streaming feel faster?", markup)
    assert markup in typed
    page.fill(f"#{panel} textarea", typed)
    send(page, panel)

    assert markup in page.inner_text(f"#{panel} .result")
    assert page.locator(f"#{panel} img").count() == 0


# --- The same question by /v1/responses ---


def sent_by(page: "Page", panel: str) -> str:
    """Send a panel's request; the first line of its wire."""
    assert send(page, panel).startswith("done in")
    return str(page.inner_text(f"#{panel} .wire li:first-child"))


def test_the_switch_sends_a_question_as_a_response_and_shows_its_text(
    page: "Page",
) -> None:
    send(page, "synchronous")
    by_chat = page.inner_text("#synchronous .result")
    page.select_option("#api", "responses")

    assert "POST /v1/responses" in sent_by(page, "synchronous")
    assert page.inner_text("#synchronous .result") == by_chat
    page.select_option("#api", "chat")
    assert "POST /v1/chat/completions" in sent_by(page, "synchronous")


def test_the_events_of_a_streamed_response_are_shown_with_their_names(
    page: "Page",
) -> None:
    page.select_option("#api", "responses")
    assert "POST /v1/responses" in sent_by(page, "streaming")
    wire = page.inner_text("#streaming .wire")

    for name in ("created", "in_progress", "output_item.added", "completed"):
        assert f"response.{name}" in wire
    assert len(page.inner_text("#streaming .result")) > 40
    frame = page.locator("#streaming .wire details").nth(0)
    frame.locator("summary").click()
    assert '"sequence_number": 0' in frame.inner_text()


def test_a_cut_response_goes_on_after_the_last_number_to_the_same_text(
    page: "Page",
) -> None:
    page.select_option("#api", "responses")
    long = " ".join(f"word-{number}" for number in range(400))
    page.fill(
        "#streaming textarea",
        f'{{"model": "offline-echo", "input": "{long}", "stream": true, '
        '"background": true}',
    )
    page.click("#streaming .send")
    shows(page, "#streaming .result", ".{20}")
    page.click("#streaming .cancel")
    assert status_of(page, "streaming").startswith("cancelled after")
    assert page.inner_text("#streaming .result") != long
    page.click("#streaming .more")

    assert status_of(page, "streaming").startswith("done in")
    assert page.inner_text("#streaming .result") == long
    assert "&starting_after=" in page.inner_text("#streaming .wire")
    assert page.is_disabled("#streaming .more")


def test_a_response_in_the_foreground_cannot_be_resumed_and_does_not_offer_it(
    page: "Page",
) -> None:
    page.select_option("#api", "responses")
    long = " ".join(f"word-{number}" for number in range(400))
    body = f'{{"model": "offline-echo", "input": "{long}", "stream": true}}'
    page.fill("#streaming textarea", body)
    page.click("#streaming .send")
    shows(page, "#streaming .result", ".{20}")
    page.click("#streaming .cancel")

    assert status_of(page, "streaming").startswith("cancelled after")
    assert page.is_disabled("#streaming .more")


def test_the_job_is_a_response_in_the_background_and_is_cancelled_in_the_service(
    page: "Page",
) -> None:
    page.select_option("#api", "responses")
    assert page.inner_text("#job .what").startswith("A response in the background")
    assert '"background": true' in page.input_value("#job textarea")
    assert "POST /v1/responses" in sent_by(page, "job")
    shows(page, "#job .result", "^completed")
    silent = '{"model": "fault-silent-120", "input": "hi", "background": true}'
    page.fill("#job textarea", silent)
    page.click("#job .send")
    shows(page, "#job .wire", "response.in_progress")
    page.click("#job .cancel")
    shows(page, "#job .result", "^cancelled")


def test_a_failure_of_a_response_is_shown_with_its_code(page: "Page") -> None:
    page.select_option("#api", "responses")
    page.select_option("#model", "fault-429")

    assert send(page, "synchronous").startswith("429:")
    assert send(page, "job") != "done"
    assert page.get_attribute("#job .status", "class") == "status bad"


def test_what_was_typed_comes_back_letter_by_letter_when_the_api_is_switched_back(
    page: "Page",
) -> None:
    typed = (
        '{"model":  "gpt-4o", "messages": [{"role": "system", "content": "Brief."},\n'
        '{"role": "user", "content": "Why?"}], "max_tokens": 7, "temperature": 0.5}'
    )
    page.fill("#synchronous textarea", typed)
    jobs = page.input_value("#job textarea")
    page.select_option("#api", "responses")
    converted = json.loads(page.input_value("#synchronous textarea"))
    page.select_option("#api", "chat")

    assert converted == {
        "model": "gpt-4o",
        "input": [
            {"role": "system", "content": "Brief."},
            {"role": "user", "content": "Why?"},
        ],
        "max_output_tokens": 7,
        "temperature": 0.5,
    }
    assert page.input_value("#synchronous textarea") == typed
    assert page.input_value("#job textarea") == jobs


def test_what_is_changed_after_the_switch_is_converted_and_not_lost(
    page: "Page",
) -> None:
    page.select_option("#api", "responses")
    page.fill(
        "#synchronous textarea",
        '{"model": "gpt-4o", "instructions": "Brief.", "input": "Owls?", '
        '"max_output_tokens": 9, "text": {"format": {"type": "json_object"}}}',
    )
    page.fill("#streaming textarea", "{'no JSON': 1}")
    page.select_option("#api", "chat")

    assert json.loads(page.input_value("#synchronous textarea")) == {
        "model": "gpt-4o",
        "messages": [
            {"role": "system", "content": "Brief."},
            {"role": "user", "content": "Owls?"},
        ],
        "max_tokens": 9,
        "response_format": {"type": "json_object"},
    }
    assert page.input_value("#streaming textarea") == "{'no JSON': 1}"


def test_a_round_of_tools_survives_both_switches(page: "Page") -> None:
    function = {"name": "f", "parameters": {"type": "object"}}
    called = {
        "id": "c1",
        "type": "function",
        "function": {"name": "f", "arguments": "{}"},
    }
    chat = {
        "model": "gpt-4o",
        "messages": [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": None, "tool_calls": [called]},
            {"role": "tool", "tool_call_id": "c1", "content": "sun"},
        ],
        "tools": [{"type": "function", "function": function}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
    }
    page.fill("#synchronous textarea", json.dumps(chat))
    page.select_option("#api", "responses")
    response = page.input_value("#synchronous textarea")
    page.fill("#synchronous textarea", f"{response} ")  # so that it is converted anew
    page.select_option("#api", "chat")

    assert json.loads(response)["input"] == [
        {"role": "user", "content": "Weather?"},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "sun"},
    ]
    assert json.loads(response)["tools"] == [{"type": "function", **function}]
    assert json.loads(page.input_value("#synchronous textarea")) == chat


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [PROJECTOR, PHONE], ids=["projector", "phone"])
def test_the_page_of_responses_overflows_nowhere_and_axe_finds_nothing(
    browser: "Browser", url: str, size: tuple[int, int], dark: bool
) -> None:
    with opened(browser, url, size=size, dark=dark) as page:
        ready(page)
        page.select_option("#api", "responses")
        page.click("#send-all")
        shows(page, "#verdict", "first word")
        if size == PROJECTOR:
            seen = page.locator("#streaming .result").bounding_box()
            assert seen is not None
            assert seen["y"] + 100 < size[1]

        assert axe_violations(page) == []
        assert overflows(page) == []


def test_a_request_that_is_not_json_is_called_so(page: "Page") -> None:
    page.fill("#synchronous textarea", "{'model': 1}")

    assert send(page, "synchronous").startswith("The request is not JSON:")


def test_a_frame_is_a_short_line_and_its_json_opens_on_a_click(page: "Page") -> None:
    send(page, "streaming")
    frame = page.locator("#streaming .wire details").nth(1)
    assert re.fullmatch('".+"', frame.inner_text())
    frame.locator("summary").click()

    assert '"object": "chat.completion.chunk"' in frame.inner_text()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"


def test_the_newest_line_can_be_read_while_it_streams(page: "Page") -> None:
    page.click("#streaming .send")
    shows(page, "#streaming .result", ".{20}")
    newest = page.evaluate(
        """() => {
          const wire = document.querySelector("#streaming .wire");
          const line = wire.lastElementChild.getBoundingClientRect();
          const style = getComputedStyle(wire.lastElementChild);
          return [line.bottom <= wire.getBoundingClientRect().bottom + 1,
            style.opacity, style.animationName];
        }"""
    )

    assert newest == [True, "1", "none"]


def test_a_stopped_service_is_named_with_its_command_and_found_again(
    browser: "Browser", url: str
) -> None:
    gone = ["net::ERR_CONNECTION_REFUSED"]
    with opened(browser, url, allowed=gone) as page:
        ready(page)
        page.route("**/v1/**", lambda route: route.abort("connectionrefused"))
        page.route("**/health/live", lambda route: route.abort("connectionrefused"))
        page.click("#synchronous .send")
        shows(page, "#stopped", "Start it with: python3 -m course run")
        assert "stopped" in status_of(page, "synchronous")
        page.unroute("**/v1/**")
        page.unroute("**/health/live")
        page.wait_for_selector("#stopped", state="hidden")

        assert send(page, "synchronous").startswith("done in")


def test_a_service_that_shuts_down_is_not_taken_for_one_that_is_back(
    browser: "Browser", url: str
) -> None:
    wrong = ["net::ERR_CONNECTION_REFUSED", "status of 503"]
    with opened(browser, url, allowed=wrong) as page:
        ready(page)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.route("**/v1/**", lambda route: route.abort("connectionrefused"))
        page.route("**/console/about", lambda route: route.fulfill(status=503, json={}))
        page.click("#synchronous .send")
        shows(page, "#stopped", "Start it with: python3 -m course run")
        while sum(it.endswith("/console/about") for it in asked) < 2:
            page.wait_for_event("request")
        assert page.is_visible("#stopped")
        page.unroute("**/v1/**")
        page.unroute("**/console/about")
        page.wait_for_selector("#stopped", state="hidden")

        assert "inbox" not in status_of(page, "webhook")
        assert send(page, "webhook").startswith("done in")


def test_control_and_enter_send_the_request_that_is_written(page: "Page") -> None:
    page.focus("#synchronous textarea")
    page.keyboard.press("Control+Enter")

    shows(page, "#synchronous .status", "^done")


def test_large_text_is_24_pixels_and_is_kept(page: "Page") -> None:
    def size() -> str:
        pixels: str = page.evaluate("getComputedStyle(document.body).fontSize")
        return pixels

    assert size() == "16px"
    page.click("#large")
    assert size() == "24px"
    page.reload()
    ready(page)
    assert size() == "24px"
    assert overflows(page) == []


def test_a_phone_has_one_editor_for_all_four(browser: "Browser", url: str) -> None:
    owls = (
        '{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Owls?"}]}'
    )
    with opened(browser, url, size=PHONE) as page:
        ready(page)
        assert page.is_hidden("#job textarea")
        page.fill("#shared textarea", owls)
        page.click("#send-all")
        shows(page, "#verdict", "first (streamed )?word")

        for panel in ("synchronous", "streaming", "job"):
            assert "Owls" in page.inner_text(f"#{panel} .result")


def test_the_page_has_a_mark_of_its_own(page: "Page", url: str) -> None:
    address = page.get_attribute("link[rel=icon]", "href")

    answer = page.request.get(f"{url}{address}")
    assert answer.headers["content-type"] == "image/svg+xml"
