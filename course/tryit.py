"""The try-it lines of a module's docstring, and for the port it is really served on."""

import re

BASE = "http://127.0.0.1:8000"


def joined(text: str) -> str:
    """`text`, where a line that ends with a backslash is one with the next."""
    return re.sub(r"\\\n\s*", "", text)


def curl_lines(text: str | None) -> list[str]:
    """Every `curl` command of `text`, in one line each."""
    lines = map(str.strip, joined(text or "").splitlines())
    return [line for line in lines if line.startswith("curl ")]


def try_it(docstring: str | None, address: str) -> list[str]:
    """Each `curl` command of `docstring` on one line, sent to `address`."""
    found = [line.replace(BASE, address) for line in curl_lines(docstring)]
    return (
        ["Try it, in a second terminal:", *(f"  {it}" for it in found)] if found else []
    )
