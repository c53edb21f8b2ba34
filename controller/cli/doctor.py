"""`serin doctor`: why metrics, or a release, cannot be read."""

import time
from typing import Annotated

import typer

from controller.cli.errors import EXIT_COULD_NOT_JUDGE
from controller.cli.options import DEFAULT_HOME_OPTION, HomeOption, home_at
from controller.cli.output import say
from controller.errors import SerinError


def register(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(
    model: Annotated[str | None, typer.Argument(help="Only of this model.")] = None,
    home: HomeOption = DEFAULT_HOME_OPTION,
) -> None:
    """Name what keeps a version that has traffic from being read in Prometheus, and the way out.

    Targets, their labels, jobs and intervals; and releases that another version of Serin recorded and this one cannot
    read. Exit code: 0 all is well, 4 something is not.

    Example: serin doctor intent
    """
    from controller.bootstrap.metrics import metrics_of
    from controller.bootstrap.sight import sight_of
    from controller.bootstrap.stores import opened
    from controller.overview import unreadable
    from controller.subscribers.undelivered import undelivered

    place = home_at(home)
    metrics = metrics_of(place.load(), lambda _: {})
    found = []
    for table in sight_of(place).tables():
        if model in (None, table.model):
            links = metrics.broken_links(table.model, list(table.weights_pct), at_s=time.time())
            found += [f"{table.model}, {sentence}" for sentence in links]
    try:
        with opened(place) as store:
            found += unreadable(store.journal, model)
            found += undelivered(store.notices.standing(), time.time())
    except SerinError as error:
        found.append(f"it is not known whether every release can be read: {error}")
    for sentence in found:
        say(sentence)
    if found:
        raise typer.Exit(EXIT_COULD_NOT_JUDGE)
    say("Every version that has traffic can be read, and every release.")
