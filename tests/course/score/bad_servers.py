"""Bad servers: full_app with one thing broken, one server for each check.

All of them are one ASGI application, which stands before full_app. The first part of a
path names the bad server: `/half_an_error/v1/models` is `/v1/models` of that one.
`/good/v1` breaks nothing.
"""

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from course.score.groups.limits import LONG, TEN_GIGABYTES
from course.score.groups.responses import UNKNOWN
from course.score.groups.safety import REBOUND, WRONG_KEY
from course.score.groups.streams import DONE, LEAVERS, LEAVES_EARLY
from tests.full_app.conftest import KEY

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
GOOD = "good"
SECONDS = 30  # for what surely comes


@dataclass
class Exchange:
    """A request as it came, and the answer to it, which a bad server changes."""

    method: str
    path: str
    request_headers: dict[str, str]
    body: bytes = b""
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes = b""

    @property
    def asked(self) -> dict[str, Any]:
        """The JSON object that was sent; empty if it was none."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def is_whole(self) -> bool:
        """Whether this is a whole answer of the chat route."""
        return self.path == CHAT and self.status == 200 and not self.is_stream

    @property
    def is_stream(self) -> bool:
        """Whether this is a stream of the chat route."""
        streamed = self.headers.get("content-type", "").startswith("text/event-stream")
        return self.path == CHAT and streamed

    @property
    def format(self) -> Any:
        """The type of the `response_format` that was asked for."""
        return (self.asked.get("response_format") or {}).get("type")

    def answer(self, status: int, content: Any) -> None:
        """Answer this JSON instead."""
        self.status = status
        self.headers["content-type"] = "application/json"
        self.content = json.dumps(content).encode()

    def change(self, change: Callable[[Any], None]) -> None:
        """Let `change` work on the JSON of the answer."""
        value = json.loads(self.content)
        change(value)
        self.content = json.dumps(value).encode()

    def change_events(self, change: Callable[[list[Any]], None]) -> None:
        """Let `change` work on the events of the stream; `[DONE]` stays the last."""
        frames = self.content.decode().strip().split("\n\n")
        data = [frame.partition("data: ")[2] for frame in frames]
        events = [json.loads(each) for each in data if each != DONE]
        change(events)
        texts = [*map(json.dumps, events), DONE]
        self.content = "".join(f"data: {each}\n\n" for each in texts).encode()


Before = Callable[[dict[str, str]], None]  # works on the headers of the request
After = Callable[[Exchange], None]


class Instead(Protocol):
    """Answers in place of the server `app`, or lets it answer."""

    async def __call__(
        self, app: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None: ...


@dataclass(frozen=True)
class Bad:
    """A server that breaks one check; `keyed`: it is a server with API keys."""

    check: str
    name: str
    after: After | None = None
    before: Before | None = None
    instead: Instead | None = None
    keyed: bool = False


BAD: dict[str, Bad] = {}


def breaks(
    check: str, *, before: Before | None = None, keyed: bool = False
) -> Callable[[After], After]:
    """Register a function that spoils the answers of a server."""

    def register(after: After) -> After:
        name = after.__name__
        BAD[name] = Bad(check, name, after=after, before=before, keyed=keyed)
        return after

    return register


def breaks_instead(check: str) -> Callable[[type[Instead]], type[Instead]]:
    """Register a class whose object answers in place of the server."""

    def register(instead: type[Instead]) -> type[Instead]:
        name = instead.__name__
        BAD[name] = Bad(check, name, instead=instead())
        return instead

    return register


def bad_servers(app: ASGIApp) -> ASGIApp:
    """Every bad server of `BAD`, before `app`."""

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        name, _, rest = scope["path"].removeprefix("/").partition("/")
        inner = {**scope, "path": f"/{rest}", "raw_path": f"/{rest}".encode()}
        bad = BAD.get(name)
        if bad is None:
            await app(inner, receive, send)
        elif bad.instead:
            await bad.instead(app, inner, receive, send)
        else:
            await spoiled(bad, app, inner, receive, send)

    return dispatch


async def spoiled(
    bad: Bad, app: ASGIApp, scope: Scope, receive: Receive, send: Send
) -> None:
    """Pass a request on, and let the bad server change the whole answer."""
    headers = text_headers(scope["headers"])
    if bad.before:
        changed = dict(headers)
        bad.before(changed)
        scope = {**scope, "headers": byte_headers(changed)}
    it = Exchange(scope["method"], scope["path"], headers)

    async def watched() -> Message:
        message = await receive()
        it.body += message.get("body", b"")
        return message

    async def collected(message: Message) -> None:
        if message["type"] == "http.response.start":
            it.status = message["status"]
            it.headers = text_headers(message["headers"])
            return
        it.content += message.get("body", b"")
        if not message.get("more_body", False):
            if bad.after:
                bad.after(it)
            await sent(it, send)

    await app(scope, watched, collected)


async def sent(it: Exchange, send: Send) -> None:
    """Send the answer of an exchange."""
    if "content-length" in it.headers and it.method != "HEAD":
        it.headers["content-length"] = str(len(it.content))
    headers = byte_headers(it.headers)
    await send({"type": "http.response.start", "status": it.status, "headers": headers})
    await send({"type": "http.response.body", "body": it.content})


def text_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers as texts, by their names in small letters."""
    return {name.decode().lower(): value.decode("latin-1") for name, value in headers}


def byte_headers(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    """Headers as ASGI has them."""
    return [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]


def completion(text: str = "Hello.") -> dict[str, Any]:
    """An answer of a server that has accepted what it ought to refuse."""
    message = {"role": "assistant", "content": text}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


def say(it: Exchange, text: str) -> None:
    """Put another text into a whole answer."""

    def change(answer: Any) -> None:
        answer["choices"][0]["message"]["content"] = text

    it.change(change)


# --- chat ---


@breaks("models_are_listed")
def models_without_ids(it: Exchange) -> None:
    def change(answer: Any) -> None:
        for model in answer["data"]:
            model.pop("id")

    if it.path == "/v1/models" and it.status == 200:
        it.change(change)


@breaks("whole_answer")
def object_of_another_name(it: Exchange) -> None:
    if it.is_whole:
        it.change(lambda answer: answer.update(object="text_completion"))


@breaks("usage_adds_up")
def total_that_is_no_sum(it: Exchange) -> None:
    if it.is_whole:
        it.change(lambda answer: answer["usage"].update(total_tokens=1_000_000))


@breaks("max_tokens_is_kept")
def cut_and_called_whole(it: Exchange) -> None:
    if it.is_whole and b'"length"' in it.content:
        it.change(lambda answer: answer["choices"][0].update(finish_reason="stop"))


@breaks("stop_text_is_kept")
def stop_is_ignored(it: Exchange) -> None:
    if it.is_whole and "stop" in it.asked:
        say(it, "Trees are green.")


@breaks("own_message_comes_back")
def own_fields_are_unknown(it: Exchange) -> None:
    if any("refusal" in each for each in dicts(it.asked.get("messages"))):
        it.answer(
            400, {"error": {"message": "refusal: Extra inputs are not permitted"}}
        )


def dicts(value: Any) -> list[dict[str, Any]]:
    """The objects of a JSON array, or none."""
    return [each for each in value or [] if isinstance(each, dict)]


# --- streams ---


@breaks("refused_stream_has_its_status")
def refusal_inside_of_a_stream(it: Exchange) -> None:
    if it.path == CHAT and it.status == 400 and it.asked.get("stream"):
        it.status = 200
        it.headers["content-type"] = "text/event-stream"
        it.content = b"data: " + it.content + b"\n\n"


@breaks("events_are_json")
def stream_called_plain_text(it: Exchange) -> None:
    if it.is_stream:
        it.headers["content-type"] = "text/plain"


@breaks("done_comes_last")
def stream_without_done(it: Exchange) -> None:
    if it.is_stream:
        it.content = it.content.replace(b"data: [DONE]\n\n", b"")


@breaks("role_comes_first")
def stream_without_a_role(it: Exchange) -> None:
    def change(events: list[Any]) -> None:
        for choice in choices_of(events):
            choice["delta"].pop("role", None)

    if it.is_stream:
        it.change_events(change)


@breaks("finish_reason_comes_once")
def every_piece_is_the_last(it: Exchange) -> None:
    def change(events: list[Any]) -> None:
        for choice in choices_of(events):
            choice["finish_reason"] = "stop"

    if it.is_stream:
        it.change_events(change)


@breaks("chunks_name_one_answer")
def every_piece_has_another_id(it: Exchange) -> None:
    def change(events: list[Any]) -> None:
        for number, event in enumerate(events):
            event["id"] = f"chatcmpl-{number}"

    if it.is_stream:
        it.change_events(change)


@breaks("usage_comes_last_if_asked_for")
def usage_for_everybody(it: Exchange) -> None:
    def change(events: list[Any]) -> None:
        events[-1]["usage"] = completion()["usage"]

    if it.is_stream:
        it.change_events(change)


def choices_of(events: list[Any]) -> list[Any]:
    """The choices of all events of a stream."""
    return [choice for event in events for choice in event["choices"]]


@breaks_instead("leavers_disturb_nobody")
class LeaversBreakIt:
    """Serves a request for models badly, once after callers have left streams."""

    def __init__(self) -> None:
        self.came = 0
        self.left = 0
        self.all_left = asyncio.Event()

    async def __call__(
        self, app: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if scope["path"] == "/v1/models" and self.came == LEAVERS:
            await asyncio.wait_for(self.all_left.wait(), SECONDS)
            self.came = 0
            it = Exchange("GET", scope["path"], {})
            it.answer(500, {"error": {"message": "There are no streams left."}})
            await sent(it, send)
        elif scope["path"] == CHAT and is_small(scope):
            message = await receive()
            if LEAVES_EARLY.encode() in message.get("body", b""):
                await self.until_left(receive, send)
            else:
                await app(scope, again(message, receive), send)
        else:
            await app(scope, receive, send)

    async def until_left(self, receive: Receive, send: Send) -> None:
        """Stream one event, and then nothing, until the caller is gone."""
        self.came += 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        body = {"type": "http.response.body", "body": b"data: {}\n\n"}
        await send({**body, "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left += 1
        if self.left == LEAVERS:
            self.all_left.set()


def is_small(scope: Scope) -> bool:
    """Whether the body of a request comes in one message."""
    return int(text_headers(scope["headers"]).get("content-length", "0")) < 10_000


def again(message: Message, receive: Receive) -> Receive:
    """`receive`, which gives `message` first."""
    first = [message]

    async def received() -> Message:
        return first.pop() if first else await receive()

    return received


# --- tools ---


@breaks("choice_of_an_unknown_tool_is_refused")
def any_tool_may_be_chosen(it: Exchange) -> None:
    if isinstance(it.asked.get("tool_choice"), dict) and it.status == 400:
        it.answer(200, completion())


@breaks("required_tool_is_called")
def arguments_that_do_not_fit(it: Exchange) -> None:
    def change(answer: Any) -> None:
        answer["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] = "{}"

    if it.is_whole and it.asked.get("tool_choice") == "required":
        it.change(change)


@breaks("named_tool_is_called")
def another_tool_is_called(it: Exchange) -> None:
    if it.is_whole:
        it.content = it.content.replace(b"get_time", b"get_weather")


@breaks("result_goes_back")
def results_are_refused(it: Exchange) -> None:
    if any(each.get("role") == "tool" for each in dicts(it.asked.get("messages"))):
        it.answer(400, {"error": {"message": "messages[2].role: unknown"}})


@breaks("streamed_call_can_be_put_together")
def streamed_call_without_a_type(it: Exchange) -> None:
    def change(events: list[Any]) -> None:
        for choice in choices_of(events):
            for call in choice["delta"].get("tool_calls") or []:
                call.pop("type", None)

    if it.is_stream:
        it.change_events(change)


# --- schemas ---


@breaks("unknown_format_is_refused")
def any_format_will_do(it: Exchange) -> None:
    if it.format == "yaml":
        it.answer(200, completion())


@breaks("format_without_a_schema_is_refused")
def schemas_are_optional(it: Exchange) -> None:
    if it.format == "json_schema" and it.status == 400:
        it.answer(200, completion())


@breaks("json_mode_answers_json")
def json_mode_is_ignored(it: Exchange) -> None:
    if it.format == "json_object":
        say(it, "In Paris, France.")


@breaks("parse_returns_the_class")
def schema_is_ignored(it: Exchange) -> None:
    if it.is_whole and it.format == "json_schema":
        say(it, '{"city": "Paris"}')


@breaks("streamed_json_fits")
def streamed_json_is_cut(it: Exchange) -> None:
    def change(events: list[Any]) -> None:
        for choice in choices_of(events)[3:]:
            choice["delta"].pop("content", None)

    if it.is_stream and it.format == "json_schema":
        it.change_events(change)


# --- errors ---


@breaks("error_is_an_object")
def half_an_error(it: Exchange) -> None:
    if it.path == CHAT and it.asked and "messages" not in it.asked:
        it.answer(400, {"error": "messages is missing", "code": "bad_request"})


@breaks("wrong_value_is_named")
def error_that_names_no_field(it: Exchange) -> None:
    if it.asked.get("temperature") == 9 and it.status == 400:
        it.change(lambda answer: answer["error"].update(param=None))


@breaks("unknown_field_is_refused")
def unknown_fields_are_ignored(it: Exchange) -> None:
    if "temprature" in it.asked:
        it.answer(200, completion())


@breaks("what_is_no_json_is_a_bad_request")
def nan_is_a_bug(it: Exchange) -> None:
    if b"NaN" in it.body:
        it.answer(500, {"error": {"message": "Internal Server Error"}})


@breaks("unknown_model_is_not_found")
def code_that_is_only_the_status(it: Exchange) -> None:
    if it.asked.get("model") == "no-such-model":
        it.change(lambda answer: answer["error"].update(code="404"))


@breaks("unknown_path_is_not_found")
def not_found_without_json(it: Exchange) -> None:
    if it.path == "/v1/no-such-path":
        it.headers["content-type"] = "text/plain"
        it.content = b"Not Found"


@breaks("wrong_method_is_answered_with_the_right_one")
def not_allowed_and_no_word_of_what_is(it: Exchange) -> None:
    it.headers.pop("allow", None)


@breaks("every_answer_has_a_request_id")
def errors_without_an_id(it: Exchange) -> None:
    if it.status >= 400:
        it.headers.pop("x-request-id", None)


@breaks("errors_show_nothing_of_the_inside")
def text_of_a_python_exception(it: Exchange) -> None:
    message = "'int' object has no attribute 'get'"
    if it.asked.get("messages") == [None]:
        it.change(lambda answer: answer["error"].update(message=message))


# --- limits ---


@breaks_instead("huge_body_is_refused_unread")
class HugeBodiesAreWelcome:
    """Accepts ten gigabytes. It does so at once: who waits is another test's."""

    async def __call__(
        self, app: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        length = text_headers(scope["headers"]).get("content-length")
        if length != str(TEN_GIGABYTES):
            await app(scope, receive, send)
            return
        it = Exchange("POST", scope["path"], {})
        it.answer(200, completion())
        await sent(it, send)


@breaks("deep_json_is_refused")
def recursion_error(it: Exchange) -> None:
    if b"[[[[[" in it.body:
        it.answer(500, {"error": {"message": "maximum recursion depth exceeded"}})


@breaks("too_many_choices_are_refused")
def any_number_of_choices(it: Exchange) -> None:
    if it.asked.get("n"):
        it.answer(200, completion())


@breaks("error_is_short")
def error_repeats_what_was_sent(it: Exchange) -> None:
    sent_text = it.asked.get("temperature")
    if isinstance(sent_text, str) and len(sent_text) == LONG:
        it.change(lambda answer: answer["error"].update(message=sent_text))


@breaks_instead("half_a_request_holds_up_nobody")
class OneRequestAtATime:
    """Turns away a request on a socket while the body of another one is awaited."""

    def __init__(self) -> None:
        self.has_half = asyncio.Event()
        self.was_asked = False

    async def __call__(
        self, app: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        async def watched() -> Message:
            message = await receive()
            if message.get("more_body"):
                self.has_half.set()
            else:
                self.has_half.clear()
            return message

        headers = text_headers(scope["headers"])
        on_socket = "user-agent" not in headers and headers["host"] != REBOUND
        if scope["path"] != "/v1/models" or not on_socket:
            await app(scope, watched, send)
            return
        if not self.was_asked:  # what the check asks before, to compare
            self.was_asked = True
            await app(scope, receive, send)
            return
        self.was_asked = False
        await asyncio.wait_for(self.has_half.wait(), SECONDS)
        it = Exchange("GET", scope["path"], {})
        it.answer(503, {"error": {"message": "The server is busy."}})
        await sent(it, send)


# --- responses ---


@breaks("unknown_previous_response_is_refused")
def previous_response_is_ignored(it: Exchange) -> None:
    if "previous_response_id" in it.asked:
        it.answer(200, {"object": "response"})


@breaks("unknown_response_is_not_found")
def not_found_with_a_detail(it: Exchange) -> None:
    if it.path == f"{RESPONSES}/{UNKNOWN}":
        it.answer(404, {"detail": "Not Found"})


@breaks("whole_response")
def response_whose_usage_does_not_add_up(it: Exchange) -> None:
    is_whole = it.path == RESPONSES and not it.asked.get("stream")
    if is_whole and it.status == 200:
        it.change(lambda answer: answer["usage"].update(total_tokens=1_000_000))


@breaks("response_events_are_in_order")
def events_without_numbers(it: Exchange) -> None:
    def change(events: list[Any]) -> None:
        for event in events:
            event["sequence_number"] = 0

    if it.path == RESPONSES and it.asked.get("stream"):
        it.change_events(change)


@breaks("response_calls_a_tool")
def call_without_a_call_id(it: Exchange) -> None:
    def change(answer: Any) -> None:
        for item in answer["output"]:
            item.pop("call_id", None)

    if it.path == RESPONSES and it.status == 200 and "tools" in it.asked:
        it.change(change)


@breaks_instead("stored_response_is_found_until_deleted")
class NothingIsDeleted:
    """Says that a response is deleted, and keeps it."""

    async def __call__(
        self, app: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if scope["method"] != "DELETE":
            await app(scope, receive, send)
            return
        it = Exchange("DELETE", scope["path"], {})
        it.answer(200, {"object": "response", "deleted": True})
        await sent(it, send)


# --- safety of a local server ---


def without_origin(headers: dict[str, str]) -> None:
    """Hide from the server which page it was."""
    if headers.get("content-type") != "text/plain":
        headers.pop("origin", None)


@breaks("foreign_page_may_not_read", before=without_origin)
def every_page_may_read(it: Exchange) -> None:
    it.headers["access-control-allow-origin"] = "*"


def plain_text_is_json(headers: dict[str, str]) -> None:
    """Take plain text of any page for JSON."""
    if headers.get("content-type") == "text/plain":
        headers["content-type"] = "application/json"
        headers.pop("origin", None)


@breaks("foreign_page_may_not_write", before=plain_text_is_json)
def every_page_may_write(it: Exchange) -> None:
    """Only the request is changed."""


def host_is_ours(headers: dict[str, str]) -> None:
    """Take every host for this machine."""
    if headers.get("host") == REBOUND:
        headers["host"] = "localhost"


@breaks("other_host_is_refused", before=host_is_ours)
def every_host_is_served(it: Exchange) -> None:
    """Only the request is changed."""


@breaks("no_route_answers_without_a_key", keyed=True)
def one_route_is_forgotten(it: Exchange) -> None:
    if it.path == "/v1/embeddings" and it.status == 401:
        it.answer(200, {"object": "list", "data": []})


@breaks("wrong_key_is_refused", keyed=True)
def wrong_key_is_repeated(it: Exchange) -> None:
    def change(answer: Any) -> None:
        answer["error"]["message"] = f"{WRONG_KEY} is no key, {KEY[:3]}... is."

    if it.status == 401 and WRONG_KEY in it.request_headers.get("authorization", ""):
        it.change(change)


@breaks("refusal_names_the_scheme", keyed=True)
def refusal_without_a_scheme(it: Exchange) -> None:
    it.headers.pop("www-authenticate", None)
