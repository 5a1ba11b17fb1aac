"""Reference pages that are read off the code: settings, commands, times, figures."""

import json
import shutil
from pathlib import Path

import fastapi_offline

from course import manifest, timetable, tokens
from course.parser import COMMANDS
from examples.full_app.main import app
from examples.full_app.settings import Settings

# Section 4's, which the service inherits and refuses: its own are `upstream_...`.
REFUSED = frozenset({"openai_base_url", "openai_api_key"})
GOALS_ON_A_CARD = 3  # the section's own page has all of them
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


def timetables(_: str = "") -> str:
    """Every timetable of course.toml: when each part begins, and what is done in it."""
    parts = []
    for table in timetable.timetables():
        ends = table.rows[-1].starts + table.rows[-1].minutes
        rows = [
            f"### {table.name}",
            "",
            "| starts | part | talk | exercise | review | minutes |",
            "|---:|---|---:|---:|---:|---:|",
        ]
        for row in table.rows:
            title = f"*{row.title}*" if row.rest else row.title
            done = (row.talk, row.exercise, row.review)
            cells = " | ".join(str(minutes or "") for minutes in done)
            rows.append(f"| {row.clock} | {title} | {cells} | {row.minutes} |")
        rows.append(f"| {ends // 60}:{ends % 60:02} | end | | | | {table.taken} |")
        parts.append("\n".join(rows))
    return "\n\n".join(parts)


def sections(_: str = "") -> str:
    """The sections as cards: a link, the minutes, and what one can do afterwards."""
    cards = []
    for it in manifest.sections():
        page = "full-app/index" if it.id == "full_app" else f"sections/{it.stem}"
        goals = "\n".join(f"- {goal.text}" for goal in it.objectives[:GOALS_ON_A_CARD])
        cards.append(
            f'<div class="card" markdown>\n\n### [{it.title}]({page}.md)\n\n'
            f"{it.minutes} minutes. Afterwards you can:\n\n{goals}\n\n</div>"
        )
    together = "\n".join(cards)
    return f'<div class="six" markdown>\n{together}\n</div>'


def write_api(folder: Path) -> None:
    """The service's OpenAPI description, and Swagger UI from its package."""
    folder.mkdir(parents=True, exist_ok=True)
    described = json.dumps(app.openapi())
    (folder / "openapi.json").write_text(described, encoding="utf-8")
    static = Path(fastapi_offline.__file__).with_name("static")
    for name in SWAGGER:
        shutil.copy(static / name, folder)
    shutil.copy(tokens.SWAGGER, folder)
