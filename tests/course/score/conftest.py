"""Good and bad servers, and a way to judge them in this process."""

from collections.abc import Awaitable, Callable, Iterator

import pytest

from course.score import run, server
from course.score.results import Report
from examples.full_app.main import create_app
from tests.course.score.bad_servers import GOOD, bad_servers
from tests.full_app.conftest import KEY, settings
from tests.servers import serve

MODEL = "gpt-4o-mini"
Judge = Callable[..., Awaitable[Report]]


@pytest.fixture(scope="session")
def keyless() -> Iterator[str]:
    """The URL of full_app without API keys, with every bad server before it."""
    with serve(bad_servers(create_app(settings(api_keys="")))) as url:
        yield url


@pytest.fixture(scope="session")
def keyed() -> Iterator[str]:
    """The same with API keys."""
    with serve(bad_servers(create_app(settings()))) as url:
        yield url


@pytest.fixture
def judge(keyless: str, keyed: str) -> Judge:
    """A function that judges the server of a name; it spends."""

    async def judged(name: str = GOOD, *, with_key: bool = False) -> Report:
        url = f"{keyed if with_key else keyless}/{name}/v1"
        key = KEY if with_key else None
        async with server.connected(url, key=key, headers={}, patience=30) as it:
            it.model = await run.choose_model(it, MODEL)
            return await run.run(it, spend=True, check_seconds=45)

    return judged
