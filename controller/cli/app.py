"""`serin`: the commands."""

import typer

from controller.cli import (
    database,
    dataset,
    doctor,
    drill,
    evidence,
    following,
    label_requests,
    load,
    local,
    monitoring,
    notify,
    oncall,
    pipeline,
    policy,
    registry,
    releases,
    steering,
    token,
    topics,
)

app = typer.Typer(
    name="serin",
    help="Release gate and canary controller for text classifiers: promotes or rolls back by itself, and says why.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for module in (
    local,
    registry,
    releases,
    following,
    steering,
    oncall,
    pipeline,
    label_requests,
    policy,
    evidence,
    token,
    database,
    dataset,
    doctor,
    drill,
    load,
    monitoring,
    notify,
    topics,
):
    module.register(app)
