"""Errors: each says what is wrong, in the one shape that clients read."""

import json
from typing import Any

from course.score.check import Failed, check, described, error_of, expect, refused
from course.score.server import CHAT, Server

JSON = {"Content-Type": "application/json"}
# What only the author of a server is to read: frames of a traceback, in Python and in
# JavaScript, and texts of Python's own exceptions.
INSIDE = (
    "Traceback (most recent call last)",
    'File "/',
    "site-packages",
    "node_modules",
    "    at ",
    "object has no attribute",
    "is not subscriptable",
    "is not a function",
    "Cannot read properties of",
    "unexpected keyword argument",
)


@check()
async def error_is_an_object(server: Server) -> None:
    """An error is JSON with an object `error`, which has message, type, param and code.

    The official client takes its exception's text and code from there.

    Source: OpenAI API reference, "Errors"; openai-python, `APIError`.
    """
    body = server.request()
    del body["messages"]
    answer = refused(await server.send("POST", CHAT, json=body))
    error = error_of(answer)
    missing = {"message", "type", "param", "code"} - error.keys()
    expect(not missing, f"`error` has no {', '.join(sorted(missing))}: {error!r:.120}")
    message = error["message"]
    expect(isinstance(message, str) and bool(message), f"`message` is {message!r}")
    content_type = answer.headers.get("content-type", "")
    expect("json" in content_type, f"`Content-Type` is {content_type!r}")


@check()
async def wrong_value_is_named(server: Server) -> None:
    """An error about a value says in `param` which field it is about.

    Source: OpenAI API reference, "Errors", `param`.
    """
    answer = await server.send("POST", CHAT, json=server.request(temperature=9))
    error = error_of(refused(answer))
    expect("temperature" in str(error.get("param")), f"`error` is {error!r:.160}")


@check()
async def unknown_field_is_refused(server: Server) -> None:
    """A field that does not exist is refused by name: a typing error is noticed.

    Source: OpenAI guide "Error codes": `unknown_parameter`.
    """
    answer = await server.send("POST", CHAT, json=server.request(temprature=0))
    error = error_of(refused(answer))
    named = f"{error.get('param')} {error.get('message')}"
    expect("temprature" in named, f"`error` does not name it: {error!r:.120}")


@check()
async def what_is_no_json_is_a_bad_request(server: Server) -> None:
    """Broken JSON, and numbers and letters that no JSON has, are never a 500.

    Source: RFC 8259, sections 6 and 8.2; RFC 9110, section 15.5.1.
    """
    bodies = {
        "half a body": b'{"model": "m", "messages": [',
        "NaN": _with(server, b'"temperature": NaN'),
        "1e999": _with(server, b'"temperature": 1e999'),
        "half a surrogate": _with(server, b'"temperature": "\\ud800"'),
    }
    for name, body in bodies.items():
        answer = await server.send("POST", CHAT, content=body, headers=JSON)
        try:
            refused(answer)
        except Failed as failure:
            raise Failed(f"{name}: {failure}") from failure


@check()
async def unknown_model_is_not_found(server: Server) -> None:
    """A model that does not exist is a 404 with the code model_not_found.

    Source: OpenAI guide "Error codes": `model_not_found`.
    """
    body = server.request(model="no-such-model")
    answer = await server.send("POST", CHAT, json=body)
    error = error_of(answer)
    expect(answer.status_code == 404, f"{described(answer)} (404 is expected)")
    code = error.get("code")
    expect(code == "model_not_found", f"`code` is {code!r}: {described(answer)}")


@check()
async def unknown_path_is_not_found(server: Server) -> None:
    """A path that does not exist is a 404, with an error of the same shape.

    Source: RFC 9110, section 15.5.5; OpenAI API reference, "Errors".
    """
    answer = await server.send("GET", "/no-such-path")
    expect(answer.status_code == 404, f"{described(answer)} (404 is expected)")
    message = error_of(answer).get("message")
    expect(isinstance(message, str), f"`message` is missing: {described(answer)}")


@check()
async def wrong_method_is_answered_with_the_right_one(server: Server) -> None:
    """A wrong method is a 405 that names the right one in `Allow`.

    Source: RFC 9110, section 15.5.6.
    """
    answer = await server.send("GET", CHAT)
    expect(answer.status_code == 405, f"{described(answer)} (405 is expected)")
    allowed = answer.headers.get("allow", "")
    expect("POST" in allowed, f"`Allow` is {allowed!r}, and POST is served")


@check()
async def every_answer_has_a_request_id(server: Server) -> None:
    """Each answer has an id of its own in `x-request-id`, errors too.

    Source: OpenAI API reference, "Debugging requests".
    """
    bad = server.request(messages="none")
    answers = [
        await server.send("GET", "/models"),
        await server.send("POST", CHAT, json=bad),
        await server.send("GET", "/no-such-path"),
    ]
    ids = [answer.headers.get("x-request-id") for answer in answers]
    for answer, given in zip(answers, ids, strict=True):
        path = answer.request.url.path
        expect(bool(given), f"{path} answered {answer.status_code} without one")
    expect(len(set(ids)) == len(ids), f"two answers have the same: {ids}")


@check()
async def errors_show_nothing_of_the_inside(server: Server) -> None:
    """An error shows no traceback, no path of a file, and no exception of the language.

    Source: OWASP, "Improper Error Handling"; CWE-209.
    """
    odd: list[Any] = [
        [],
        7,
        server.request(messages="none"),
        server.request(messages=[None]),
        server.request(messages=[{"role": "user", "content": 7}]),
        server.request(model={}),
        server.request(max_tokens="one"),
    ]
    for body in odd:
        answer = await server.send("POST", CHAT, json=body)
        shown = [words for words in INSIDE if words in answer.text]
        sent = json.dumps(body)
        expect(not shown, f"{sent:.80} was answered with {shown}: {answer.text:.80}")


def _with(server: Server, field: bytes) -> bytes:
    """A chat request with one more field, which `json.dumps` would not write."""
    whole = json.dumps(server.request()).encode()
    return whole.removesuffix(b"}") + b", " + field + b"}"
