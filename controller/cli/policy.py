"""`serin policy`: check a policy, and print its schema for editors."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from controller.cli.options import Output, OutputOption, home_at
from controller.cli.output import say, say_json, say_lines
from controller.cli.place import Place, at_a_place
from controller.config.presets import Preset, preset_text

if TYPE_CHECKING:
    from controller.core.policy import ReleasePolicy
    from controller.overview import Overview
    from controller.service import Installation

SCHEMA: Final = "serin.policy/v1"
policy_app = typer.Typer(help="Check policies.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(policy_app, name="policy")


@policy_app.command()
@at_a_place
def check(
    place: Place,
    path: Annotated[Path, typer.Argument(help="The policy file.")],
    output: OutputOption = Output.TEXT,
) -> None:
    """Check a policy file; exit code 2 and one line if it is wrong.

    With a home or --server, it warns of what the data plane there cannot do, and of what the `serving:` block would
    change for a model that is being served.

    Example: serin policy check policy.yaml --server https://serin.example
    """
    from controller.config.policy_file import check_suites, load_policy
    from controller.core.abilities import unmet

    policy = load_policy(path)
    check_suites(policy)
    waiting, warnings = "", []
    if output is Output.TEXT:
        steps = " → ".join(f"{step.weight_pct:g} %" for step in policy.steps)
        say(f"{path}: valid. Model {policy.model}: shadow at {policy.mirror_pct:g} %, then {steps}.")
    if place.server is not None or home_at(place.home).exists():
        with place.opened() as installation:
            seen = installation.overview()
            waiting = _pending(installation, seen, policy)
        warnings = list(unmet(policy, seen.able)) if seen.able is not None else []
    if output is Output.JSON:
        steps_pct = [step.weight_pct for step in policy.steps]
        plan = {"model": policy.model, "mirror_pct": policy.mirror_pct, "steps_pct": steps_pct}
        say_json({"schema": SCHEMA, "file": str(path), **plan, "warnings": warnings, "serving": waiting})
        return
    for sentence in warnings:
        say(f"warning: {sentence}", err=True)
    if waiting:
        say(
            f"serving: {waiting}; it takes effect with the next release of {policy.model}, or at once by "
            f"`serin release again {policy.model}`."
        )


def _pending(installation: "Installation", seen: "Overview", policy: "ReleasePolicy") -> str:
    from controller.core.release import pending_settings
    from controller.journal.codec import release_of
    from controller.ports.journal import ReleaseRecord

    newest = next((record for record in seen.records or () if record.model == policy.model), None)
    if newest is None:
        return ""
    record = newest if isinstance(newest, ReleaseRecord) else installation.release(newest.release_id)
    return pending_settings(release_of(record), policy)


@policy_app.command()
def preset(
    name: Annotated[Preset, typer.Argument(help="Which.")],
    model: Annotated[str, typer.Option("--model", help="The registered model's name.")],
) -> None:
    """Print a policy to start from, for a service that the defaults do not suit. low-traffic: few requests.

    Example: serin policy preset low-traffic --model intent > policy.yaml
    """
    say_lines(preset_text(name, model).rstrip("\n"))


@policy_app.command()
def schema() -> None:
    """Print the JSON Schema of policy files.

    Example: serin policy schema > policy.schema.json
    """
    from controller.config.policy_file import json_schema

    say_json(json_schema())
