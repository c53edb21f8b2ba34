"""`serin`: the commands."""

import typer

from controller.cli import (
    database,
    doctor,
    evidence,
    local,
    monitoring,
    notify,
    oncall,
    pipeline,
    policy,
    registry,
    releases,
    token,
)

app = typer.Typer(
    name="serin",
    help="Release gate and canary controller for text classifiers: promotes or rolls back by itself, and says why.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for module in (
    local,
    registry,
    releases,
    oncall,
    pipeline,
    policy,
    evidence,
    token,
    database,
    doctor,
    monitoring,
    notify,
):
    module.register(app)
