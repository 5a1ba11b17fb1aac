"""Quizzes: one right answer, every answer replied to, and a test that proves it."""

import io
from pathlib import Path

import pytest

from course import cli
from course.exercises import quiz, state
from course.exercises.quiz import Question
from course.notebook import quiz as notebook_quiz
from course.places import CourseError
from tests.servers import ROOT

SECTIONS = ["s1", "s2", "s3", "s4", "s5", "full_app"]
QUESTIONS = [(section, one) for section in SECTIONS for one in quiz.read(section)]


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_has_two_to_four_questions(section: str) -> None:
    assert 2 <= len(quiz.read(section)) <= 4


@pytest.mark.parametrize("pair", QUESTIONS, ids=lambda pair: pair[1].text[:40])
def test_a_question_has_one_right_answer_and_a_test_that_proves_it(
    pair: tuple[str, Question],
) -> None:
    question = pair[1]
    file, _, name = question.proof.partition("::")

    assert sum(answer.right for answer in question.answers) == 1
    assert len({answer.words for answer in question.answers}) >= 3
    assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")


def test_the_right_answer_is_not_always_at_the_same_place() -> None:
    places = {
        [answer.right for answer in question.answers].index(True)
        for _, question in QUESTIONS
    }

    assert len(places) > 1


def letters_of(section: str, *, right: bool) -> str:
    letters = []
    for question in quiz.read(section):
        place = [answer.right for answer in question.answers].index(right)
        letters.append("abc"[place])
    return "\n".join(letters) + "\n"


@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
def test_every_answer_is_replied_to_and_the_result_is_kept(
    right: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(state, "FILE", tmp_path / "progress.json")
    monkeypatch.setattr("sys.stdin", io.StringIO("x\n" + letters_of("s2", right=right)))

    code = cli.main(["quiz", "s2"])

    shown = capsys.readouterr().out
    assert code == (0 if right else 1)
    assert "Type one letter: a, b, c." in shown
    assert f"{3 if right else 0} of 3 right." in shown
    for question in quiz.read("s2"):
        words = [one.words for one in question.answers if one.right == right]
        assert any(each in shown for each in words)
    kept = state.load(tmp_path / "progress.json")["quizzes"]["s2"]
    assert kept == {"right": 3 if right else 0, "of": 3}


def test_a_quiz_that_is_left_ends_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))

    assert cli.main(["quiz", "s1"]) == 1
    assert "before its last answer" in capsys.readouterr().err


def test_a_section_without_a_quiz_hears_which_there_are(tmp_path: Path) -> None:
    (tmp_path / "s1.toml").touch()

    with pytest.raises(CourseError, match=r"no quiz for s2. There are: s1\."):
        quiz.read("s2", tmp_path)


@pytest.mark.parametrize("section", SECTIONS)
def test_a_notebook_shows_the_same_questions_with_the_replies_folded(
    section: str,
) -> None:
    shown = notebook_quiz(section)

    for question in quiz.read(section):
        assert question.text in shown.text
        assert f"{question.text}**" in shown.markdown
        for answer in question.answers:
            assert answer.text in shown.text
            assert answer.words not in shown.text
            assert f"</summary>\n\n{answer.words}\n\n</details>" in shown.markdown
