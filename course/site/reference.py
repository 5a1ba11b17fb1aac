"""Reference pages that are read off the code: settings, commands, times, figures."""

import json
from pathlib import Path

import fastapi_offline

from course import manifest
from course.parser import COMMANDS
from examples.full_app.main import app
from examples.full_app.settings import Settings

# Section 4's, which the service inherits and refuses: its own are `upstream_...`.
REFUSED = frozenset({"openai_base_url", "openai_api_key"})
SWAGGER = ("swagger-ui-bundle.js", "swagger-ui.css")


def settings(_: str = "") -> str:
    """One row a setting of the service."""
    rows = ["| variable | default | what it is |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        if name in REFUSED:
            continue
        alias = "REDIS_URL" if name == "redis_url" else f"FULL_APP_{name.upper()}"
        default = field.get_default(call_default_factory=True, validated_data={})
        note = (field.description or "").replace("|", "\\|")
        rows.append(f"| `{alias}` | `{default!r}` | {note} |")
    return "\n".join(rows)


def command_line(_: str = "") -> str:
    """Every command with its own words."""
    rows = []
    for it in COMMANDS:
        rows.append(f"## python3 -m course {it.name}\n\n{_sentence(it.help)}\n")
        if it.arguments:
            rows += ["| word | meaning |", "|---|---|"]
            rows += [f"| `{each.name}` | {each.help} |" for each in it.arguments]
            rows.append("")
    return "\n".join(rows)


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def timetable(_: str = "") -> str:
    """The day by the minutes of course.toml, with a pause after every 75 or so."""
    rows = [
        "| starts | section | talk | exercise | review | minutes |",
        "|---:|---|---:|---:|---:|---:|",
    ]
    at = 0
    since_pause = 0
    for section in manifest.sections():
        if since_pause and since_pause + section.minutes > 75:
            rows.append(f"| {_clock(at)} | *pause* | | | | 15 |")
            at += 15
            since_pause = 0
        parts = f"{section.talk} | {section.exercise} | {section.review}"
        rows.append(f"| {_clock(at)} | {section.title} | {parts} | {section.minutes} |")
        at += section.minutes
        since_pause += section.minutes
    return "\n".join([*rows, f"| {_clock(at)} | end | | | | |"])


def _clock(minutes: int) -> str:
    return f"{9 + minutes // 60}:{minutes % 60:02}"


def sections(_: str = "") -> str:
    """The sections as a table of links."""
    rows = ["| section | what you can do afterwards | minutes |", "|---|---|---:|"]
    for it in manifest.sections():
        page = "full-app/index" if it.id == "full_app" else f"sections/{it.stem}"
        goals = ".<br>".join(goal.text for goal in it.objectives) + "."
        rows.append(f"| [{it.title}]({page}.md) | {goals} | {it.minutes} |")
    return "\n".join(rows)


def write_api(folder: Path) -> None:
    """The service's OpenAPI description, and Swagger UI from its package."""
    folder.mkdir(parents=True, exist_ok=True)
    described = json.dumps(app.openapi())
    (folder / "openapi.json").write_text(described, encoding="utf-8")
    static = Path(fastapi_offline.__file__).with_name("static")
    for name in SWAGGER:
        (folder / name).write_bytes((static / name).read_bytes())
