"""The commands of `course`: one table that makes the parser and the reference page."""

import argparse
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from course.groups import GROUPS
from course.places import UsageError
from course.places import command as typed

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
DECK_PORT = 8080
LAB_PORT = 8888
DOCS_PORT = 8080
HIGHEST_PORT = 2**16 - 1
NEXT_FREE = "port to listen on; if it is taken, the next free one is used"


@dataclass(frozen=True)
class Argument:
    """A word or an option of a command; `settings` are those of `add_argument`.

    Of the arguments with the same `choice` only one may be given.
    """

    name: str
    help: str
    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    choice: str = ""


@dataclass(frozen=True)
class Command:
    """A command with what may follow it."""

    name: str
    help: str
    arguments: tuple[Argument, ...] = ()


def port_number(text: str) -> int:
    """A port from 0 to 65535; 0 means any free one. Raises ArgumentTypeError."""
    if not text.isdecimal() or int(text) > HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"not a port: {text!r} (0 to {HIGHEST_PORT})")
    return int(text)


def positive(text: str) -> int:
    """A whole number from 1 up. Raises ArgumentTypeError."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"not a whole number from 1 up: {text!r}")
    return int(text)


def port(default: int) -> Argument:
    """The option `--port` with its default."""
    return Argument("--port", NEXT_FREE, {"type": port_number, "default": default})


COMMANDS = (
    Command(
        "run",
        "serve the complete service, a section or a step",
        (
            Argument(
                "section",
                "a section (s2, s2_models or 2), a step (s2.1 or s2_1_message), an "
                "exercise that you wrote (full5), or live, the file for live coding; "
                "without it, the complete service",
                {"nargs": "?", "default": "full_app"},
            ),
            Argument("--host", "address to listen on", {"default": DEFAULT_HOST}),
            port(DEFAULT_PORT),
            Argument(
                "--reload",
                "serve a file anew when it is saved; with --no-reload it is not. "
                "Sections and steps are reloaded without this word",
                {"action": argparse.BooleanOptionalAction},
            ),
        ),
    ),
    Command("list", "show the sections with their steps, and the exercises"),
    Command(
        "check",
        "check an exercise that you wrote in work/",
        (
            Argument(
                "exercise",
                "an exercise (s2a or s2a_message); without it, the first unsolved one",
                {"nargs": "?"},
            ),
            Argument(
                "--watch",
                "check again whenever the file is saved, until it is solved",
                {"action": "store_true"},
            ),
        ),
    ),
    Command(
        "hint",
        "show one more of an exercise's three hints",
        (
            Argument(
                "exercise", "an exercise; without it, the current one", {"nargs": "?"}
            ),
        ),
    ),
    Command(
        "reset",
        "begin an exercise anew; your file is kept beside it",
        (Argument("exercise", "an exercise"),),
    ),
    Command(
        "solution",
        "show our solution of an exercise that you have solved",
        (
            Argument("exercise", "an exercise"),
            Argument(
                "--reveal", "show it though it is unsolved", {"action": "store_true"}
            ),
        ),
    ),
    Command(
        "quiz",
        "ask two or three questions about a section",
        (Argument("section", "a section (s2)"),),
    ),
    Command(
        "progress",
        "show what you have solved, and what you can do now",
        (
            Argument("--html", "write it as a page to hand in", {"type": Path}),
            Argument("--name", "your name, for the page", {"default": ""}),
        ),
    ),
    Command("test", "run the tests; all further words go to pytest"),
    Command("doctor", "show what this machine lacks, and how to mend it"),
    Command(
        "notebook",
        "open your copies of the notebooks in JupyterLab",
        (
            Argument(
                "section", "open the notebook of this section (s2)", {"nargs": "?"}
            ),
            port(LAB_PORT),
            Argument(
                "--no-browser",
                "print the address and open no browser",
                {"action": "store_true"},
            ),
            Argument(
                "--reset",
                "begin with new copies; yours are kept beside them",
                {"action": "store_true"},
                choice="work",
            ),
            Argument(
                "--edit",
                "open the course's own notebooks, not copies",
                {"action": "store_true"},
                choice="work",
            ),
            Argument(
                "--refresh",
                "run the notebooks and save their outputs",
                {"action": "store_true"},
                choice="work",
            ),
            Argument(
                "--sync",
                "like --refresh, but without Jupyter and without figures",
                {"action": "store_true"},
                choice="work",
            ),
            Argument(
                "--compare",
                "run the notebooks and report outputs that differ from the saved ones",
                {"action": "store_true"},
                choice="work",
            ),
        ),
    ),
    Command(
        "present",
        "show a deck of slides, without internet",
        (
            Argument(
                "deck", "a section (s2), or opening, or takeaways", {"nargs": "?"}
            ),
            port(DECK_PORT),
            Argument(
                "--check",
                "look for what may fail on stage: ports, browser, decks, recordings",
                {"action": "store_true"},
                choice="work",
            ),
            Argument(
                "--recorded",
                "answer the requests of the demonstration with recorded answers, too",
                {"action": "store_true"},
                choice="work",
            ),
            Argument(
                "--record",
                "send the requests of the demonstrations and save the answers",
                {"action": "store_true"},
                choice="work",
            ),
        ),
    ),
    Command(
        "checkpoint",
        "put the file for live coding into the state of a step, after a backup",
        (Argument("step", "a step (s2.3)"),),
    ),
    Command(
        "slides",
        "write every deck as files",
        (
            Argument(
                "--out",
                "the folder to write them to",
                {"type": Path, "required": True},
            ),
            Argument(
                "--pdf",
                "write each deck and its handout as PDF, too (needs Chromium)",
                {"action": "store_true"},
            ),
        ),
    ),
    Command("sync", "copy today's code into the slides"),
    Command(
        "docs",
        "build the course's site and serve it",
        (
            port(DOCS_PORT),
            Argument("--build", "build it into this folder and end", {"type": Path}),
        ),
    ),
    Command(
        "bench",
        "measure the chapter's performance claims on this machine",
        (
            Argument("--quick", "stop after a minute", {"action": "store_true"}),
            Argument(
                "--peers",
                "measure the complete service beside LiteLLM and other proxies",
                {"action": "store_true"},
            ),
            Argument(
                "--rounds", "rounds of each load, with --peers", {"type": positive}
            ),
            Argument(
                "--out", "the folder for results (JSON) and plots", {"type": Path}
            ),
        ),
    ),
    Command(
        "export",
        "write the complete service as a project of your own, tests included",
        (
            Argument(
                "folder", "the folder to write it to: new, or empty", {"type": Path}
            ),
            Argument(
                "--name",
                "the package's name (chat_assistant); without it, the folder's name",
            ),
        ),
    ),
    Command(
        "score",
        "judge an OpenAI-compatible server from outside, yours or anybody's",
        (
            Argument("url", "its address, as the official client needs it (with /v1)"),
            Argument("--key", "the API key to send; it is shown to nobody else"),
            Argument(
                "--model", "the model to ask; without it, the first of GET /v1/models"
            ),
            Argument(
                "--spend",
                "ask for thirty short answers, too: less than 4,000 tokens",
                {"action": "store_true"},
            ),
            Argument(
                "--header",
                "a header for every request ('Name: value'); may be repeated",
                {"action": "append", "default": []},
            ),
            Argument(
                "--json", "write the results as JSON to this file (- for the terminal)"
            ),
            Argument(
                "--badge",
                "write the score as a picture (SVG) to this file",
                {"type": Path},
            ),
        ),
    ),
    Command(
        "setup",
        "install groups of packages and start nothing",
        (
            Argument(
                "group",
                f"one or more of {', '.join(GROUPS)}",
                {"nargs": "+", "choices": GROUPS},
            ),
        ),
    ),
    Command("lock", "renew the pinned versions of all packages (needs uv)"),
)


FIRST = (  # for somebody who types no command
    ("run", "the complete service"),
    ("run s1.1", "the first step of the first section"),
    ("list", "all sections, their steps and the exercises"),
    ("check", "the next exercise: write, check, understand"),
    ("doctor", "what this machine lacks"),
    ("--help", "all commands"),
)


def refuse_unknown(word: str) -> None:
    """Raise UsageError, with near names, for a word that is no command or option."""
    names = [it.name for it in COMMANDS]
    if word in names or word.startswith("-"):
        return
    near = difflib.get_close_matches(word, names, n=2, cutoff=0.5)
    meant = f"Did you mean {' or '.join(near)}? " if near else ""
    raise UsageError(
        f"There is no command {word!r}. {meant}All commands: {typed('course --help')}"
    )


def build() -> argparse.ArgumentParser:
    """The parser of the command line."""
    parser = argparse.ArgumentParser("course", description="The course's command line.")
    chosen = parser.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        words = chosen.add_parser(command.name, help=command.help)
        choices: dict[str, Any] = {}
        for argument in command.arguments:
            place: Any = words
            if argument.choice:
                if argument.choice not in choices:
                    choices[argument.choice] = words.add_mutually_exclusive_group()
                place = choices[argument.choice]
            place.add_argument(argument.name, help=argument.help, **argument.settings)
    return parser
