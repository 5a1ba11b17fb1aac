"""The page of exercises, made from the files that `course check` reads."""

import textwrap

from course import manifest
from course.exercises import quiz, source
from course.exercises.source import Exercise


def listed(_: str = "") -> str:
    """Every exercise by section: its task and starter, hints and solution folded."""
    every = source.exercises()
    parts = []
    for section in manifest.sections():
        mine = [one for one in every if one.section == section.id]
        minutes = sum(one.minutes for one in mine)
        parts.append(f"## {section.title}\n\n{len(mine)} exercises, {minutes} minutes.")
        parts += [_shown(one) for one in mine]
        if (quiz.QUIZZES / f"{section.id}.toml").exists():
            parts.append(f"### Questions on {section.title} {{ #quiz-{section.id} }}")
            parts += questions(section.id)
    return "\n\n".join(parts)


def linked(section_id: str) -> str:
    """The exercises of a section as links to the page of all."""
    lines = ["More to write, with hints, and checked by the course:\n"]
    lines += [
        f"- [{one.title}](../exercises.md#{_anchor(one)}), {one.minutes} minutes: "
        f"`python3 -m course check {one.short}`"
        for one in source.exercises()
        if one.section == section_id
    ]
    return "\n".join(lines)


def _anchor(exercise: Exercise) -> str:
    return exercise.id.replace("_", "-")


def _shown(exercise: Exercise) -> str:
    """One exercise; `???` begins a folded block of pymdownx.details."""
    facts = [
        f"`python3 -m course check {exercise.short}`",
        f"{exercise.minutes} minutes",
        "; ".join(source.objectives_of(exercise)),
    ]
    if exercise.section != "full_app":
        facts.insert(1, f"[in the playground](../playground/?section={exercise.short})")
    blocks = [
        f"### {exercise.title} {{ #{_anchor(exercise)} }}",
        " · ".join(facts),
        exercise.task,
        f'```python title="work/{exercise.id}.py"\n{exercise.starter}```',
    ]
    for number, hint in enumerate(exercise.hints, 1):
        blocks.append(folded(f"Hint {number}", hint))
    blocks.append(folded("Show solution", f"```python\n{exercise.solution}```"))
    return "\n\n".join(blocks)


def quiz_of(section_id: str) -> str:
    """The quiz of a section for its page."""
    words = (
        "Choose an answer, then unfold it. "
        f"`python3 -m course quiz {section_id}` asks the same questions."
    )
    return "\n\n".join([words, *questions(section_id)])


def questions(section_id: str) -> list[str]:
    """The questions of a section; each answer unfolds its reply."""
    blocks = []
    for question in quiz.read(section_id):
        blocks.append(f"**{question.text}**")
        blocks += [folded(answer.text, answer.words) for answer in question.answers]
    return blocks


def folded(title: str, text: str) -> str:
    """A block that the reader opens."""
    return f'??? note "{title}"\n\n' + textwrap.indent(text, "    ")
