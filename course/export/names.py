"""The names that an exported project goes by, and which names it may not have."""

import keyword
import re
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from course.groups import lock_file
from course.places import UsageError

LONGEST = 30
OURS = frozenset({"benchmarks", "course", "examples", "tests"})
_WELL_FORMED = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)


@dataclass(frozen=True)
class Names:
    """One name in the forms that code, settings and package indexes ask for."""

    package: str  # chat_assistant

    @property
    def project(self) -> str:
        """The name of the distribution: `chat-assistant`."""
        return self.package.replace("_", "-")

    @property
    def prefix(self) -> str:
        """What the names of environment variables begin with: `CHAT_ASSISTANT_`."""
        return f"{self.package.upper()}_"

    @property
    def app(self) -> str:
        """What uvicorn serves: `chat_assistant.main:app`."""
        return f"{self.package}.main:app"


def checked(name: str) -> Names:
    """The names of a project called `name`.

    Raises UsageError for a name that is no name of a package (PEP 8: short, lower case)
    and for one under which another module would no longer be found.
    """
    if not _WELL_FORMED.fullmatch(name) or len(name) > LONGEST:
        raise UsageError(
            f"{name!r} cannot be the name of a package. Use lower-case letters,\n"
            f"digits and single underscores, at most {LONGEST}: --name chat_assistant"
        )
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise UsageError(
            f"{name!r} is a word of the language Python. Use another name."
        )
    if name in sys.stdlib_module_names:
        raise UsageError(
            f"{name!r} is a module of Python's standard library, which would no\n"
            "longer be found. Use another name."
        )
    if name in dependencies_modules():
        raise UsageError(
            f"{name!r} is a package that the service needs, and which would no\n"
            "longer be found. Use another name."
        )
    if name in OURS:
        raise UsageError(f"{name!r} has another meaning here. Use another name.")
    return Names(name)


def from_folder(folder: Path) -> str:
    """A package's name for the project in `folder`: `chat-api` gives `chat_api`."""
    return re.sub(r"[-. ]+", "_", folder.resolve().name).lower()


def dependencies_modules() -> set[str]:
    """The names under which the packages of the groups app and test are imported.

    Those that are not installed here count by the name that the lock has for them.
    """
    installed = {module.lower() for module in metadata.packages_distributions()}
    locked = _LOCKED.findall(lock_file("test").read_text(encoding="utf-8"))
    return installed - OURS | {
        re.sub(r"[-.]+", "_", package).lower() for package in locked
    }
