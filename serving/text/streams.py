"""The standard streams take any text, whatever their encoding."""

import sys


def take_any_text() -> None:
    """Have a stream show what its encoding cannot as an escape from here on, so that no print fails by it."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
