"""Sequential and concurrent: five calls in the time of one.

Start it with `python -m course run s1.2`, then send these lines from another terminal:

    curl -s http://127.0.0.1:8000/sequential
    curl -s http://127.0.0.1:8000/concurrent

Both answer the same five questions. The first takes about 1,000 ms, the second about
200 ms, because its five calls wait at the same time.
"""

import asyncio
import time

from fastapi import FastAPI

QUESTIONS = ["who", "what", "when", "where", "why"]

app = FastAPI(title="Step s1.2: sequential and concurrent")


async def ask_model(question: str) -> str:
    """Stand in for a model API: wait 200 ms, then answer in capitals."""
    await asyncio.sleep(0.2)
    return question.upper()


@app.get("/sequential")
async def sequential() -> dict[str, list[str] | int]:
    """Ask one question after the other."""
    started = time.perf_counter()
    answers = []
    for question in QUESTIONS:
        answers.append(await ask_model(question))
    seconds = time.perf_counter() - started
    return {"answers": answers, "took_ms": round(seconds * 1000)}


@app.get("/concurrent")
async def concurrent() -> dict[str, list[str] | int]:
    """Ask all questions at once, and wait until every task of the group has ended."""
    started = time.perf_counter()
    tasks = []
    async with asyncio.TaskGroup() as group:
        for question in QUESTIONS:
            tasks.append(group.create_task(ask_model(question)))
    answers = [task.result() for task in tasks]
    seconds = time.perf_counter() - started
    return {"answers": answers, "took_ms": round(seconds * 1000)}
