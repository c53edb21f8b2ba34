"""A release on its way, steered by a person: stop it, let it go on, wait, take its next step."""

from typing import Annotated

import typer

from controller.cli.asking import asker
from controller.cli.options import ByOption, ModelArgument, Output, OutputOption, ReasonOption
from controller.cli.output import say, say_json
from controller.cli.place import Place, at_a_place
from controller.core.commands import Ask
from controller.core.foresight import Foreseen
from controller.errors import SerinError, UsageError
from controller.naming import model_named

ASKED_SCHEMA = "serin.asked/v1"
_WITHOUT_IT = "`serin rollback` needs no controller."
_MOVED = {
    "get": "`serin status MODEL` shows a release and its gates, `serin why RELEASE` what decided it, "
    "`serin release list` all of them",
    "retry": "`serin release start MODEL VERSION --repeat --reason ...` starts a version's release again; a held one "
    "continues with `serin resume MODEL`",
}


def register(app: typer.Typer) -> None:
    for function in (abort, resume, pause, promote):
        app.command()(function)
    for name in _MOVED:
        app.command(name, hidden=True, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})(
            _moved
        )


@at_a_place
def abort(
    model: ModelArgument,
    reason: ReasonOption,
    place: Place,
    by: ByOption = "",
    id_: Annotated[str, typer.Option("--id", help="A command repeated with the same id counts once.")] = "",
    output: OutputOption = Output.TEXT,
) -> None:
    """Abort the release in progress; all traffic goes to the stable version. Says what it does, or that no release is
    in progress.

    Example: serin abort intent --reason "wrong checkpoint"
    """
    _ask(place, Ask.ABORT, model, reason, by, output, id_)


@at_a_place
def resume(
    model: ModelArgument, reason: ReasonOption, place: Place, by: ByOption = "", output: OutputOption = Output.TEXT
) -> None:
    """Continue a held release, with fresh gates and a new deadline, or a paused one from where it is.

    Example: serin resume intent --reason "labels are back"
    """
    _ask(place, Ask.RESUME, model, reason, by, output)


@at_a_place
def pause(
    model: ModelArgument, reason: ReasonOption, place: Place, by: ByOption = "", output: OutputOption = Output.TEXT
) -> None:
    """Expose no more users to the release in progress until it is resumed.

    Its gates go on judging, a failure still rolls it back, and its deadline stays.

    Example: serin pause intent --reason "big customer's launch until six"
    """
    _ask(place, Ask.PAUSE, model, reason, by, output)


@at_a_place
def promote(
    model: ModelArgument, reason: ReasonOption, place: Place, by: ByOption = "", output: OutputOption = Output.TEXT
) -> None:
    """Take the release in progress to its next step now, on your word, which is recorded.

    From shadow to the first step, or from one step to the next, whether its gates are settled or not. Only the gates
    can give the version to everybody.

    Example: serin promote intent --reason "seen by hand, night is quiet"
    """
    _ask(place, Ask.PROMOTE, model, reason, by, output)


def _moved(context: typer.Context) -> None:
    """Say where a word of Argo Rollouts went."""
    name = context.info_name or ""
    raise UsageError(f"{name}: {_MOVED.get(name, 'there is no such command')}")


def _ask(place: Place, ask: Ask, model: str, reason: str, by: str, output: Output, command_id: str = "") -> None:
    """Ask, and say what comes of it. That it cannot be foreseen keeps nobody from asking."""
    model_named(model)  # before anything is opened
    with place.opened(writing=True) as installation:
        foreseen = _foreseen(place, ask, model)
        words = {
            Ask.ABORT: installation.abort,
            Ask.RESUME: installation.resume,
            Ask.PAUSE: installation.pause,
            Ask.PROMOTE: installation.promote,
        }
        command, new = words[ask](model, reason=reason, by=by or asker(), command_id=command_id)
    if output is Output.JSON:
        told = {"schema": ASKED_SCHEMA, "ask": ask, "model": model, "command": command.id, "new": new}
        answers = not place.why_it_waits()
        say_json({**told, "foreseen": foreseen.sentence, "acts": foreseen.acts, "controller": answers})
        return
    if foreseen.sentence:
        say(f"{model}: {foreseen.sentence}")
    if foreseen.acts:
        waits = place.why_it_waits()
        then = f"{waits} {_WITHOUT_IT}" if waits else "the controller takes it up at its next round."
        say(f"{model}: {ask} asked for; {then}")


def _foreseen(place: Place, ask: Ask, model: str) -> Foreseen:
    from controller.service import UnknownError

    try:
        with place.opened() as installation:
            return installation.foresee(ask, model)
    except UnknownError:
        raise
    except (SerinError, OSError):
        return Foreseen("")
