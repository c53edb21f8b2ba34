"""`serin status`: what serves, what is released, and what is wrong."""

from typing import TYPE_CHECKING, Annotated

import typer

from controller.cli.options import JsonFlag, Output, OutputOption, SomeModelArgument, home_at
from controller.cli.output import console, say_json
from controller.cli.place import Place, at_a_place
from controller.errors import PermanentError, SerinError, TransientError

if TYPE_CHECKING:
    from controller.overview import Overview


@at_a_place
def status(
    place: Place,
    model: SomeModelArgument = None,
    watch: Annotated[bool, typer.Option("--watch", help="Keep it up to date until Ctrl-C.")] = False,
    every: Annotated[bool, typer.Option("--all", help="A row for each gate, also those that pass.")] = False,
    as_json: JsonFlag = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show whether everything answers, each model's release and what it waits for, its gates, and the freezes in force.

    Exit code: 0 everything answers, 4 something does not, or what is shown is out of date.

    Example: serin status --watch
    """
    from controller.overview import as_document
    from controller.status import shown_exit_code, status_table

    try:
        with place.opened() as installation:
            seen = installation.overview(model)
            if as_json or output is Output.JSON:
                say_json(as_document(seen))
            elif watch:
                from controller.cli.watching import watch as watch_table

                watch_table(lambda: installation.overview(model), console())
            else:
                console().print(status_table(seen, every=every))
            if not watch and (code := shown_exit_code(seen)):
                raise typer.Exit(code)
    except (TransientError, PermanentError) as error:  # the store's: what serves is told all the same, before the error
        if place.server is None:
            seen = _without_store(place, model, error)
            if as_json or output is Output.JSON:
                say_json(as_document(seen))
            else:
                console().print(status_table(seen))
        raise


def _without_store(place: Place, model: str | None, error: SerinError) -> "Overview":
    """Return what the data plane and the files of a home tell, and that the store failed by ``error``."""
    import time

    from controller.bootstrap.condition import troubles_of
    from controller.bootstrap.parts import parts_of, the_store
    from controller.bootstrap.sight import sight_of
    from controller.overview import Overview

    home = home_at(place.home)
    sight = sight_of(home)
    tables = {table.model: table for table in sight.tables() if model in (None, table.model)}
    parts = (*parts_of(home, tables), the_store(error))
    return Overview(None, time.time(), tables, troubles=troubles_of(home, sight), parts=parts)
