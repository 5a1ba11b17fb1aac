"""full_app under a real server, once embedded and once on a real Redis."""

import atexit
import contextlib
import functools
import itertools
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import openai
import pytest

from examples.full_app.main import create_app
from examples.full_app.settings import Settings
from tests.conftest import running_redis
from tests.servers import serve

KEY = "sk-test-alpha"
OTHER_KEY = "sk-test-beta"
CHAT_ONLY_KEY = "sk-test-chat-only"
KEYS = f"alpha:{KEY},beta:{OTHER_KEY}"
SCOPED_KEYS = [
    {"name": "alpha", "key": KEY},
    {"name": "beta", "key": OTHER_KEY},
    {"name": "chat-only", "key": CHAT_ONLY_KEY, "scopes": ["chat"]},
]

Start = Callable[..., str]
ON_REDIS = "COURSE_TESTS_ON_REDIS"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With COURSE_TESTS_ON_REDIS: the checks of the wire that otherwise run embedded.

    A test that asks for a real Redis, or is parametrized with both kinds, has seen one
    already.
    """
    if not os.environ.get(ON_REDIS):
        return
    items[:] = [
        item
        for item in items
        if item.get_closest_marker("wire") is not None
        and "redis_server" not in getattr(item, "fixturenames", ())
        and not set(re.split(r"[\[\]-]", item.name)) & {"embedded", "redis"}
    ]


@functools.cache
def databases() -> Iterator[str | None]:
    """For each application that names no Redis: none, or an empty one of a real one.

    With COURSE_TESTS_ON_REDIS set, what is tried embedded is tried on Redis instead.
    """
    if not os.environ.get(ON_REDIS):
        return itertools.repeat(None)
    stack = contextlib.ExitStack()
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    url, _ = stack.enter_context(running_redis(Path(folder)))
    atexit.register(stack.close)
    return (f"{url}/{number}" for number in range(2_000))


def settings(**given: object) -> Settings:
    """Settings for a test: no pauses, known keys, nothing from the environment."""
    defaults: dict[str, object] = {
        "redis_url": next(databases()) if "redis_url" not in given else None,
        "api_keys": KEYS,
        "offline_pace": 0,
        "allow_loopback_webhooks": True,
        "redis_timeout_seconds": 5,  # a busy machine is no outage
    }
    return Settings.model_validate({**defaults, **given})


@pytest.fixture(scope="session", params=["embedded", "redis"])
def redis_url(request: pytest.FixtureRequest) -> str | None:
    """None for the embedded Redis, else the URL of a real one."""
    if request.param == "embedded":
        return None
    url: str = request.getfixturevalue("redis_server")
    return url


@pytest.fixture(scope="session")
def base_url(redis_url: str | None) -> Iterator[str]:
    """full_app with keys, running."""
    app = create_app(settings(redis_url=redis_url, api_keys=SCOPED_KEYS))
    with serve(app) as url:
        yield url


@pytest.fixture(scope="session")
def client(base_url: str) -> Iterator[openai.OpenAI]:
    """The official client, told not to retry.

    One for all tests: each new one reads the system's certificates, for 30 ms.
    """
    with openai.OpenAI(
        base_url=f"{base_url}/v1", api_key=KEY, max_retries=0, timeout=20
    ) as client:
        yield client


@pytest.fixture(scope="session")
def http(base_url: str) -> Iterator[httpx2.Client]:
    """A plain client with the first key."""
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx2.Client(base_url=base_url, headers=headers, timeout=20) as client:
        yield client
