"""Try-it lines are printed so that they work where they are printed."""

import json

import pytest

from course.tryit import BASE, parse, powershell, try_it


def windows_words(command: str) -> list[str]:
    """A command line taken apart as C programs on Windows do it.

    Rules: https://learn.microsoft.com/cpp/c-language/parsing-c-command-line-arguments
    """
    words: list[str] = []
    word, backslashes, quoted, begun = "", 0, False, False
    for letter in f"{command} ":
        if letter == "\\":
            backslashes += 1
            begun = True
            continue
        if letter == '"':
            word += "\\" * (backslashes // 2)
            if backslashes % 2:
                word += '"'
            else:
                quoted = not quoted
            begun = True
        else:
            word += "\\" * backslashes
            if letter == " " and not quoted:
                if begun:
                    words.append(word)
                word, begun = "", False
            else:
                word += letter
                begun = True
        backslashes = 0
    return words


@pytest.mark.parametrize(
    "body",
    [
        '{"text": "hello"}',
        '{"text": "it isn\'t \\"so\\""}',
        '{"path": "C:\\\\new\\\\"}',
        '{"text": "café, 日本"}',
        "ends with \\",
        "",
    ],
)
def test_a_line_for_powershell_arrives_as_the_same_words(body: str) -> None:
    quoted = body.replace("'", "'\\''")
    line = f"curl -s {BASE}/a?b=1 -H 'Content-Type: application/json' -d '{quoted}'"
    command = powershell(parse(line))

    assert command.startswith("curl.exe --% ")
    words = windows_words(command.removeprefix("curl.exe --% "))
    *others, sent = words
    assert others == [
        "-s",
        f"{BASE}/a?b=1",
        "-H",
        "Content-Type: application/json",
        "-d",
    ]
    assert sent.isascii()
    if body.startswith("{"):
        assert json.loads(sent) == json.loads(body)
    else:
        assert sent == body


def test_the_terminal_shows_the_line_of_its_own_system() -> None:
    docstring = f"    curl -s {BASE}/ask \\\n        -d '{{\"a\": 1}}'\n"

    assert try_it(docstring, "http://x:1", windows=False) == [
        "Try it, in a second terminal:",
        "  curl -s http://x:1/ask -d '{\"a\": 1}'",
    ]
    assert try_it(docstring, "http://x:1", windows=True) == [
        "Try it, in a second PowerShell window:",
        '  curl.exe --% -s http://x:1/ask -d "{\\"a\\": 1}"',
    ]
