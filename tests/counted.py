"""Mark the tests whose branches CI counts (`-p tests.counted`).

They are those of examples/. Counting takes twice the time, so what is repeated on a
real Redis is not counted, nor what is `deep`.
"""

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
OF_EXAMPLES = (
    "full_app/",
    "sections/",
    "steps/",
    *(f"test_s{number}_" for number in range(1, 6)),
)


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses by the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them as `counted`."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        on_redis = callspec is not None and "redis" in callspec.params.values()
        of_examples = item.path.relative_to(TESTS).as_posix().startswith(OF_EXAMPLES)
        if of_examples and not on_redis and item.get_closest_marker("deep") is None:
            item.add_marker("counted")
