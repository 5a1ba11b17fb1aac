"""Where the repository is. Everything that measures starts its processes there."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The protocol of connections that full_app brings along, for uvicorn's `--http`.
FULL_APP_PROTOCOL = "examples.full_app.web.connection.protocol:FastProtocol"
