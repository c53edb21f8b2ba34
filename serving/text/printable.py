"""The words of a file, a person or a model, as they may stand in a terminal, a log or a CI system: on one line."""

import re
import unicodedata
from typing import Final

SHOWN_MAX: Final = 40
COMMAND: Final = re.compile(r"##(?=\[|vso\[|teamcity\[)", re.IGNORECASE)  # a CI system obeys these anywhere in a line
_COMMAND_AT_START: Final = re.compile(r"^(\s*):(?=:)")  # and this where a line begins with it


def printable(text: str) -> str:
    """The text without anything that moves a cursor, begins a line, turns its direction, or commands a CI system.

    Control and format characters (line breaks, escapes, bidirectional overrides, zero width) stand as their escapes,
    spaces of any kind as a space; everything else stays.
    """
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)
    return COMMAND.sub("# #", text) if "##" in text else text


def one_line(text: str) -> str:
    """A whole line of output: `printable`, and no workflow command though a name leads it."""
    return _COMMAND_AT_START.sub(r"\1: ", printable(text))


def shown(text: str) -> str:
    """At most so much of what somebody else wrote, printable."""
    return printable(text if len(text) <= SHOWN_MAX else f"{text[: SHOWN_MAX - 1]}…")


def _escaped(letter: str) -> str:
    return " " if unicodedata.category(letter) == "Zs" else ascii(letter)[1:-1]
