"""`serin status`: what serves, what is released, and what is wrong, from the home's files and its store."""

import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from controller.cli.options import DEFAULT_HOME_OPTION, HomeOption, home_at
from controller.cli.output import console
from controller.errors import TransientError

if TYPE_CHECKING:
    from controller.core.traffic import TrafficTable
    from controller.service import Service


def status(
    model: Annotated[str | None, typer.Argument(help="Only of this model.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Keep it up to date until Ctrl-C.")] = False,
    home: HomeOption = DEFAULT_HOME_OPTION,
) -> None:
    """Show each model's traffic, its release, what every gate says, and the freezes in force.

    Example: serin status --watch
    """
    from controller.bootstrap.condition import recorded_statuses, suite_progress, troubles_of
    from controller.bootstrap.policies import current_policies
    from controller.bootstrap.stores import service_of, traffic_tables
    from controller.cli.watching import Snapshot
    from controller.cli.watching import watch as watch_table
    from controller.journal.sampled import last_set
    from controller.status import Beside, current, status_table

    place = home_at(home)
    policies = current_policies(place, place.load().samples_kept_days)

    def tables() -> "Mapping[str, TrafficTable]":
        return {name: table for name, table in traffic_tables(place).items() if model in (None, name)}

    def fetch(service: "Service") -> Snapshot:
        return Snapshot(
            current(service.journal, model),
            time.time(),
            tables(),
            deployments=recorded_statuses(place),
            freezes=service.frozen(model),
            troubles=troubles_of(place),
            policies=policies(),
            beside=Beside(partial(suite_progress, place), partial(last_set, service.journal)),
        )

    try:
        with service_of(place) as service:
            if model is not None and not (first := fetch(service)).records and not first.traffic:
                service.check(model)  # one without a policy that was ever served is known too
            if watch:
                watch_table(partial(fetch, service), console())
            else:
                console().print(fetch(service).table)
    except TransientError:  # the store's: what serves is told all the same, before the error
        console().print(status_table(None, now_s=time.time(), traffic=tables(), troubles=troubles_of(place)))
        raise
