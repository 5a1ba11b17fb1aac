"""Safety of a local server: whom it lets in besides the programs of its owner.

Every web page in the owner's browser can send requests to a server on this machine. The
browser says in `Origin` which page it is, and reads an answer to the page only if the
server allows that in `Access-Control-Allow-Origin` (WHATWG Fetch). The first three
checks send what a page can send: never a key.
"""

import json

from course.score.check import check, described, expect, quoted
from course.score.server import CHAT, Server

PAGE = "https://page.example"
REBOUND = "rebound.example"
WRONG_KEY = "sk-this-key-is-wrong-0000"


@check(only_local=True)
async def foreign_page_may_not_read(server: Server) -> None:
    """A web page of another origin may neither read an answer nor send JSON.

    Source: WHATWG Fetch, "CORS protocol"; OWASP, "CORS OriginHeaderScrutiny".
    """
    origin = {"Origin": PAGE}
    answer = await server.send("GET", "/models", headers=origin, with_key=False)
    if server.key and answer.is_error:
        return  # the page has no key, so it gets nothing
    allowed = answer.headers.get("access-control-allow-origin")
    expect(allowed not in ("*", PAGE), f"GET /models allows the origin {allowed!r}")
    preflight = {
        **origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    answer = await server.send("OPTIONS", CHAT, headers=preflight, with_key=False)
    allowed = answer.headers.get("access-control-allow-origin")
    expect(allowed not in ("*", PAGE), f"OPTIONS {CHAT} allows the origin {allowed!r}")


@check(only_local=True)
async def foreign_page_may_not_write(server: Server) -> None:
    """A web page of another origin cannot have JSON read that it calls plain text.

    A browser asks nobody before it sends plain text. The request has a wrong
    temperature: a server that complains about it has read the body.

    Source: WHATWG Fetch, "CORS-safelisted request-header"; OWASP, "Cross-Site Request
    Forgery Prevention".
    """
    body = json.dumps(server.request(temperature=9))
    answer = await server.send(
        "POST",
        CHAT,
        content=body.encode(),
        headers={"Origin": PAGE, "Content-Type": "text/plain"},
        with_key=False,
    )
    expect(answer.status_code >= 400, f"it is answered: {described(answer)}")
    repeated = json.dumps(body)[1:-1]  # as it stands in an answer that is JSON
    expect(
        "temperature" not in answer.text.replace(repeated, ""),
        f"the body was read before it was refused: {quoted(answer)}",
    )


@check(only_local=True)
async def other_host_is_refused(server: Server) -> None:
    """A request for another host is refused, so that no foreign name leads here.

    The owner of a name can let it point to this machine. His page is then of the same
    origin as the server, and only the header `Host` tells.

    Source: RFC 9110, sections 7.4 and 17.1; the attack is known as DNS rebinding.
    """
    head = server.head("GET", "/models", {"Host": REBOUND}, with_key=False)
    status, _ = await server.exchange(head)
    expect(
        status >= 400,
        f"GET /models for the host {REBOUND} answers {status} (421 or 403 is expected)",
    )


@check(needs_key=True)
async def no_route_answers_without_a_key(server: Server) -> None:
    """Without a key every route says 401 before it looks at the request.

    Source: RFC 9110, section 15.5.2; OWASP API2:2023, "Broken Authentication".
    """
    routes = [
        ("GET", "/models", ()),
        ("POST", CHAT, ()),
        ("POST", "/responses", (404, 405, 501)),
        ("POST", "/embeddings", (404, 405, 501)),
    ]
    for method, path, absent in routes:
        body: dict[str, str] | None = {} if method == "POST" else None
        answer = await server.send(method, path, json=body, with_key=False)
        expect(
            answer.status_code in (401, *absent),
            f"{described(answer)} (401 is expected)",
        )


@check(needs_key=True)
async def wrong_key_is_refused(server: Server) -> None:
    """A wrong key is a 401, and the answer does not repeat it.

    Source: OpenAI guide "Error codes": `invalid_api_key`; CWE-532.
    """
    headers = {"Authorization": f"Bearer {WRONG_KEY}"}
    answer = await server.send("GET", "/models", headers=headers, with_key=False)
    expect(answer.status_code == 401, f"{described(answer)} (401 is expected)")
    expect(WRONG_KEY not in answer.text, f"it repeats the key: {quoted(answer)}")


@check(needs_key=True)
async def refusal_names_the_scheme(server: Server) -> None:
    """A 401 says in `WWW-Authenticate` how to send a key.

    Source: RFC 9110, sections 11.6.1 and 15.5.2.
    """
    answer = await server.send("GET", "/models", with_key=False)
    expect(answer.status_code == 401, f"{described(answer)} (401 is expected)")
    scheme = answer.headers.get("www-authenticate", "")
    expect(scheme != "", "`WWW-Authenticate` is missing")
