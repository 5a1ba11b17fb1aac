"""`/` of a section or a step: a small page that says what is served here.

A section has no route for `/`, and a student opens its address first. So `course run`
shows the routes there, and the lines to try, instead of a 404.
"""

import html

from fastapi import FastAPI
from fastapi.routing import APIRoute, APIWebSocketRoute

from course import tokens

STYLE = """
body { margin: 0 auto; max-width: 52rem; padding: 1.5rem clamp(1rem, 4vw, 2rem);
  font: 1.05rem/1.55 var(--text); color: var(--ink); background: var(--paper); }
h1 { margin: 0 0 .5rem; font-size: 1.8rem; line-height: 1.2; }
h2 { margin: 1.6rem 0 .4rem; font-size: 1.15rem; }
a { color: var(--accent); }
li { margin: .25rem 0; }
code, pre { font: .9rem/1.5 var(--code); }
pre { padding: .8rem; overflow-x: auto; background: var(--panel);
  border-radius: var(--radius); }
.start { display: inline-block; padding: .5rem 1rem; border-radius: var(--radius);
  background: var(--accent); color: var(--on-accent); font-weight: 600;
  text-decoration: none; }
"""


def has_front_page(app: FastAPI) -> bool:
    """Whether `app` answers `GET /` itself."""
    return any(
        route.path == "/" and "GET" in (route.methods or ())
        for route in app.routes
        if isinstance(route, APIRoute)
    )


def front_page(app: FastAPI, about: str, lines: list[str]) -> str:
    """HTML of the page: `about` is a sentence or two, `lines` what to try."""
    title = html.escape(app.title)
    routes = "\n".join(f"<li>{row}</li>" for row in rows(app))
    look = tokens.TOKENS.read_text(encoding="utf-8")
    to_try = html.escape("\n".join(lines))
    trial = f'<h2>Try it</h2>\n<pre tabindex="0">{to_try}</pre>' if lines else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="{tokens.icon()}">
<style>
{look}{STYLE}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p>{html.escape(about)}</p>
<p><a class="start" href="/docs">Send requests to it at /docs</a></p>
<h2>Its routes</h2>
<ul>
{routes}
</ul>
{trial}
</main>
</body>
</html>
"""


def rows(app: FastAPI) -> list[str]:
    """One line of HTML for each route: its method, its path and its first sentence."""
    listed = []
    for route in app.routes:
        if isinstance(route, APIWebSocketRoute):
            method = "WebSocket"
            purpose = route.endpoint.__doc__
        elif isinstance(route, APIRoute) and route.include_in_schema:
            method = ", ".join(sorted(route.methods or ()))
            purpose = route.description
        else:
            continue
        name = html.escape(f"{method} {route.path}")
        listed.append(f"<code>{name}</code> {html.escape(first_line(purpose))}")
    return listed


def first_line(text: str | None) -> str:
    """The first line of a docstring, or an empty text."""
    return (text or "").strip().partition("\n")[0]


def introduction(docstring: str | None) -> str:
    """The first paragraph of a module's docstring, in one line."""
    return " ".join((docstring or "").strip().partition("\n\n")[0].split())
