"""`serin notify`: see that people would be told."""

from dataclasses import asdict
from typing import Annotated, Final

import typer

from controller.cli.asking import asker
from controller.cli.options import DEFAULT_HOME_OPTION, HomeOption, Output, OutputOption, home_at
from controller.cli.output import say, say_json
from controller.exit_codes import EXIT_ERROR

SCHEMA: Final = "serin.notified/v1"


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Who is told without asking: docs/notifications.md.")
    group.command("test")(tell)
    app.add_typer(group, name="notify")


def tell(
    target: Annotated[str | None, typer.Argument(help="Only this target of the setting `notify`.")] = None,
    output: OutputOption = Output.TEXT,
    home: HomeOption = DEFAULT_HOME_OPTION,
) -> None:
    """Send each target a test notice now, and report the results.

    Exit code: 0 every target took it, 4 one did not.

    Example: serin notify test pager
    """
    from controller.bootstrap.notify import try_targets

    tried = try_targets(home_at(home), target, asker())
    if output is Output.JSON:
        say_json({"schema": SCHEMA, "tried": [asdict(one) for one in tried]})
    for one in tried if output is Output.TEXT else ():
        said = f"not told: {one.trouble}" if one.trouble else f"told in {one.took_s:.1f} s"
        say(f"{one.target}: {said}")
    if any(one.trouble for one in tried):
        raise typer.Exit(EXIT_ERROR)
