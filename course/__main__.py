"""`python3 -m course`: stops an old Python with a sentence before it meets new syntax.

Any Python from 2.7 on can parse this file; the others are imported afterwards.
"""

import sys

OLDEST = (3, 11)

if sys.version_info < OLDEST:
    sys.exit(
        "The course needs Python 3.11 or newer; this is %s (%s).\n"  # noqa: UP031 - old Pythons read this
        "If a newer one is installed, name it:  python3.13 -m course run\n"
        "Otherwise install it:\n"
        "  Debian 12, Ubuntu 24.04:    sudo apt install python3 python3-venv\n"
        "  macOS:                      brew install python@3.13\n"
        "  Windows:                    winget install Python.Python.3.13\n"
        "  any of them, with uv:       uv run --python 3.13 course run"
        % (sys.version.split()[0], sys.executable)
    )

from course.cli import main  # noqa: E402 - the check above comes first

if __name__ == "__main__":
    sys.exit(main())
