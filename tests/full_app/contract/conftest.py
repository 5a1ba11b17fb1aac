"""One full_app a Redis mode is shared with all tests; here is one that misbehaves."""

from collections.abc import AsyncIterator, Iterator, Sequence

import httpx2
import openai
import pytest

from examples.full_app.main import create_app
from examples.full_app.providers.protocol import CallContext, Delta
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


@pytest.fixture
def stage_http(staged: tuple[str, Stage], stage: Stage) -> Iterator[httpx2.Client]:
    """A plain client of the stage."""
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx2.Client(base_url=staged[0], headers=headers, timeout=20) as http:
        yield http


@pytest.fixture
def stage_client(staged: tuple[str, Stage], stage: Stage) -> Iterator[openai.OpenAI]:
    """The official client of the stage, told not to retry."""
    with openai.OpenAI(
        base_url=f"{staged[0]}/v1", api_key=KEY, max_retries=0, timeout=20
    ) as client:
        yield client
