"""A service built once: the lifespan makes it, a dependency hands it out.

Run it: `python -m course run s4.2`. Try it, the first line several times:

    curl -s http://127.0.0.1:8000/services
    curl -s 'http://127.0.0.1:8000/ask?prompt=hello'

However often you ask, `built` is 1. Now let `get_llm_service` return
`LLMService(EchoProvider())` and ask again: every request builds a service.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, ClassVar

from fastapi import Depends, FastAPI, Request


class EchoProvider:
    """A provider that needs no key and no network."""

    async def complete(self, prompt: str) -> str:
        """Repeat the prompt."""
        return f"You said: {prompt}"


class LLMService:
    """What routes ask. It counts how many of it there are."""

    built: ClassVar[int] = 0

    def __init__(self, primary_provider: EchoProvider) -> None:
        """Answer with `primary_provider`."""
        LLMService.built += 1
        self.primary_provider = primary_provider


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Build the service before the first request; yield the state."""
    yield {"llm_service": LLMService(primary_provider=EchoProvider())}


async def get_llm_service(request: Request) -> LLMService:
    """Hand out the service that the lifespan has built."""
    service: LLMService = request.state.llm_service
    return service


LLMServiceDep = Annotated[LLMService, Depends(get_llm_service)]

app = FastAPI(title="A service built once", lifespan=lifespan)


@app.get("/services")
async def services(service: LLMServiceDep) -> dict[str, int]:
    """How many services there are, and which one this request got."""
    return {"built": LLMService.built, "id": id(service)}


@app.get("/ask")
async def ask(prompt: str, service: LLMServiceDep) -> str:
    """Answer a prompt with whatever provider the service has."""
    return await service.primary_provider.complete(prompt)
