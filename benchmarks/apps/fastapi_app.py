"""FastAPI, as section 1 writes it."""

import asyncio
from typing import Any

from fastapi import FastAPI

from benchmarks.apps import ANSWER, CALLS, MODEL_SECONDS

app = FastAPI()


@app.get("/json")
async def simple() -> dict[str, Any]:
    """A small JSON answer."""
    return ANSWER


@app.get("/model")
async def model() -> dict[str, Any]:
    """One awaited model call."""
    await asyncio.sleep(MODEL_SECONDS)
    return ANSWER


@app.get("/fanout")
async def fanout() -> dict[str, Any]:
    """Ten at once."""
    await asyncio.gather(*(asyncio.sleep(MODEL_SECONDS) for _ in range(CALLS)))
    return ANSWER
