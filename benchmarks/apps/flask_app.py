"""Flask under gunicorn's threads: each waiting request holds one of them."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flask import Flask

from benchmarks.apps import ANSWER, CALLS, MODEL_SECONDS

app = Flask(__name__)


def simple() -> dict[str, Any]:
    """A small JSON answer."""
    return ANSWER


def model() -> dict[str, Any]:
    """One blocking model call."""
    time.sleep(MODEL_SECONDS)
    return ANSWER


def fanout() -> dict[str, Any]:
    """Ten at once, a thread for each."""
    with ThreadPoolExecutor(CALLS) as threads:
        list(threads.map(time.sleep, [MODEL_SECONDS] * CALLS))
    return ANSWER


for view in (simple, model, fanout):
    path = "/json" if view is simple else f"/{view.__name__}"
    app.add_url_rule(path, view_func=view)
