"""The SSE replay: frames recorded from a running server with their arrival times."""

import html
import json
from functools import cache
from typing import Any

from course.site import live

SECTION = ("examples.s3_patterns", "/answers/stream", {"text": "one two three four"})


@cache
def frames() -> list[dict[str, Any]]:
    """The recording of today's build."""
    module, path, body = SECTION
    with live.served(module) as client:
        return live.recorded(client, path, body)


def replay(_: str = "") -> str:
    """The figure: a table that reads well as it is; a script adds the buttons."""
    rows = "".join(
        f'<tr data-at="{it["at"]}"><td>{it["at"]} ms</td>'
        f"<td><pre>{html.escape(it['text'])}</pre></td></tr>"
        for it in frames()
    )
    sent = html.escape(f"POST {SECTION[1]} {json.dumps(SECTION[2])}")
    return (
        f'<figure class="wire"><figcaption>{sent}: recorded when this page was built'
        '</figcaption><table><thead><tr><th scope="col">after</th>'
        f'<th scope="col">frame</th></tr></thead><tbody>{rows}</tbody></table></figure>'
    )
