"""For the person on call: back to the known good version, stop, freeze. None of these needs the controller."""

import time
from typing import Annotated

import typer

from controller.cli.options import DEFAULT_HOME_OPTION, ByOption, HomeOption, ReasonOption, asker, home_at
from controller.core.command import Freeze


def register(app: typer.Typer) -> None:
    for function in (rollback, freeze, unfreeze):
        app.command()(function)


def rollback(
    model: Annotated[str, typer.Argument(help="The registered model's name.")],
    reason: ReasonOption,
    to: Annotated[str | None, typer.Option("--to", help="A version that runs, instead of the known good one.")] = None,
    by: ByOption = "",
    home: HomeOption = DEFAULT_HOME_OPTION,
) -> None:
    """Send all of a model's traffic back to its known good version, now.

    Works with the controller, Prometheus and MLflow down: it writes the route that Envoy follows. The controller, once
    it runs, takes it up and brings the registry in line.

    Example: serin rollback intent --reason "wrong refunds, incident 4711"
    """
    from controller.bootstrap.oncall import roll_back

    result = roll_back(home_at(home), model, reason=reason, by=by or asker(), at_s=time.time(), to_version=to)
    version = next(iter(result.table.weights_pct))
    told = "Envoy confirms it" if result.confirmed else "written; Envoy did not confirm it: check that it runs"
    typer.echo(f"{model}: all traffic to version {version} after {result.elapsed_ms:.1f} ms ({told}).")


def freeze(
    model: Annotated[str, typer.Argument(help="The model, or * for every one.")],
    reason: ReasonOption,
    by: ByOption = "",
    home: HomeOption = DEFAULT_HOME_OPTION,
) -> None:
    """Halt every model change until it is lifted. A rollback is always possible.

    Example: serin freeze '*' --reason "error budget spent"
    """
    from controller.bootstrap.stores import opened

    with opened(home_at(home)) as store:
        store.freezes.freeze(Freeze(model, reason, by or asker(), time.time()))
    typer.echo(f"{model}: frozen. `serin unfreeze {model}` lifts it.")


def unfreeze(
    model: Annotated[str, typer.Argument(help="The model, or * for the freeze of every one.")],
    reason: ReasonOption,
    by: ByOption = "",
    home: HomeOption = DEFAULT_HOME_OPTION,
) -> None:
    """Lift a freeze.

    Example: serin unfreeze '*' --reason "budget is back"
    """
    from controller.bootstrap.stores import opened

    with opened(home_at(home)) as store:
        lifted = store.freezes.lift(model, reason=reason, by=by or asker(), at_s=time.time())
    typer.echo(f"{model}: {'lifted' if lifted else 'nothing was frozen'}.")
