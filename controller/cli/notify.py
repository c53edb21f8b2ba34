"""`serin notify`: see that people would be told."""

from typing import Annotated

import typer

from controller.cli.asking import asker
from controller.cli.options import DEFAULT_HOME_OPTION, HomeOption, home_at
from controller.cli.output import say
from controller.exit_codes import EXIT_ERROR


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Who is told without asking: docs/notifications.md.")
    group.command("test")(tell)
    app.add_typer(group, name="notify")


def tell(
    target: Annotated[str | None, typer.Argument(help="Only this target of the setting `notify`.")] = None,
    home: HomeOption = DEFAULT_HOME_OPTION,
) -> None:
    """Tell each target that this is a test, now, and say what came of it.

    Exit code: 0 each of them took it, 4 one did not.

    Example: serin notify test pager
    """
    from controller.bootstrap.notify import try_targets

    tried = try_targets(home_at(home), target, asker())
    for one in tried:
        said = f"not told: {one.trouble}" if one.trouble else f"told in {one.took_s:.1f} s"
        say(f"{one.target}: {said}")
    if any(one.trouble for one in tried):
        raise typer.Exit(EXIT_ERROR)
