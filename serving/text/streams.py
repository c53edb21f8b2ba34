"""The standard streams take any text, whatever their encoding."""

import sys


def take_any_text() -> None:
    """What a stream's encoding cannot show stands as its escape from here on, and no print fails by it."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
