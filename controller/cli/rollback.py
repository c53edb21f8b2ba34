"""`serin rollback`: standard library only, so that it is done before other commands have finished importing."""

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path

from controller.bootstrap.oncall import roll_back, roll_back_on_cluster, way_back_of
from controller.cli.asking import asker, given_reason
from controller.cli.output import say, say_json
from controller.config.variables import (
    CA_FILE_VARIABLE,
    DEFAULT_HOME,
    HOME_VARIABLE,
    PRIVATE_UMASK,
    SERVER_VARIABLE,
    TOKEN_FILE_VARIABLE,
)
from controller.core.traffic import HUNDRED_PCT, Override, TrafficTable
from controller.errors import UsageError

DESCRIPTION = """Send all of a model's traffic back to its known good version, now.

Works with the controller, Prometheus and MLflow down: it writes the route that Envoy follows, or with --kubeconfig that
of a cluster. Once the controller runs, it takes this up and updates the registry. With --server the controller
there does it."""


def parser() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(
        prog="serin rollback",
        description=DESCRIPTION,
        epilog='Example: serin rollback intent --reason "wrong refunds, incident 4711"',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    flags.add_argument("model", help="the registered model's name")
    flags.add_argument("--reason", default="", help="why (required); kept in the journal and the report")
    flags.add_argument("--to", metavar="VERSION", help="a running version to use instead of the known good one")
    flags.add_argument("--dry-run", action="store_true", help="say where traffic would go, and move nothing")
    flags.add_argument("--output", "-o", choices=("text", "json"), default="text", help="how the result is printed")
    flags.add_argument("--by", default="", help="who asks; by default you")
    flags.add_argument(
        "--kubeconfig",
        type=Path,
        help="kubeconfig of the versions' cluster; the right to get and patch the model's route is enough",
    )
    flags.add_argument("--context", help="context of the kubeconfig, instead of its current one")
    flags.add_argument("--namespace", help="namespace of the route, instead of the context's")
    flags.add_argument("--home", type=Path, help=f"folder of the installation ({HOME_VARIABLE})")
    flags.add_argument("--server", help=f"address of a controller elsewhere that shall do it ({SERVER_VARIABLE})")
    flags.add_argument("--token-file", type=Path, help=f"file with the token for it ({TOKEN_FILE_VARIABLE})")
    flags.add_argument("--ca-file", type=Path, help=f"the CA of its certificate ({CA_FILE_VARIABLE})")
    return flags


def rollback(arguments: Sequence[str]) -> None:
    """Parse the arguments and do it. Raises SerinError where it cannot be done; exits with 2 on wrong usage."""
    chosen = parser().parse_args(arguments)
    named = chosen.home is not None or chosen.kubeconfig is not None
    server = chosen.server or (None if named else os.environ.get(SERVER_VARIABLE))
    if chosen.dry_run and (server or chosen.kubeconfig is not None):
        raise UsageError("--dry-run: only with --home; `serin status` shows the known good version elsewhere")
    if server:
        _ask(server, chosen)
        return
    os.umask(PRIVATE_UMASK)
    if chosen.kubeconfig is not None:
        _on_cluster(chosen)
        return
    from controller.config.settings import Home  # a cluster needs none

    home = chosen.home or Path(os.environ.get(HOME_VARIABLE, DEFAULT_HOME))
    place = Home(home.resolve())
    if chosen.dry_run:
        table, target = way_back_of(place, chosen.model, to_version=chosen.to)
        _tell(chosen, f"all traffic would go to version {target}; it is at {_shares(table)}.", target, moved=False)
        return
    result = roll_back(
        place,
        chosen.model,
        reason=given_reason(chosen.reason),
        by=chosen.by or asker(),
        at_s=time.time(),
        to_version=chosen.to,
    )
    version = next(iter(result.table.weights_pct))
    told = "Envoy confirms it" if result.confirmed else "written; Envoy did not confirm it: check that it runs"
    if result.unwritten:
        told = f"in Envoy's memory, for as long as it runs; it is saved as soon as that is possible: {result.unwritten}"
    before = result.before
    already = before is not None and before.weights_pct.get(version) == HUNDRED_PCT
    if already:
        by = f", by {before.override.by}: {before.override.reason}" if before is not None and before.override else ""
        told = f"where it already was{by}; {told}"
    said = f"all traffic to version {version} after {result.elapsed_ms:.1f} ms ({told})."
    _tell(chosen, said, version, moved=not already, confirmed=result.confirmed, elapsed_ms=result.elapsed_ms)


def _shares(table: TrafficTable) -> str:
    return ", ".join(f"version {version} {pct:g} %" for version, pct in table.weights_pct.items())


def _tell(chosen: argparse.Namespace, sentence: str, version: str, **more: object) -> None:
    if chosen.output == "json":
        told = {"schema": "serin.rollback/v1", "model": chosen.model, "version": version, **more}
        say_json({**told, "sentence": sentence})
    else:
        say(f"{chosen.model}: {sentence}")


def _on_cluster(chosen: argparse.Namespace) -> None:
    override = Override(given_reason(chosen.reason), chosen.by or asker(), time.time())
    result = roll_back_on_cluster(
        chosen.kubeconfig,
        chosen.model,
        override,
        context=chosen.context,
        namespace=chosen.namespace,
        to=chosen.to,
    )
    version = next(iter(result.table.weights_pct))
    told = "its gateway has accepted it" if result.accepted else "written; its gateway has not confirmed it yet"
    said = f"all traffic to version {version} after {result.elapsed_ms:.1f} ms ({told})."
    _tell(chosen, said, version, moved=True, confirmed=result.accepted, elapsed_ms=result.elapsed_ms)


def _ask(server: str, chosen: argparse.Namespace) -> None:
    """Have the controller elsewhere do it, and wait until it has."""
    from controller.bootstrap.afar import rolled_back_by

    if chosen.to is not None:
        raise UsageError("--to: only with --home; a controller elsewhere goes to the known good version")
    began_s = time.monotonic()
    version = rolled_back_by(
        server,
        chosen.model,
        reason=given_reason(chosen.reason),
        by=chosen.by or asker(),
        token_file=chosen.token_file or _path(TOKEN_FILE_VARIABLE),
        ca_file=chosen.ca_file or _path(CA_FILE_VARIABLE),
    )
    elapsed_ms = (time.monotonic() - began_s) * 1_000
    said = f"all traffic to version {version} after {elapsed_ms:.1f} ms (the controller says so)."
    _tell(chosen, said, version, moved=True, confirmed=True, elapsed_ms=elapsed_ms)


def _path(variable: str) -> Path | None:
    return Path(os.environ[variable]) if os.environ.get(variable) else None
