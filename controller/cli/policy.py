"""`serin policy`: check a policy, and print its schema for editors."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from controller.cli.options import DEFAULT_HOME_OPTION, HomeOption, home_at
from controller.cli.output import say, say_json

if TYPE_CHECKING:
    from controller.core.policy import ReleasePolicy

policy_app = typer.Typer(help="Check policies.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(policy_app, name="policy")


@policy_app.command()
def check(
    path: Annotated[Path, typer.Argument(help="The policy file.")], home: HomeOption = DEFAULT_HOME_OPTION
) -> None:
    """Check a policy file; exit code 2 and one line where it is wrong.

    Where the model is served in the home, what its `serving:` block would change is said, too.

    Example: serin policy check policy.yaml
    """
    from controller.config.policy_file import check_suites, load_policy

    policy = load_policy(path)
    check_suites(policy)
    steps = " → ".join(f"{step.weight_pct:g} %" for step in policy.steps)
    say(f"{path}: valid. Model {policy.model}: shadow at {policy.mirror_pct:g} %, then {steps}.")
    if home_at(home).exists() and (waiting := _pending(home, policy)):
        say(
            f"serving: {waiting}; it takes effect with the next release of {policy.model}, or at once by "
            f"`serin release again {policy.model}`."
        )


def _pending(home: Path, policy: "ReleasePolicy") -> str:
    from controller.bootstrap.stores import opened
    from controller.core.release import pending_settings
    from controller.journal.codec import release_of

    with opened(home_at(home)) as store:
        newest = next(iter(store.journal.current(model=policy.model)), None)
        record = store.journal.release(newest.release_id) if newest is not None else None
    return pending_settings(release_of(record), policy) if record is not None else ""


@policy_app.command()
def schema() -> None:
    """Print the JSON Schema of policy files."""
    from controller.config.policy_file import json_schema

    say_json(json_schema())
