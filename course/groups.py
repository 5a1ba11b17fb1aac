"""The package groups of pyproject.toml, their locks, and whether they are installed."""

import hashlib
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from course.places import LOCKS, ROOT

APP = "app"
GROUPS = (APP, "test", "lint", "notebooks", "docs", "browser", "bench")
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*([^;]*)(?:;\s*(.*))?")
_MARKER = re.compile(r"sys_platform\s*(==|!=)\s*'(\w+)'")
_OPERATOR = re.compile(r"(>=|<|==)\s*([0-9.]+)")


@cache
def pyproject() -> dict[str, Any]:
    """pyproject.toml, parsed."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def requirements(group: str) -> list[str]:
    """The direct requirements of `group`; every group builds on app."""
    listed: list[str] = list(pyproject()["project"]["dependencies"])
    if group != APP:
        listed += _members(group)
    return sorted(set(listed))


def _members(group: str) -> Iterator[str]:
    for entry in pyproject()["dependency-groups"][group]:
        if isinstance(entry, dict):
            yield from _members(entry["include-group"])
        else:
            yield entry


def lock_file(group: str) -> Path:
    """The hash-pinned list that `group` is installed from."""
    return LOCKS / f"{group}.txt"


def fingerprint(group: str) -> str:
    """SHA-256 of the group's lock, in hex: it changes when the versions do."""
    return hashlib.sha256(lock_file(group).read_bytes()).hexdigest()


def satisfied(group: str, folder: Path | None = None) -> bool:
    """Whether `group` is installed here, or in the site-packages `folder`."""
    return next(unsatisfied(requirements(group), folder), None) is None


def unsatisfied(listed: Iterable[str], folder: Path | None = None) -> Iterator[str]:
    """Those requirements that are missing, or installed in a refused version."""
    version_of = _versions_in(folder) if folder else _version
    for requirement in listed:
        match = _REQUIREMENT.fullmatch(requirement)
        if match is None:
            raise ValueError(f"not a requirement: {requirement}")
        if not _applies(match[3]):
            continue
        version = version_of(match[1])
        if version is None or not _admits(match[2], version):
            yield requirement


def _applies(marker: str | None) -> bool:
    """Whether a requirement is for this platform.

    The one kind of marker that pyproject.toml uses names a platform. Raises ValueError
    for another kind, which this module could not judge.
    """
    if marker is None:
        return True
    match = _MARKER.fullmatch(marker.strip())
    if match is None:
        raise ValueError(f"not a marker for a platform: {marker}")
    return (sys.platform == match[2]) == (match[1] == "==")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _versions_in(folder: Path) -> Callable[[str], str | None]:
    found = {
        _normal(distribution.name): distribution.version
        for distribution in metadata.distributions(path=[str(folder)])
    }
    return lambda name: found.get(_normal(name))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _admits(specifiers: str, version: str) -> bool:
    ours = _numbers(version)
    for operator, bound in _OPERATOR.findall(specifiers):
        theirs = _numbers(bound)
        if operator == ">=" and ours < theirs:
            return False
        if operator == "<" and ours >= theirs:
            return False
        if operator == "==" and ours != theirs:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    """`3.11.0rc1` as (3, 11): enough for the ranges in pyproject.toml."""
    leading = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in leading[0].split(".")] if leading else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
