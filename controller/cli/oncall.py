"""For the person on call: back to the known good version, stop, freeze. None of these needs the controller."""

import shlex
from typing import Annotated

import typer

from controller.cli.asking import asker
from controller.cli.options import ByOption, Output, OutputOption, ReasonOption
from controller.cli.output import say, say_json
from controller.cli.place import Place, at_a_place
from controller.core.commands import ANY_MODEL
from controller.errors import UsageError
from controller.naming import model_named

FREEZE_SCHEMA = "serin.freeze/v1"


def register(app: typer.Typer) -> None:
    # Its own parser reads the arguments, which is all that runs when it is called as `serin rollback`.
    app.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True}, add_help_option=False)(
        rollback
    )
    for function in (freeze, unfreeze):
        app.command()(function)


def rollback(context: typer.Context) -> None:
    """Send all of a model's traffic back to its known good version, now. Works even when everything else is down.

    Example: serin rollback intent --reason "wrong refunds, incident 4711"
    """
    from controller.cli.rollback import rollback as run

    run(context.args)


@at_a_place
def freeze(
    model: Annotated[str, typer.Argument(help="The model, or * for every one.")],
    reason: ReasonOption,
    place: Place,
    by: ByOption = "",
    silent: Annotated[bool, typer.Option("--silent", help="Also send no notices about the model meanwhile.")] = False,
    lasts: Annotated[
        str, typer.Option("--for", help="30m, 2h, 3d, then it ends by itself; never: when lifted.")
    ] = "never",
    output: OutputOption = Output.TEXT,
) -> None:
    """Halt every model change until it is lifted, or for a time. A rollback is always possible.

    Example: serin freeze '*' --for 2h --reason "error budget spent"
    """
    if model != ANY_MODEL:
        model_named(model)  # before anything is opened
    for_s = _seconds(lasts)
    with place.opened(writing=True) as installation:
        frozen = installation.freeze(model, reason=reason, by=by or asker(), silent=silent, for_s=for_s)
    from controller.report.words import utc

    if output is Output.JSON:
        told_so = {"by": frozen.by, "at_s": frozen.at_s, "silent": silent, "ends_at_s": frozen.ends_at_s}
        say_json({"schema": FREEZE_SCHEMA, "model": model, "frozen": True, **told_so})
        return
    told = ", and nobody is told of it" if silent else ""
    ends, lift = ("", "lift it") if frozen.ends_at_s is None else (f" until {utc(frozen.ends_at_s)}", "lift it sooner")
    say(f'{model}: frozen{ends}{told}. To {lift}: serin unfreeze {shlex.quote(model)} --reason "..."{place.flags}')


def _seconds(lasts: str) -> float | None:
    """Return how long the freeze is to hold. Raises UsageError, which says how it is written."""
    from serving.access.age import parse_age

    try:
        age = parse_age(lasts)
    except ValueError as error:
        raise UsageError(f"--for {error}") from error
    return None if age is None else age.total_seconds()


@at_a_place
def unfreeze(
    model: Annotated[str, typer.Argument(help="The model, or * for the freeze of all models.")],
    reason: ReasonOption,
    place: Place,
    by: ByOption = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """Lift a freeze.

    Example: serin unfreeze '*' --reason "budget is back"
    """
    with place.opened(writing=True) as installation:
        lifted = installation.unfreeze(model, reason=reason, by=by or asker())
    if output is Output.JSON:
        say_json({"schema": FREEZE_SCHEMA, "model": model, "lifted": lifted, "frozen": False})
        return
    say(f"{model}: {'lifted' if lifted else 'nothing was frozen'}.")
