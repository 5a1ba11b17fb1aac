"""From the words of the course to those of a project that stands alone.

Three rules, from the sure one to the bold one:

1. Modules, paths, prefixes and commands have one meaning wherever they stand, so they
   are exchanged in code, strings, comments and files of every kind (`exchange`).
2. "section 4" of a comment or docstring is "the core": the package `core` holds what
   the service takes from the sections. A section of a standard stays what it is.
3. A sentence of a comment or docstring that still speaks of the course is left out.
"""

import re
import textwrap

from course.export.names import Names

WIDTH = 88
CORE = {  # what the modules of the sections are called in `core`
    "s1_why_fastapi": "fan_out",
    "s2_models": "models",
    "s3_patterns": "patterns",
    "s4_dependency_injection": "dependencies",
    "s5_error_handling": "errors",
}
SECTION = re.compile(r"s[1-9]_\w+")

_LEFTOVER = re.compile(
    r"""
    (?<!\bof\s)\bcourse\b  # "of course" is English
    | course[./_]\w
    | \bchapters?\b | \bstudents?\b | \blectur\w+ | \bclassroom\b
    | \blessons?\b | \bexercises?\b | \bnotebooks?\b | \bslides?\b | \bdecks?\b
    | \b(taught|teach(es)?)\b
    | \bsections?[\s_]+[1-9]\b(?![.\d])
    | \bstep\ s[1-9] | \bs[1-9](\.[1-9]|_\w+)
    | full[-_ ]?app | FULL_APP
    | \bexamples[./]\w | \bbenchmarks\b | \bdocs/[\w-]+
    """,
    re.VERBOSE | re.IGNORECASE,
)
_STANDARD = re.compile(r"(RFC|ECMA|ITU)[^;:.]{0,30}$")
_SECTIONS = re.compile(r"\b([Ss])ection(\s+)[1-9]\b(?!\.\d)('s)?")
_PARAGRAPHS = re.compile(r"\n[ \t]*\n")
_SENTENCES = re.compile(r"(?<=[.!?:])\s+(?=[A-Z`\"'(])")


def core_name(section: str) -> str:
    """What the module of a section is called in `core`: `s2_models` is `models`."""
    return CORE.get(section, section.partition("_")[2])


def exchange(text: str, names: Names) -> str:
    """Rule 1: `text` with the project's modules, paths, prefixes and commands."""
    text = re.sub(r"\bexamples([./])full_app\b", names.package, text)
    text = re.sub(
        rf"\bexamples([./])({SECTION.pattern})",
        lambda found: f"{names.package}{found[1]}core{found[1]}{core_name(found[2])}",
        text,
    )
    text = re.sub(r"\bexamples(?=\.__)", names.package, text)
    run = f"uvicorn --no-proxy-headers {names.app}"
    text = re.sub(r"\bpython3? -m course run\b", run, text)
    text = text.replace("FULL_APP_", names.prefix).replace("COURSE_", names.prefix)
    return text.replace("full_app", names.package).replace("full-app", names.project)


def plain(text: str, names: Names) -> str:
    """Rules 1 and 2: the words of a comment or docstring, every sentence kept."""
    return _SECTIONS.sub(_core, exchange(text, names))


def paragraphs(text: str, names: Names, margin: str) -> str:
    """Rules 1 to 3: a docstring without its quotes. `margin` begins its further lines.

    A paragraph that loses a sentence is filled anew, the others keep their lines. The
    result is empty if every sentence spoke of the course.
    """
    text = plain(text, names)
    if not leftovers(text):
        return text
    kept = []
    for paragraph in _PARAGRAPHS.split(text):
        if not leftovers(paragraph):
            kept.append(paragraph.strip())
        elif sentences := without_course(paragraph):
            kept.append(filled(sentences, margin))
    return f"\n\n{margin}".join(kept)


def without_course(text: str) -> str:
    """Rule 3, in one line: the sentences of `text` that do not speak of the course."""
    sentences = _SENTENCES.split(" ".join(text.split()))
    return " ".join(it for it in sentences if not leftovers(it))


def filled(text: str, margin: str) -> str:
    """`text` in lines of the usual width; the first one comes without its margin."""
    lines = textwrap.wrap(
        text,
        WIDTH,
        initial_indent=margin,
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines)[len(margin) :]


def leftovers(text: str) -> list[str]:
    """The words of the course in `text`. A section of a standard is none of them."""
    return [
        found[0]
        for found in _LEFTOVER.finditer(text)
        if not (found[0].lower().startswith("section") and _is_a_standards(found))
    ]


def _is_a_standards(found: re.Match[str]) -> bool:
    return bool(_STANDARD.search(found.string[: found.start()]))


def _core(found: re.Match[str]) -> str:
    if _is_a_standards(found):
        return found[0]
    the = "The" if found[1] == "S" else "the"
    return f"{the}{found[2]}core{found[3] or ''}"
