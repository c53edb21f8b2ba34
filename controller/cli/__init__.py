"""The command line. Each command imports what it needs when it runs; one asked on call, nothing that takes long."""

import sys
from typing import NoReturn

from controller.cli.errors import told
from serving.text.streams import take_any_text

__all__ = ["main"]


def _is_told_already() -> bool:
    """Return whether it was an abort, and a controller that runs has taken it in."""
    if sys.argv[1:2] != ["abort"]:
        return False
    from controller.cli.abort import is_told

    return is_told(sys.argv[2:])


def main() -> NoReturn:
    """Run the command that the arguments name; an error that a person can act on is one line on standard error."""
    take_any_text()
    with told():
        if sys.argv[1:2] == ["rollback"]:
            from controller.cli.rollback import rollback

            rollback(sys.argv[2:])
        elif not _is_told_already():
            from controller.cli.app import app

            app()
    sys.exit(0)
