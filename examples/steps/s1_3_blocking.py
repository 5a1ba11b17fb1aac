"""The blocking mistake: one call that stops the whole server.

Start it with `python -m course run s1.3`, and open two more terminals. Send the first
line in one of them and, while it is running, the second line in the other:

    curl -s http://127.0.0.1:8000/blocking
    curl -s http://127.0.0.1:8000/ping

The pong comes only when the first answer has come, up to five seconds later. Now send
this line in place of the first. It takes as long, and the pong comes at once:

    curl -s http://127.0.0.1:8000/thread-pool
"""

import time

from fastapi import FastAPI

app = FastAPI(title="Step s1.3: the blocking mistake")


def ask_blocking_model() -> str:
    """Stand in for a library that knows no `await`: it keeps its thread for 5 s."""
    time.sleep(5)
    return "an answer"


@app.get("/ping")
async def ping() -> str:
    """Answer at once, if the event loop is free."""
    return "pong"


@app.get("/blocking")
async def blocking() -> str:
    """Make the call on the event loop, the one thread that serves everybody."""
    return ask_blocking_model()


@app.get("/thread-pool")
def thread_pool() -> str:
    """Make the call on another thread: FastAPI runs every plain `def` route on one."""
    return ask_blocking_model()
