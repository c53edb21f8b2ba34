"""The words by which commands are told where Serin is, and what holds before anything is read: quick to import."""

from pathlib import Path
from typing import Final

HOME_VARIABLE: Final = "SERIN_HOME"
SERVER_VARIABLE: Final = "SERIN_SERVER"
TOKEN_FILE_VARIABLE: Final = "SERIN_TOKEN_FILE"  # noqa: S105 - a name
CA_FILE_VARIABLE: Final = "SERIN_CA_FILE"
DEFAULT_HOME: Final = Path(".serin")
PRIVATE_UMASK: Final = 0o077  # of every process that writes to a home: what it makes is its owner's alone
INSTALLATION_KEY: Final = "installation"
"""Of what a controller says of its health: the word of its home, which tells it from any other."""
