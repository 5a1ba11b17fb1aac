"""How many files of ours one chat request passes: a reader has to open each of them."""

import sys
from types import FrameType
from typing import Any

import pytest

from examples.full_app.main import create_app
from tests.full_app.asgi import post
from tests.full_app.conftest import settings
from tests.servers import ROOT

PACKAGE = ROOT / "examples"
BODY = b'{"model": "offline-echo", "messages": [{"role": "user", "content": "Why?"}]%s}'


async def files_passed(content: bytes) -> list[str]:
    """The files of ours whose functions run for one request, by name."""
    app = create_app(settings(job_worker=False))
    passed: set[str] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            passed.add(frame.f_code.co_filename)

    async with app.router.lifespan_context(app) as state:
        await post(app, dict(state or {}), content)  # what is made once is made now
        sys.setprofile(note)
        try:
            await post(app, dict(state or {}), content)
        finally:
            sys.setprofile(None)
    return sorted(
        name.removeprefix(f"{PACKAGE}/")
        for name in passed
        if name.startswith(str(PACKAGE))
    )


@pytest.mark.parametrize(("stream", "limit"), [(False, 30), (True, 32)])
async def test_a_chat_request_passes_few_files(stream: bool, limit: int) -> None:
    files = await files_passed(BODY % (b', "stream": true' if stream else b""))

    assert len(files) <= limit, "\n".join(files)
    assert any(file.endswith("routes/chat.py") for file in files)
