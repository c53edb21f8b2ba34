"""Who is asking."""

import getpass
import os


def asker() -> str:
    """The person at the keyboard, for records; not an identity that anything is allowed by."""
    try:
        return os.environ.get("SERIN_BY") or getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
