"""The try-it lines of a module's docstring, for the port it is really served on."""

import re

BASE = "http://127.0.0.1:8000"


def try_it(docstring: str | None, address: str) -> list[str]:
    """Each `curl` command of `docstring` on one line, sent to `address`."""
    joined = re.sub(r"\\\n\s*", "", docstring or "")
    lines = map(str.strip, joined.splitlines())
    found = [line.replace(BASE, address) for line in lines if line.startswith("curl ")]
    return (
        ["Try it, in a second terminal:", *(f"  {it}" for it in found)] if found else []
    )
