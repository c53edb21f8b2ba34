"""The one who is asking, and the reason."""

import getpass
import os

from controller.errors import UsageError


def asker() -> str:
    """The person at the keyboard, for records; not an identity that anything is allowed by."""
    try:
        return os.environ.get("SERIN_BY") or getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def given_seconds(seconds: float) -> float:
    """The time to wait. Raises UsageError where it is none: no clock ever comes to "nan"."""
    if not seconds >= 0:
        raise UsageError(f"{seconds:g} is no time to wait: give seconds, 0 or more")
    return seconds


def given_reason(text: str) -> str:
    """The reason, which says something. Raises UsageError where it does not."""
    if not text.strip():
        raise UsageError("--reason is empty: say why, for those who read the journal later")
    return text
