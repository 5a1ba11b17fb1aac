"""The quiz of a section in a notebook: each answer unfolds its reply."""

from course import manifest
from course.exercises.quiz import LETTERS, read
from course.notebook.display import Shown

FOLDED = "<details>\n<summary>{letter}) {text}</summary>\n\n{words}\n\n</details>"


def quiz(word: str) -> Shown:
    """The questions of a section (`s2`), the same as those of `course quiz`."""
    plain: list[str] = []
    marked: list[str] = []
    for number, question in enumerate(read(manifest.find(word).id), 1):
        plain.append(f"{number}. {question.text}")
        marked.append(f"**{number}. {question.text}**")
        for letter, answer in zip(LETTERS, question.answers, strict=False):
            plain.append(f"   {letter}) {answer.text}")
            marked.append(
                FOLDED.format(letter=letter, text=answer.text, words=answer.words)
            )
    return Shown("\n".join(plain), "\n\n".join(marked))
