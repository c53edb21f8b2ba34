"""`serin status`: what serves, what is released, and what is wrong."""

from typing import TYPE_CHECKING, Annotated

import typer

from controller.cli.options import JsonFlag, home_at
from controller.cli.output import console, say_json
from controller.cli.place import Place, at_a_place
from controller.errors import TransientError

if TYPE_CHECKING:
    from controller.overview import Overview


@at_a_place
def status(
    place: Place,
    model: Annotated[str | None, typer.Argument(help="Only of this model.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Keep it up to date until Ctrl-C.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show each model's traffic, its release, what every gate says, and the freezes in force.

    Example: serin status --watch
    """
    from controller.overview import as_document
    from controller.status import status_table

    try:
        with place.opened() as installation:
            seen = installation.overview(model)
            if as_json:
                say_json(as_document(seen))
            elif watch:
                from controller.cli.watching import watch as watch_table

                watch_table(lambda: installation.overview(model), console())
            else:
                console().print(status_table(seen))
    except TransientError:  # the store's: what serves is told all the same, before the error
        if place.server is None:
            console().print(status_table(_without_store(place, model)))
        raise


def _without_store(place: Place, model: str | None) -> "Overview":
    """Return what the data plane and the files of a home tell."""
    import time

    from controller.bootstrap.condition import troubles_of
    from controller.bootstrap.sight import sight_of
    from controller.overview import Overview

    home = home_at(place.home)
    sight = sight_of(home)
    tables = {table.model: table for table in sight.tables() if model in (None, table.model)}
    return Overview(None, time.time(), tables, troubles=troubles_of(home, sight))
