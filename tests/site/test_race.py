"""The race of the home page: as it was recorded, with its figures in words."""

from course.site import race


def test_the_race_has_a_dot_for_each_recorded_frame_and_four_first_words() -> None:
    lanes = race.recorded()
    drawn = race.figure()

    assert [it.name for it in lanes] == ["Synchronous", "Streaming", "Job", "Webhook"]
    assert drawn.count("<circle") == sum(len(it.frames_ms) for it in lanes)
    assert drawn.count('class="first"') == 4
    for lane in lanes:
        assert f"{lane.name}: first word {race.seconds(lane.first_ms)}" in drawn


def test_the_recorded_stream_shows_its_first_word_before_the_whole_answer() -> None:
    synchronous, streaming, *_ = race.recorded()

    assert streaming.first_ms < synchronous.first_ms
    assert streaming.first_ms in streaming.frames_ms


def test_a_time_is_said_as_a_person_says_it() -> None:
    assert [race.seconds(it) for it in (80, 999, 1000, 2140)] == [
        "80 ms",
        "999 ms",
        "1.0 s",
        "2.1 s",
    ]
