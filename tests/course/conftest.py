"""Fixtures of this room."""

from pathlib import Path

import pytest

from tests.course.checkout import Checkout


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A copy of the checkout on a machine that has Python and uv."""
    return Checkout(tmp_path).with_uv()


@pytest.fixture
def bare_checkout(tmp_path: Path) -> Checkout:
    """A copy of the checkout on a machine that has Python and nothing else."""
    return Checkout(tmp_path)
