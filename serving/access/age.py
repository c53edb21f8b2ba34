"""The age of a token, as a person writes it."""

import re
from datetime import timedelta
from typing import Final

_UNITS: Final = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_NEVER: Final = "never"


def parse_age(text: str) -> timedelta | None:
    """Minutes, hours or days as 30m, 12h or 90d; None for never.

    Raises:
        ValueError: it is none of these.
    """
    if text == _NEVER:
        return None
    match = re.fullmatch(r"([1-9][0-9]{0,4})([mhd])", text)
    if match is None:
        raise ValueError(f"{text!r}: give minutes, hours or days as 30m, 12h or 90d, or never")
    return int(match[1]) * _UNITS[match[2]]
