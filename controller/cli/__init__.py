"""The command line. Each command imports what it needs when it runs, so that a rollback starts at once."""

from controller.cli.app import main

__all__ = ["main"]
