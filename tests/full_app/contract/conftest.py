"""One full_app a Redis mode is shared with all tests; here is one that misbehaves."""

from collections.abc import AsyncIterator, Iterator, Sequence

import httpx2
import openai
import pytest

from examples.full_app.main import create_app
from examples.full_app.providers.base import CallContext, Delta
from examples.full_app.schemas.catalogue import Model
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.s2_models import Usage
from tests.full_app.conftest import KEY, settings
from tests.full_app.scripted import Scripted
from tests.servers import serve

HEARTBEAT = 0.1


class Stage(Scripted):
    """A `Scripted` that can fail at once, and has a model with `/` in its name."""

    def __init__(self) -> None:
        super().__init__()
        self.refusal: Exception | None = None

    async def models(self) -> Sequence[Model]:
        """One model, named as on a hub."""
        return [Model(id="org/some-model:7b", created=1, owned_by="org")]

    async def stream(
        self, request: ChatCompletionRequest, call: CallContext
    ) -> AsyncIterator[Delta | Usage]:
        """The refusal, or what the script says."""
        if self.refusal is not None:
            raise self.refusal
        async for item in super().stream(request, call):
            yield item


@pytest.fixture(scope="session")
def staged() -> Iterator[tuple[str, Stage]]:
    """full_app before a `Stage`, and that stage; beats every `HEARTBEAT` seconds."""
    found = Stage()
    app = create_app(settings(heartbeat_seconds=HEARTBEAT), provider=found)
    with serve(app) as url:
        yield url, found


@pytest.fixture
def stage(staged: tuple[str, Stage]) -> Stage:
    """The stage, as if new."""
    used = staged[1]
    used.__dict__.clear()
    used.__dict__.update(Stage().__dict__)
    return used


@pytest.fixture(scope="session")
def _clients(
    staged: tuple[str, Stage],
) -> Iterator[tuple[httpx2.Client, openai.OpenAI]]:
    """Both clients of the stage, for all tests: a new one takes 30 ms."""
    url, headers = staged[0], {"Authorization": f"Bearer {KEY}"}
    with (
        httpx2.Client(base_url=url, headers=headers, timeout=20) as http,
        openai.OpenAI(
            base_url=f"{url}/v1", api_key=KEY, max_retries=0, timeout=20
        ) as client,
    ):
        yield http, client


@pytest.fixture
def stage_http(
    _clients: tuple[httpx2.Client, openai.OpenAI], stage: Stage
) -> httpx2.Client:
    """A plain client of the stage."""
    return _clients[0]


@pytest.fixture
def stage_client(
    _clients: tuple[httpx2.Client, openai.OpenAI], stage: Stage
) -> openai.OpenAI:
    """The official client of the stage, told not to retry."""
    return _clients[1]
