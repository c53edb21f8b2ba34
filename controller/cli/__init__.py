"""The command line. Each command imports what it needs when it runs; one asked on call, nothing that takes long."""

import gc
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

from controller.cli.errors import told
from serving.text.streams import take_any_text

__all__ = ["main"]

_OBJECTS_BETWEEN_COLLECTIONS: Final = 100_000
"""Most commands end before they have made as many that refer to each other: looking for some takes a tenth of their
time."""


def _left_to_do(arguments: Sequence[str]) -> Sequence[str] | None:
    """The arguments of what is left to do: None where it was an abort, and a controller that runs has taken it in."""
    if arguments[:1] != ["abort"]:
        return arguments
    from controller.cli.abort import unless_told

    left = unless_told(arguments[1:])
    return None if left is None else ["abort", *left]


def main() -> NoReturn:
    """Run the command that the arguments name; an error that a person can act on is one line on standard error."""
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    take_any_text()
    with told():
        if sys.argv[1:2] == ["rollback"]:
            from controller.cli.rollback import rollback

            rollback(sys.argv[2:])
        elif (left := _left_to_do(sys.argv[1:])) is not None:
            from controller.cli.app import app

            app(left)
    sys.exit(0)
