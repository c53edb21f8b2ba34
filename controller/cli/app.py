"""`serin`: the commands, and how their errors are told."""

import sys
from typing import NoReturn

import typer

from controller.cli import local, oncall, pipeline, policy, registry, releases
from controller.errors import SerinError, TransientError, UsageError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_COULD_NOT_JUDGE = 4

app = typer.Typer(
    name="serin",
    help="Release gate and canary controller for text classifiers: promotes or rolls back by itself, and says why.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for module in (local, registry, releases, oncall, pipeline, policy):
    module.register(app)


def main() -> NoReturn:
    """Run a command; an error that a person can act on is one line on standard error, with an exit code of its own."""
    try:
        app()
    except UsageError as error:
        _give_up(error, EXIT_USAGE)
    except TransientError as error:
        _give_up(error, EXIT_COULD_NOT_JUDGE)
    except SerinError as error:
        _give_up(error, EXIT_FAILED)
    sys.exit(0)


def _give_up(error: SerinError, code: int) -> NoReturn:
    print(f"serin: {error}", file=sys.stderr)
    sys.exit(code)
