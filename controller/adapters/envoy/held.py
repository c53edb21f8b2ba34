"""A rollback that no file can record, because the disk is read-only: Envoy holds it in memory until a file can.

Envoy's weights in memory go before those of its file. Beside them it remembers who asked, why, and of which generation
the table is, so that nothing else has to. Standard library only, and quick to import.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from controller.adapters.envoy.admin import EnvoyAdmin
from controller.adapters.envoy.encoding import runtime_prefix
from controller.adapters.envoy.routes import memory_weights
from controller.adapters.envoy.running import serves
from controller.adapters.envoy.tables import LOCK_FILE, read_routes, write_routes
from controller.core.traffic import HUNDRED_PCT, Override, TrafficTable
from controller.errors import PermanentError, Source
from controller.files import locked

_PREFIX: Final = runtime_prefix("")
_ROLLBACK: Final = "/rollback"  # no model's name has a slash
_CONFIRMED_WITHIN_S: Final = 2.0
_POLL_S: Final = 0.005


def hold(directory: Path, before: TrafficTable, rolled_back: TrafficTable) -> None:
    """Have the running Envoy route by the table that ``before`` was rolled back to.

    Raises:
        TransientError: Envoy does not answer.
        PermanentError: its routes do not lead to that version, which is neither the known good one nor gets a share.
    """
    (target,) = rolled_back.weights_pct
    if target not in {*before.weights_pct, before.known_good}:
        raise PermanentError(
            f"version {target} of {before.model} has no share now, so it can only be reached through a file"
        )
    override = rolled_back.override
    weights = {name: str(weight) for name, weight in memory_weights(before, only=target).items()}
    told = {
        "names": [*weights, _name_of(before.model)],
        "generation": rolled_back.generation,
        "to": target,
        **({"reason": override.reason, "by": override.by, "at_s": override.at_s} if override else {}),
    }
    EnvoyAdmin.beside(directory).remember({**weights, _name_of(before.model): json.dumps(told)})


def held(directory: Path) -> Mapping[str, str]:
    """Return what the running Envoy routes by only in memory: by model, the version that gets everything.

    Raises:
        TransientError or PermanentError: it does not say.
    """
    return {model: told["to"] for model, told in _told(EnvoyAdmin.beside(directory)).items()}


def forget(directory: Path, model: str) -> None:
    """Have Envoy route the model by its file again."""
    admin = EnvoyAdmin.beside(directory)
    if (told := _told(admin).get(model)) is not None:
        admin.remember(dict.fromkeys(told["names"], ""))


def settle(directory: Path) -> tuple[str, ...]:
    """Write what Envoy holds only in memory to the file, and make Envoy forget it once it routes by the file; a
    sentence for each model.

    Raises:
        TransientError: the file cannot be written yet, or Envoy does not answer.
        PermanentError: as ``read_routes`` does.
    """
    admin = EnvoyAdmin.beside(directory)
    return tuple(_settled(directory, admin, model, told) for model, told in _told(admin).items())


def _settled(directory: Path, admin: EnvoyAdmin, model: str, told: Mapping[str, Any]) -> str:
    with locked(directory / LOCK_FILE, source=Source.TRAFFIC):
        document = read_routes(directory)
        table = document.table(model)
        if table is not None and table.generation < int(told["generation"]):
            override = Override(told["reason"], told["by"], float(told["at_s"])) if "by" in told else None
            table = table.next(weights_pct={told["to"]: HUNDRED_PCT}, mirror=None, override=override)
            document = document.with_table(table, document.options(model))
            write_routes(directory, document)
    deadline_s = time.monotonic() + _CONFIRMED_WITHIN_S
    while table is not None and not serves(directory, document.revision_of(model)):
        if time.monotonic() > deadline_s:
            return f"the rollback of {model} is written, but Envoy has not read it yet"
        time.sleep(_POLL_S)
    admin.remember(dict.fromkeys(told["names"], ""))
    return f"the rollback of {model} to version {told['to']}, so far only in Envoy's memory, is now written to its file"


def _told(admin: EnvoyAdmin) -> dict[str, Mapping[str, Any]]:
    found = admin.remembered(_PREFIX)
    return {
        name.removeprefix(_PREFIX).removesuffix(_ROLLBACK): json.loads(value)
        for name, value in found.items()
        if name.endswith(_ROLLBACK)
    }


def _name_of(model: str) -> str:
    return f"{runtime_prefix(model)}{_ROLLBACK}"
