"""A dependency: the route says what it needs, and FastAPI brings it.

Start it with `python -m course run s1.4`, then send this line from another terminal:

    curl -s http://127.0.0.1:8000/injected

It answers `{"text": "HELLO"}`. Now let `get_model` return `Parrot()`, save the file,
and send the line again: another model answers, and the route is as it was. A test does
the same without an edit:

    app.dependency_overrides[get_model] = Parrot
"""

from typing import Annotated

from fastapi import Depends, FastAPI

app = FastAPI(title="Step s1.4: a dependency")


class SlowModel:
    """A stand-in for a model API."""

    async def ask(self, text: str) -> str:
        """Answer in capitals."""
        return text.upper()


class Parrot(SlowModel):
    """Another model."""

    async def ask(self, text: str) -> str:
        """Say everything twice."""
        return f"{text}, {text}"


async def get_model() -> SlowModel:
    """Return the model to use; FastAPI calls this before each route that needs one."""
    return SlowModel()


ModelDep = Annotated[SlowModel, Depends(get_model)]


@app.get("/injected")
async def injected(model: ModelDep) -> dict[str, str]:
    """Ask the model that `get_model` has returned; nothing here says which."""
    return {"text": await model.ask("hello")}
