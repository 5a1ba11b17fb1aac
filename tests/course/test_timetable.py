"""The timetables of course.toml add up, and every talk in them is a deck."""

import pytest

from course import timetable
from course.deck.source import decks
from course.manifest import sections
from course.places import CourseError
from course.timetable import Timetable

TABLES = timetable.timetables()


@pytest.mark.parametrize("table", TABLES, ids=lambda table: str(table.name))
def test_a_timetable_fits_its_time_from_the_opening_to_the_takeaways(
    table: Timetable,
) -> None:
    assert 0.8 * table.minutes <= table.taken <= table.minutes
    assert table.rows[0].title == "Opening"
    assert table.rows[-1].title == "Takeaways"


@pytest.mark.parametrize("table", TABLES, ids=lambda table: str(table.name))
def test_each_part_begins_when_the_one_before_ends(table: Timetable) -> None:
    for before, after in zip(table.rows, table.rows[1:], strict=False):
        assert after.starts == before.starts + before.minutes
    assert table.rows[0].clock == "9:00"


@pytest.mark.parametrize("table", TABLES, ids=lambda table: str(table.name))
def test_a_talk_is_as_long_as_its_deck(table: Timetable) -> None:
    listed = decks()
    talks = {"Opening": listed[0].minutes, "Takeaways": listed[-1].minutes}
    for section, deck in zip(sections(), listed[1:-1], strict=True):
        talks[section.title] = deck.minutes
    for row in table.rows:
        if not row.rest:
            assert row.talk == talks[row.title]


def test_a_day_has_every_section_whole() -> None:
    titles = [row.title for row in TABLES[-1].rows if row.exercise and row.review]

    assert titles == [section.title for section in sections()]


def test_an_unknown_part_is_named() -> None:
    with pytest.raises(CourseError, match="s9"):
        list(timetable.rows_of(["opening", "s9"], 1))
