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
            parts.append(_quiz(section.id))
    return "\n\n".join(parts)


def _shown(exercise: Exercise) -> str:
    """One exercise; `???` begins a folded block of pymdownx.details."""
    objectives = "; ".join(source.objectives_of(exercise))
    blocks = [
        f"### {exercise.title} {{ #{exercise.id.replace('_', '-')} }}",
        f"`python3 -m course check {exercise.short}` · {exercise.minutes} minutes · "
        f"{objectives}",
        exercise.task,
        f'```python title="work/{exercise.id}.py"\n{exercise.starter}```',
    ]
    for number, hint in enumerate(exercise.hints, 1):
        blocks.append(_folded(f"Hint {number}", hint))
    blocks.append(_folded("Show solution", f"```python\n{exercise.solution}```"))
    return "\n\n".join(blocks)


def _quiz(section_id: str) -> str:
    """The questions of a section; each answer unfolds its reply."""
    blocks = [f"### Questions {{ #quiz-{section_id} }}"]
    for question in quiz.read(section_id):
        blocks.append(f"**{question.text}**")
        blocks += [_folded(answer.text, answer.words) for answer in question.answers]
    return "\n\n".join(blocks)


def _folded(title: str, text: str) -> str:
    return f'??? note "{title}"\n\n' + textwrap.indent(text, "    ")
