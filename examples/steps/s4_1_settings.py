"""Settings as a dependency: a route says what it needs.

Run it: `python -m course run s4.1`. Try it:

    curl -s http://127.0.0.1:8000/settings

The answer shows the defaults. Now stop the server, set the environment variable
REDIS_MAX_CONNECTIONS to 20, start it and send the line again: the answer says 20. With
the value `many` the answer is an error, and the terminal says why: a setting is checked
like any other input.
"""

from typing import Annotated

from fastapi import Depends, FastAPI
from pydantic import PositiveInt
from pydantic_settings import BaseSettings


class Settings(BaseSettings):
    """Each field is read from the environment variable of its name."""

    redis_url: str | None = None
    redis_max_connections: PositiveInt = 10


async def get_settings() -> Settings:
    """FastAPI calls this before the route and passes on the result."""
    return Settings()


SettingsDep = Annotated[Settings, Depends(get_settings)]

app = FastAPI(title="Settings")


@app.get("/settings")
async def show_settings(settings: SettingsDep) -> Settings:
    """Show the settings, wherever they come from."""
    return settings
