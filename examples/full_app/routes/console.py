"""`/`: the page that shows the four patterns, and what it asks about this service."""

from pathlib import Path
from typing import Literal

from fastapi import APIRouter
from fastapi.responses import FileResponse

from examples.full_app.schemas.base import Answer

CONSOLE = Path(__file__).parent.parent / "console"


class About(Answer):
    """What there is: a browser shows an error where a page asks for what is not."""

    object: Literal["about"] = "about"
    inbox: bool
    keys: bool


def console_router(*, inbox: bool, keys: bool) -> APIRouter:
    """The page. `inbox`: `/inbox` is served; `keys`: callers need one."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def page() -> FileResponse:
        return FileResponse(CONSOLE / "index.html")

    @router.get("/console/about")
    async def about() -> About:
        return About(inbox=inbox, keys=keys)

    return router
