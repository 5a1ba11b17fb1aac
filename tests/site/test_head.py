"""What a page says of itself: its description, and the words of Open Graph."""

import struct
from pathlib import Path

import pytest

from course import chromium
from course.places import CourseError
from course.site import head, preview
from tests.servers import ROOT


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


PAGE = (
    "<head><title>Jobs - FastAPI + Pydantic</title>\n"
    '<meta name="description" content="What a job is.">\n</head>'
)
SITE = "https://course.example.com/fastapi/"


def test_a_site_that_knows_its_address_gives_a_link_its_picture(tmp_path: Path) -> None:
    page = tmp_path / "sections" / "jobs" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text(PAGE, encoding="utf-8")

    head.introduce(tmp_path, SITE, preview.PLACE)

    text = page.read_text(encoding="utf-8")
    assert f'<meta property="og:url" content="{SITE}sections/jobs/">' in text
    assert f'<meta property="og:image" content="{SITE}{preview.PLACE}">' in text
    assert '<meta property="og:image:width" content="1200">' in text
    assert 'property="og:image:alt" content="FastAPI + Pydantic. Building' in text


def test_a_site_without_an_address_names_no_picture(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(PAGE, encoding="utf-8")
    head.introduce(tmp_path, "", preview.PLACE)
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "og:title" in text
    assert "og:image" not in text
    assert "og:url" not in text


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("", ""),
        ("https://course.example.com", "https://course.example.com/"),
        ("http://127.0.0.1:9000/a/", "http://127.0.0.1:9000/a/"),
    ],
)
def test_the_address_of_the_site_is_set_from_outside(
    given: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(preview.SITE_URL, given)
    assert preview.site_url() == address


def test_an_address_without_its_scheme_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(preview.SITE_URL, "course.example.com")
    with pytest.raises(CourseError, match="must begin with https://"):
        preview.site_url()


def test_mkdocs_takes_the_same_address(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = pytest.importorskip("mkdocs.config", reason="needs the group docs")
    written = str(ROOT / "mkdocs.yml")
    # The folder that the file names is there once the site has been built.
    monkeypatch.setenv(preview.SITE_URL, SITE)
    assert config.load_config(written, docs_dir=str(tmp_path)).site_url == SITE
    monkeypatch.delenv(preview.SITE_URL)
    assert not config.load_config(written, docs_dir=str(tmp_path)).site_url


def test_without_a_browser_the_picture_is_missed_in_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(chromium, "program", lambda: None)
    with pytest.raises(CourseError, match="Chrome or Edge draws it"):
        preview.draw(tmp_path / "preview.png")


@pytest.mark.deep
def test_the_picture_has_the_size_that_the_tags_say(tmp_path: Path) -> None:
    if chromium.program() is None:
        pytest.skip("needs Chromium")
    preview.draw(tmp_path / "preview.png")
    begins = (tmp_path / "preview.png").read_bytes()[:24]
    assert begins.startswith(b"\x89PNG")
    assert struct.unpack(">II", begins[16:]) == (preview.WIDTH, preview.HEIGHT)
