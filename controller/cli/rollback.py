"""`serin rollback`: standard library only, so that it is done before other commands have finished importing."""

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path

from controller.bootstrap.oncall import roll_back, roll_back_on_cluster
from controller.cli.asking import asker, given_reason
from controller.cli.output import say
from controller.config.variables import (
    CA_FILE_VARIABLE,
    DEFAULT_HOME,
    HOME_VARIABLE,
    PRIVATE_UMASK,
    SERVER_VARIABLE,
    TOKEN_FILE_VARIABLE,
)
from controller.core.traffic import Override
from controller.errors import UsageError

DESCRIPTION = """Send all of a model's traffic back to its known good version, now.

Works with the controller, Prometheus and MLflow down: it writes the route that Envoy follows, or with --kubeconfig that
of a cluster. The controller, once it runs, takes it up and brings the registry in line. With --server it is the
controller there that does it."""


def parser() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(
        prog="serin rollback",
        description=DESCRIPTION,
        epilog='Example: serin rollback intent --reason "wrong refunds, incident 4711"',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    flags.add_argument("model", help="the registered model's name")
    flags.add_argument("--reason", required=True, help="why; kept in the journal and the report")
    flags.add_argument("--to", metavar="VERSION", help="a version that runs, instead of the known good one")
    flags.add_argument("--by", default="", help="who asks; you, unless told otherwise")
    flags.add_argument(
        "--kubeconfig",
        type=Path,
        help="of a cluster that the versions run on; it may get and patch the model's route, and needs no more",
    )
    flags.add_argument("--context", help="of the kubeconfig, instead of its current one")
    flags.add_argument("--namespace", help="of the route, instead of the context's")
    flags.add_argument("--home", type=Path, help=f"folder of the installation ({HOME_VARIABLE})")
    flags.add_argument("--server", help=f"address of a controller elsewhere that is to do it ({SERVER_VARIABLE})")
    flags.add_argument("--token-file", type=Path, help=f"file of the token to show it ({TOKEN_FILE_VARIABLE})")
    flags.add_argument("--ca-file", type=Path, help=f"the CA of its certificate ({CA_FILE_VARIABLE})")
    return flags


def rollback(arguments: Sequence[str]) -> None:
    """Parse the arguments and do it. Raises SerinError where it cannot be done; exits with 2 on wrong usage."""
    chosen = parser().parse_args(arguments)
    named = chosen.home is not None or chosen.kubeconfig is not None
    server = chosen.server or (None if named else os.environ.get(SERVER_VARIABLE))
    if server:
        _ask(server, chosen)
        return
    os.umask(PRIVATE_UMASK)
    if chosen.kubeconfig is not None:
        _on_cluster(chosen)
        return
    from controller.config.settings import Home  # a cluster needs none

    home = chosen.home or Path(os.environ.get(HOME_VARIABLE, DEFAULT_HOME))
    result = roll_back(
        Home(home.resolve()),
        chosen.model,
        reason=given_reason(chosen.reason),
        by=chosen.by or asker(),
        at_s=time.time(),
        to_version=chosen.to,
    )
    version = next(iter(result.table.weights_pct))
    told = "Envoy confirms it" if result.confirmed else "written; Envoy did not confirm it: check that it runs"
    if result.unwritten:
        told = (
            f"in Envoy's memory, for as long as it runs; it is written down as soon as that can be: {result.unwritten}"
        )
    say(f"{chosen.model}: all traffic to version {version} after {result.elapsed_ms:.1f} ms ({told}).")


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
    told = "its gateway has taken it up" if result.accepted else "written; its gateway has not said yet that it took it"
    say(f"{chosen.model}: all traffic to version {version} after {result.elapsed_ms:.1f} ms ({told}).")


def _ask(server: str, chosen: argparse.Namespace) -> None:
    """Have the controller elsewhere do it, and wait until it has."""
    from controller.bootstrap.afar import rolled_back_by

    if chosen.to is not None:
        raise UsageError("--to: goes with --home; a controller elsewhere goes to the known good version")
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
    say(f"{chosen.model}: all traffic to version {version} after {elapsed_ms:.1f} ms (the controller says so).")


def _path(variable: str) -> Path | None:
    return Path(os.environ[variable]) if os.environ.get(variable) else None
