"""What a page says of itself: its description, and the words of Open Graph."""

from pathlib import Path

import pytest

from course.site import head


def test_a_page_without_a_description_gets_its_first_paragraph() -> None:
    text = "# A title\n\n```bash\nls\n```\n\n| a |\n|---|\n\nOne **bold** [link](a.md)."
    shown = head.described(text)
    assert shown.startswith('---\ndescription: "One bold link."\n---\n')
    assert shown.endswith(text)


def test_a_description_that_was_written_stays() -> None:
    text = '---\nhide: [toc]\ndescription: "Mine."\n---\n\n# A title\n\nWords.\n'
    assert head.described(text) == text


def test_settings_at_the_top_stay_beside_the_description() -> None:
    shown = head.described("---\nhide: [toc]\n---\n\n# A title\n\nWords.\n")
    assert shown.startswith('---\nhide: [toc]\ndescription: "Words."\n---\n')


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("Short.", "Short."),
        ("A" * 90 + ". " + "b " * 90, "A" * 90 + "."),
        ("word " * 60, ("word " * 60)[:159].rpartition(" ")[0] + "…"),
    ],
)
def test_a_long_description_ends_at_a_sentence_or_at_a_word(
    words: str, shown: str
) -> None:
    assert head.shortened(words) == shown
    assert len(head.shortened(words)) <= head.LONGEST


def test_a_built_page_says_the_same_in_the_words_of_open_graph(tmp_path: Path) -> None:
    page = tmp_path / "index.html"
    page.write_text(
        "<head><title>Jobs &amp; more - FastAPI + Pydantic</title>\n"
        '<meta name="description" content="What a &#34;job&#34; is.">\n</head>',
        encoding="utf-8",
    )
    head.introduce(tmp_path)
    text = page.read_text(encoding="utf-8")
    assert '<meta property="og:title" content="Jobs &amp; more">' in text
    assert 'property="og:description" content="What a &quot;job&quot; is."' in text
    head.introduce(tmp_path)
    assert page.read_text(encoding="utf-8") == text


def test_a_page_that_teaches_is_shown_first_by_a_search() -> None:
    shown = head.preferred('---\ndescription: "Mine."\n---\n# A title\n')
    assert shown == ('---\ndescription: "Mine."\nsearch:\n  boost: 4\n---\n# A title\n')
