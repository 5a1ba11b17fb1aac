"""Limits: what one caller sends does not use up the server for all others."""

import asyncio
import json

from course.score.check import Failed, check, expect, refused
from course.score.server import CHAT, Server, status_and_headers

JSON = {"Content-Type": "application/json"}
TEN_GIGABYTES = 10_000_000_000
SOON = 5.0  # seconds; a server that has decided needs none of them
LEVELS = 100_000
OPENAI_CHOICES = 128
LONG = 100_000
SHORT = 16 * 1024
MANY = 1_000


@check()
async def huge_body_is_refused_unread(server: Server) -> None:
    """A body of ten gigabytes is refused when it is announced, and not waited for.

    Source: RFC 9110, section 15.5.14 (413); OWASP API4:2023, "Unrestricted Resource
    Consumption".
    """
    head = server.head("POST", CHAT, {**JSON, "Content-Length": str(TEN_GIGABYTES)})
    try:
        async with asyncio.timeout(SOON):
            status, _ = await server.exchange(head)
    except TimeoutError:
        raise Failed(f"no answer in {SOON:.3g} s: it waits for the body") from None
    expect(400 <= status < 500, f"the status is {status} (413 is expected)")


@check()
async def deep_json_is_refused(server: Server) -> None:
    """JSON of a hundred thousand levels is a bad request, and not a 500.

    Source: RFC 8259, section 9: a parser may limit the depth of nesting.
    """
    deep = b"[" * LEVELS + b"]" * LEVELS
    whole = json.dumps(server.request(messages=None)).encode()
    body = whole.replace(b'"messages": null', b'"messages": ' + deep)
    refused(
        await server.send("POST", CHAT, content=body, headers=JSON), (400, 413, 422)
    )


@check(spends=True)
async def too_many_choices_are_refused(server: Server) -> None:
    """More choices than 128, the most that OpenAI allows, are refused.

    Source: OpenAI API reference, "Create chat completion", `n`.
    """
    body = server.request(n=OPENAI_CHOICES + 1)
    refused(await server.send("POST", CHAT, json=body))


@check()
async def error_is_short(server: Server) -> None:
    """An error is short, however long the mistake or how many there are.

    An answer that repeats what was sent costs the server more than the caller.

    Source: OWASP API4:2023, "Unrestricted Resource Consumption".
    """
    wrong = [{"role": "nobody", "content": number} for number in range(MANY)]
    bodies = {
        "one long mistake": server.request(temperature="x" * LONG),
        f"{MANY} mistakes": server.request(messages=wrong),
    }
    for name, body in bodies.items():
        answer = refused(await server.send("POST", CHAT, json=body))
        size = len(answer.content)
        expect(size <= SHORT, f"{name}: the error has {size} bytes")


@check()
async def half_a_request_holds_up_nobody(server: Server) -> None:
    """A caller who has sent half a request does not hold up the others.

    Source: CWE-400; the attack is known as Slowloris.
    """
    alone, _ = await server.exchange(server.head("GET", "/models"))
    head = server.head("POST", CHAT, {**JSON, "Content-Length": "100"})
    async with server.socket() as (_, slow):
        slow.write(head + b'{"model": ')
        await slow.drain()
        try:
            async with asyncio.timeout(SOON), server.socket() as (reader, writer):
                writer.write(server.head("GET", "/models"))
                status, _ = await status_and_headers(reader)
        except TimeoutError:
            raise Failed(f"GET /models waited for {SOON:.3g} s") from None
    expect(status == alone, f"GET /models answered {status}, and {alone} before")
