"""What `course export` writes and prints, made while the page is built."""

from collections import Counter

from course.export import project
from course.export.names import Names

DEPTH = 2  # folders that are shown one by one
NAMES = Names("assistant")


def tree(_: str = "") -> str:
    """The folders and the files around them, each folder with its number of files."""
    paths = [path.split("/") for path in project.project(NAMES)]
    folders = Counter(
        tuple(path[:depth])
        for path in paths
        for depth in range(1, min(len(path), DEPTH + 1))
    )
    lines = [f"{NAMES.package}/"]
    for folder, count in sorted(folders.items()):
        lines.append(f"{'  ' * len(folder)}{folder[-1]}/  ({count} files)")
    lines += [f"  {path[0]}" for path in sorted(paths) if len(path) == 1]
    return "\n".join(["```text", *lines, "```"])


def next_steps(_: str = "") -> str:
    """The commands that the export prints, as a block."""
    return "\n".join(["```text", *project.next_steps(NAMES), "```"])
