"""`serin policy`: check a policy, and print its schema for editors."""

from pathlib import Path
from typing import Annotated

import typer

from controller.cli.output import say, say_json

policy_app = typer.Typer(help="Check policies.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(policy_app, name="policy")


@policy_app.command()
def check(path: Annotated[Path, typer.Argument(help="The policy file.")]) -> None:
    """Check a policy file; exit code 2 and one line where it is wrong.

    Example: serin policy check policy.yaml
    """
    from controller.config.policy_file import check_suites, load_policy

    policy = load_policy(path)
    check_suites(policy)
    steps = " → ".join(f"{step.weight_pct:g} %" for step in policy.steps)
    say(f"{path}: valid. Model {policy.model}: shadow at {policy.mirror_pct:g} %, then {steps}.")


@policy_app.command()
def schema() -> None:
    """Print the JSON Schema of policy files."""
    from controller.config.policy_file import json_schema

    say_json(json_schema())
