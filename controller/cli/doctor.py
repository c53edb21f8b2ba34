"""`serin doctor`: what does not answer now, why metrics or a release cannot be read, and the way out of each."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from controller.cli.options import DEFAULT_HOME_OPTION, HomeOption, Output, OutputOption, SomeModelArgument, home_at
from controller.cli.output import say, say_json
from controller.errors import SerinError
from controller.exit_codes import EXIT_ERROR

if TYPE_CHECKING:
    from controller.config.settings import Home
    from controller.core.parts import Part
    from controller.core.traffic import TrafficTable

SCHEMA = "serin.doctor/v1"


def register(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(
    model: SomeModelArgument = None,
    output: OutputOption = Output.TEXT,
    home: HomeOption = DEFAULT_HOME_OPTION,
) -> None:
    """Check that everything Serin depends on answers, and name each fault and its fix.

    It checks the gateway, each replica, the controller, the registry, Prometheus and the database; what keeps a version
    with traffic from being read in Prometheus; files and disk; and releases that another version of Serin recorded and
    this one cannot read. Past faults are not shown. Exit code: 0 all is well, 4 something is not.

    Example: serin doctor intent
    """
    from controller.bootstrap.condition import troubles_of
    from controller.bootstrap.parts import parts_of
    from controller.bootstrap.sight import sight_of

    place = home_at(home)
    place.load()
    sight = sight_of(place)
    tables = {table.model: table for table in sight.tables() if model in (None, table.model)}
    parts = [*parts_of(place, tables), _store(place)]
    found = list(troubles_of(place, sight))
    if all(part.answers for part in parts if part.kind is part.kind.METRICS):
        found += _links(place, tables)
    if parts[-1].answers:
        found += _unreadable(place, model)
    well = all(part.answers for part in parts) and not found
    if output is Output.JSON:
        from dataclasses import asdict

        say_json({"schema": SCHEMA, "well": well, "parts": [asdict(part) for part in parts], "found": found})
    else:
        _print(parts, found)
        if well:
            say("Every version with traffic can be read, and every release.")
    if not well:
        raise typer.Exit(EXIT_ERROR)


def _print(parts: "list[Part]", found: list[str]) -> None:
    told = ""
    for part in parts:
        place = f" at {part.place}" if part.place else ""
        if part.answers:
            say(f"ok     {part.name}{place} answers")
        else:
            say(f"FAULT  {part.name}{place} {part.fault}")
            if part.way_out != told:
                say(f"       {part.way_out}")
                told = part.way_out
    for sentence in found:
        say(f"FAULT  {sentence}")


def _store(home: "Home") -> "Part":
    from controller.bootstrap.parts import the_store
    from controller.bootstrap.stores import opened

    try:
        with opened(home) as store:
            store.ask()
    except SerinError as error:
        return the_store(error)
    return the_store(None)


def _links(home: "Home", tables: "dict[str, TrafficTable]") -> Iterator[str]:
    from controller.bootstrap.metrics import metrics_of

    metrics = metrics_of(home.load(), lambda _: {})
    for table in tables.values():
        try:
            links = metrics.broken_links(table.model, list(table.weights_pct), at_s=time.time())
        except SerinError as error:
            links = [str(error)]
        yield from (f"{table.model}, {sentence}" for sentence in links)


def _unreadable(home: "Home", model: str | None) -> Iterator[str]:
    from controller.bootstrap.stores import opened
    from controller.overview import unreadable
    from controller.subscribers.undelivered import undelivered

    try:
        with opened(home) as store:
            found = [*unreadable(store.journal, model), *undelivered(store.notices.standing(), time.time())]
        yield from found
    except SerinError as error:
        yield f"it is not known whether every release can be read: {error}"
