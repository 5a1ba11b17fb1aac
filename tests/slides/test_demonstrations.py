"""The Python that is typed on stage prints what its slide shows."""

import contextlib
import io
import re

import pytest

from course.deck.source import SLIDES
from course.site import live

DECK = SLIDES / "s6_full_app.md"
TYPED = re.compile(
    r"^```python\n(.*?)^```\n\n```text\n(.*?)^```", re.DOTALL | re.MULTILINE
)
ADDRESS = "http://127.0.0.1:8000"


@pytest.mark.timeout(60)
def test_what_is_typed_on_stage_prints_what_the_slide_shows() -> None:
    typed = TYPED.findall(DECK.read_text(encoding="utf-8"))
    names: dict[str, object] = {}

    assert len(typed) == 2
    with live.served("examples.full_app.main") as client:
        base = str(client.base_url).rstrip("/")
        for code, shown in typed:
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(code.replace(ADDRESS, base), names)  # noqa: S102 - our own slide
            beginning = shown.partition("...")[0].strip()

            assert printed.getvalue().startswith(beginning)
