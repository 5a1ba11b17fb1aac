"""`course lock`: resolve every group anew and pin it by hash.

All groups are resolved together first, so that two of them never disagree about a
version; then each gets a file of its own. The files name no address: pip and uv take
the packages from whatever index the machine is set up for.
"""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from course.groups import GROUPS, lock_file, requirements
from course.places import ROOT, CourseError, say

OLDEST_PYTHON = "3.11"
HEADER = """\
# The group "{group}", every version pinned by hash. Made by `python3 -m course lock`
# from the ranges in pyproject.toml, for all platforms and Python {python} or newer.
"""
BEGIN = "# constraints: written by `course lock` from requirements/test.txt"
END = "# constraints end"
_PINNED = re.compile(r"^([A-Za-z0-9._-]+==[^\\\n]+?)\s*(?:\\)?$", re.MULTILINE)


def renew() -> None:
    """Write requirements/*.txt and the versions that `uv run` is held to.

    Raises CourseError without uv, and when the groups cannot be resolved together.
    """
    uv = shutil.which("uv")
    if uv is None:
        raise CourseError("`course lock` needs uv. Install it: pip install uv")
    with tempfile.TemporaryDirectory() as folder:
        joint = Path(folder, "joint.txt")
        everything = sorted({line for group in GROUPS for line in requirements(group)})
        say("Resolving all groups together")
        joint.write_text(_compile(uv, folder, everything), encoding="utf-8")
        for group in GROUPS:
            options = ["--generate-hashes", "--constraints", joint.name]
            pins = _compile(uv, folder, requirements(group), *options)
            header = HEADER.format(group=group, python=OLDEST_PYTHON)
            lock_file(group).write_text(header + pins, encoding="utf-8")
            say(f"requirements/{group}.txt: {len(_PINNED.findall(pins))} packages")
    hold_uv_to(pins_of("test"))


def pins_of(group: str) -> list[str]:
    """The pinned versions of a lock, without their hashes."""
    return _PINNED.findall(lock_file(group).read_text(encoding="utf-8"))


def hold_uv_to(pins: list[str], pyproject: Path = ROOT / "pyproject.toml") -> None:
    """Rewrite the block in pyproject.toml that makes `uv run` land on `pins`."""
    text = pyproject.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise CourseError(f"pyproject.toml has lost the lines around:\n{BEGIN}")
    block = "".join(f'    "{pin}",\n' for pin in pins)
    block = f"\nconstraint-dependencies = [\n{block}]\n"
    pyproject.write_text(before + BEGIN + block + END + after, encoding="utf-8")


def _compile(uv: str, folder: str, listed: list[str], *options: str) -> str:
    """uv's answer for `listed`. It runs in a folder without our pyproject.toml: the
    constraints there would hold everything where it is."""
    always = ["--universal", "--python-version", OLDEST_PYTHON, "--quiet"]
    always += ["--no-header", "--no-annotate", "--no-emit-index-url"]
    done = subprocess.run(  # noqa: S603 - our own command line
        [uv, "pip", "compile", *always, *options, "-"],
        cwd=folder,
        input="\n".join(listed),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode:
        raise CourseError(f"uv could not resolve the groups:\n{done.stderr.strip()}")
    return done.stdout
