"""Streams: what stands on the wire, and what the official client reads from it."""

import json
from typing import Any

from openai.types.chat import ChatCompletionChunk

from course.score.check import check, expect, refused
from course.score.groups.chat import ASK
from course.score.server import CHAT, Server, status_and_headers

DONE = "[DONE]"
LEAVERS = 2
LEAVES_EARLY = "Count to a hundred in words."


@check()
async def refused_stream_has_its_status(server: Server) -> None:
    """A stream that is refused before its first byte has the status of an error.

    A client that reads status 200 takes the answer for a stream, and misses the error.

    Source: RFC 9110, section 15.5; OpenAI guide "Error codes".
    """
    body = {**server.request(stream=True), "messages": "none"}
    refused(await server.send("POST", CHAT, json=body))


@check(spends=True)
async def events_are_json(server: Server) -> None:
    """A stream is `text/event-stream`, and each event but the last is a JSON object.

    Source: WHATWG HTML, "Server-sent events"; OpenAI API reference, "Streaming".
    """
    content_type, events = await raw_stream(server)
    expect(
        content_type.partition(";")[0].strip() == "text/event-stream",
        f"`Content-Type` is {content_type!r}",
    )
    expect(bool(events), "the stream has no event with `data:`")
    for event in events:
        if event.strip() == DONE:
            continue
        try:
            value = json.loads(event)
        except ValueError:
            value = None
        expect(isinstance(value, dict), f"an event is no JSON object: {event!r:.120}")


@check(spends=True)
async def done_comes_last(server: Server) -> None:
    """The last event of a stream is `[DONE]`, it comes once, and then the stream ends.

    Without it a stream that was cut looks like one that is complete.

    Source: OpenAI API reference, "Create chat completion", `stream`.
    """
    _, events = await raw_stream(server)
    times = sum(event.strip() == DONE for event in events)
    last = events[-1] if events else "(none)"
    expect(last.strip() == DONE, f"the last event is {last!r:.120}")
    expect(times == 1, f"`[DONE]` came {times} times")


@check(spends=True)
async def role_comes_first(server: Server) -> None:
    """The first piece of an answer says that the role is assistant.

    Source: OpenAI API reference, "The chat completion chunk object".
    """
    deltas = [each.choices[0].delta for each in await chunks(server) if each.choices]
    role = deltas[0].role if deltas else None
    expect(role == "assistant", f"the role of the first piece is {role!r}")


@check(spends=True)
async def finish_reason_comes_once(server: Server) -> None:
    """One piece of an answer has a `finish_reason`, and no text comes after it.

    Source: OpenAI API reference, "The chat completion chunk object".
    """
    choices = [each.choices[0] for each in await chunks(server) if each.choices]
    at = [n for n, choice in enumerate(choices) if choice.finish_reason is not None]
    expect(len(at) == 1, f"{len(at)} pieces have a `finish_reason`")
    late = [choice.delta.content for choice in choices[at[0] + 1 :]]
    expect(not any(late), f"after the `finish_reason` came {late!r:.120}")


@check(spends=True)
async def chunks_name_one_answer(server: Server) -> None:
    """All pieces of an answer have the same id and model, and are chunks by name.

    The helper `.stream()` of the official client skips what is not named so.

    Source: OpenAI API reference, "The chat completion chunk object", `id` and
    `object`.
    """
    listed = await chunks(server)
    for name in ("id", "model"):
        values = {getattr(each, name) for each in listed}
        expect(len(values) == 1, f"`{name}` has several values: {sorted(values)}")
    kinds = {each.object for each in listed}
    expect(kinds == {"chat.completion.chunk"}, f"`object` is {sorted(kinds)}")


@check(spends=True)
async def usage_comes_last_if_asked_for(server: Server) -> None:
    """The usage of a stream comes once, at its end, and only for who asks for it.

    Source: OpenAI API reference, "Create chat completion",
    `stream_options.include_usage`.
    """
    silent = await chunks(server)
    counted = await chunks(server, stream_options={"include_usage": True})
    expect(
        not any(each.usage for each in silent), "it comes though nobody asked for it"
    )
    times = sum(each.usage is not None for each in counted)
    expect(times == 1, f"it was asked for, and came {times} times")
    last = counted[-1]
    expect(last.usage is not None, "it is not in the last piece")
    expect(last.choices == [], f"its piece has choices: {last.choices!r:.120}")


@check(spends=True)
async def leavers_disturb_nobody(server: Server) -> None:
    """Callers who leave in the middle of a stream do not disturb the next one.

    Source: RFC 9112, section 9.6: a connection may be closed at any time.
    """
    before = await server.send("GET", "/models")
    question = {"role": "user", "content": LEAVES_EARLY}
    body = json.dumps(server.request(messages=[question], max_tokens=64, stream=True))
    for _ in range(LEAVERS):
        async with server.socket() as (reader, writer):
            headers = {
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
            }
            writer.write(server.head("POST", CHAT, headers) + body.encode())
            status, _ = await status_and_headers(reader)
            expect(status == 200, f"a stream was answered with status {status}")
            await reader.read(1)  # then leave, without a word
    after = await server.send("GET", "/models")
    expect(
        after.status_code == before.status_code,
        f"GET /models answers {after.status_code}, and {before.status_code} before",
    )


async def raw_stream(server: Server) -> tuple[str, list[str]]:
    """The `Content-Type` of a stream, and the data of its events, to its very end."""
    body = server.request(max_tokens=16, stream=True)
    async with server.streaming(CHAT, body) as answer:
        await answer.aread()
    refused(answer, (200,))
    return answer.headers.get("content-type", ""), data_of(answer.text)


def data_of(stream: str) -> list[str]:
    """The data of each event; comments and other fields are left out.

    Source: WHATWG HTML, "Interpreting an event stream".
    """
    events = []
    data: list[str] = []
    lines = stream.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for line in [*lines, ""]:
        field, _, value = line.partition(":")
        if field == "data":
            data.append(value.removeprefix(" "))
        if not line and data:
            events.append("\n".join(data))
            data = []
    return events


async def chunks(server: Server, **changes: Any) -> list[ChatCompletionChunk]:
    """All pieces of a short answer, as the official client reads them."""
    asked = {"model": server.model, "messages": ASK, "max_tokens": 16, **changes}
    stream = await server.client.chat.completions.create(stream=True, **asked)
    return [each async for each in stream]
