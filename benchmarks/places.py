"""Where the repository is. Everything that measures starts its processes there."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
