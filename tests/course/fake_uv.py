"""Stands in for uv on PATH: makes real environments, but fetches nothing.

`uv venv` makes an environment; `uv pip install` links it to the packages that the tests
run with; `uv pip compile` resolves everything to one package. FAKE_UV says how it
fails; those texts are what uv 0.13 printed when it really met the fault.
"""

import os
import signal
import sys
import time
import venv
from pathlib import Path

FAILURES = {
    "has-no-network": """\
error: Request failed after 3 retries in 3.9s
  cause: error sending request for url (the index)
  cause: client error (Connect)
  cause: dns error
  cause: failed to lookup address information: Temporary failure in name resolution
""",
    "has-a-full-disk": """\
error: Failed to download and build a package
  cause: No space left on device (os error 28)
""",
    "gets-another-file": """\
error: Failed to download `annotated-doc==0.0.7`
  cause: Hash mismatch for `annotated-doc==0.0.7`
""",
    "is-broken": "error: something nobody has seen before\n",
}


def main(words: list[str]) -> int:
    """Do what uv would."""
    mode = os.environ["FAKE_UV"]
    lock = Path(words[-1]).name
    step = words[0] if words[0] == "venv" else lock
    with Path(os.environ["FAKE_UV_CALLS"]).open("a", encoding="utf-8") as calls:
        calls.write(f"{step}\n")
    if words[1] == "compile" and mode not in FAILURES:
        sys.stdout.write(f"demo==1.0 \\\n    --hash=sha256:{'0' * 64}\n")
        return 0

    def stop(*_: object) -> None:
        with Path(os.environ["FAKE_UV_CALLS"]).open("a", encoding="utf-8") as calls:
            calls.write("stopped\n")
        sys.exit(1)

    if mode == f"hangs-at-{step}":
        signal.signal(signal.SIGTERM, stop)
        hang(Path(os.environ["FAKE_UV_RELEASE"]))
    if words[0] == "venv":
        folder = Path(words[-1])
        venv.EnvBuilder(symlinks=os.name != "nt").create(folder)
        return 0
    if mode in FAILURES:
        sys.stderr.write(FAILURES[mode])
        return 1
    folder = Path(words[words.index("--python") + 1]).parents[1]
    for packages in [*folder.glob("lib/*/site-packages"), *folder.glob("Lib/site-*")]:
        link = packages / "all.pth"
        link.write_text(os.environ["FAKE_UV_PACKAGES"], encoding="utf-8")
    return 0


def hang(until: Path) -> None:
    """Wait for the test."""
    deadline = time.monotonic() + 30
    while not until.exists() and time.monotonic() < deadline:
        time.sleep(0.01)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
