"""The commands of a student's way: check, hint, reset, solution, list, progress."""

import os
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from course import cli, environment
from course.exercises import room, source, state


@dataclass
class Student:
    """The command line, with a `work` folder of its own."""

    work: Path
    capture: pytest.CaptureFixture[str]

    def course(self, *words: str) -> tuple[int, str]:
        """The exit code and what was printed."""
        code = cli.main(list(words))
        printed = self.capture.readouterr()
        return code, printed.out + printed.err

    def write(self, name: str, text: str) -> None:
        self.work.mkdir(exist_ok=True)
        (self.work / name).write_text(text, encoding="utf-8")


@pytest.fixture
def student(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Student:
    work = tmp_path / "work"
    monkeypatch.setattr(source, "WORK", work)
    monkeypatch.setattr(state, "FILE", work / "progress.json")
    monkeypatch.setattr(room, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "ensure", lambda group, arguments: None)
    return Student(work, capsys)


def test_the_first_check_writes_the_starter_and_shows_the_task(
    student: Student,
) -> None:
    code, printed = student.course("check", "s2a")

    assert code == 1
    assert "Write `Message`." in printed
    assert "work/s2a_message.py" in printed
    text = (student.work / "s2a_message.py").read_text(encoding="utf-8")
    assert text == source.find("s2a").handout()


def test_the_last_exercise_of_a_section_leads_to_its_questions(
    student: Student,
) -> None:
    *others, last = [it for it in source.exercises() if it.section == "s5"]
    for exercise in [*others, last]:
        student.write(f"{exercise.id}.py", exercise.solution)

    said = [student.course("check", it.short)[1] for it in [*others, last]]

    asked = [text for text in said if "course quiz s5" in text]
    assert asked == said[-1:]
    assert "All exercises of s5 are solved." in said[-1]


def test_the_way_through_one_exercise(student: Student) -> None:
    exercise = source.find("s5a")
    name = f"{exercise.id}.py"
    student.write(name, source.wrong_answer(exercise, exercise.mistakes[1]))

    code, printed = student.course("check", "s5a")
    assert code == 1
    assert "✔ str shows both figures" in printed
    assert "✘ the status is 400" in printed
    assert "The status blames the service" in printed
    assert "The check says: Its status is 503." in printed
    assert "\x1b" not in printed  # no colour in a pipe

    code, printed = student.course("solution", "s5a")
    assert code == 1
    assert "--reveal" in printed
    assert "class ContextLengthError" not in printed

    student.write(name, exercise.solution)
    code, printed = student.course("check", "s5a")
    assert code == 0
    assert "Solved." in printed
    assert "Next:" in printed

    code, printed = student.course("solution", "s5a")
    assert code == 0
    assert exercise.solution in printed


def test_the_second_of_two_edits_in_one_second_is_checked(student: Student) -> None:
    exercise = source.find("s5a")
    file = student.work / f"{exercise.id}.py"
    wrong = source.wrong_answer(exercise, exercise.mistakes[1])
    size = max(len(wrong), len(exercise.solution))

    codes = []
    for text in (wrong, exercise.solution):
        student.write(file.name, text.ljust(size, "\n"))
        os.utime(file, (1_700_000_000, 1_700_000_000))
        codes.append(student.course("check", "s5a")[0])

    assert codes == [1, 0]


def test_a_solution_that_is_insisted_on_is_shown(student: Student) -> None:
    code, printed = student.course("solution", "s5a", "--reveal")

    assert code == 0
    assert "class ContextLengthError" in printed


def test_hints_come_one_by_one_and_the_third_is_the_last(student: Student) -> None:
    printed = [student.course("hint", "s2b")[1] for _ in range(4)]

    assert [text.count("\n2. ") for text in printed] == [0, 1, 1, 1]
    assert "(2 more)" in printed[0]
    assert "3. " not in printed[1]
    assert "(That was the last hint.)" in printed[2]
    assert printed[3] == printed[2]


def test_a_reset_keeps_what_was_written(student: Student) -> None:
    student.write("s2a_message.py", "mine = 1\n")

    student.course("reset", "s2a")
    student.course("reset", "s2a")

    first = student.work / "s2a_message.backup-1.py"
    assert first.read_text(encoding="utf-8") == "mine = 1\n"
    assert (student.work / "s2a_message.backup-2.py").exists()
    restored = (student.work / "s2a_message.py").read_text(encoding="utf-8")
    assert restored == source.find("s2a").handout()


@pytest.mark.parametrize(
    ("word", "near"),
    [("s2x", "s2a"), ("messages", "s2a_message"), ("bucket_", "s4b_bucket")],
)
def test_a_name_that_is_not_there_is_answered_with_near_ones(
    word: str, near: str, student: Student
) -> None:
    code, printed = student.course("check", word)

    assert code == 1
    assert near in printed
    assert not (student.work / "progress.json").exists()


@pytest.mark.parametrize(
    "word", ["s2a", "S2A", "s2a_message", "message", "work/s2a_message.py"]
)
def test_an_exercise_is_called_by_its_short_name_its_name_or_its_file(
    word: str,
) -> None:
    assert source.find(word).id == "s2a_message"


def test_the_list_shows_what_is_solved_and_tried(student: Student) -> None:
    known = state.load(student.work / "progress.json")
    state.entry(known, "s1a_all_at_once")["solved"] = state.now()
    state.entry(known, "s1b_free_the_loop")["tries"] = 2
    state.save(known, student.work / "progress.json")

    code, printed = student.course("list")

    assert code == 0
    assert "✔ s1a_all_at_once" in printed
    assert "… s1b_free_the_loop" in printed
    assert "Next: " in printed
    assert "course check s1b" in printed


def test_progress_names_an_objective_when_all_its_exercises_are_solved(
    student: Student,
) -> None:
    reached = "You can: Call several models at once"
    assert reached not in student.course("progress")[1]
    known = state.load(student.work / "progress.json")
    state.entry(known, "s1a_all_at_once")["solved"] = state.now()
    state.save(known, student.work / "progress.json")

    code, printed = student.course("progress")

    assert code == 0
    assert reached in printed
    assert "s1       1 of 3 solved, 8 of 26 min" in printed


def test_a_watched_file_is_checked_again_when_it_is_saved(student: Student) -> None:
    exercise = source.find("s5a")
    student.write(f"{exercise.id}.py", exercise.starter)
    solve = threading.Timer(
        0.1, student.write, (f"{exercise.id}.py", exercise.solution)
    )
    solved: list[tuple[int, str]] = []
    watching = threading.Thread(
        target=lambda: solved.append(student.course("check", "s5a", "--watch")),
        daemon=True,
    )
    watching.start()
    solve.start()
    watching.join(timeout=50)

    assert solved
    assert solved[0][0] == 0
    assert "Solved." in solved[0][1]
