"""The page of exercises shows every task unsolved, with the solution folded."""

from course.exercises import quiz, source
from course.site import exercises, pages


def test_every_exercise_is_on_the_page_with_its_solution_folded() -> None:
    page = pages.expand(pages.PAGES / "exercises.md")

    for one in source.exercises():
        assert f"### {one.title}" in page
        assert one.starter in page
        assert one.solution not in page  # indented: it is inside a folded block
    assert page.count('??? note "Show solution"') == len(source.exercises())


def test_every_question_is_on_the_page_and_each_answer_folds_its_reply() -> None:
    page = exercises.listed()

    for question in quiz.read("s3"):
        assert f"**{question.text}**" in page
        for answer in question.answers:
            assert f'??? note "{answer.text}"\n\n    {answer.words}' in page
