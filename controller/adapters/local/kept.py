"""The processes that a home keeps running: recorded in one of its files, and marked in their environment."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from controller.adapters.local.marks import is_anothers, running_marked
from controller.adapters.local.processes_os import ProcessIdentity, end_groups, group_runs, identity_from, runs
from controller.errors import UsageError
from controller.files import replace_file

PROCESSES_FILE = "processes.json"
SUPERVISOR = "serin up"
_KEPT_BY = "kept_by"  # of each entry: the home that it is of, for a copy of the home has a copy of the record


class KeptRecord:
    """The record as its supervisor writes it. It is written again if that failed, or if it was changed."""

    def __init__(self, home: Path) -> None:
        self._path = home / PROCESSES_FILE
        self._kept_by = str(home.resolve())
        self._written = ""

    def write(self, entries: Mapping[str, ProcessIdentity]) -> None:
        """Write it unless it stands there.

        Raises:
            TransientError: it cannot be written.
        """
        told = {name: {**asdict(identity), _KEPT_BY: self._kept_by} for name, identity in entries.items()}
        text = json.dumps(told, indent=1)
        if self._stands(text):
            return
        replace_file(self._path, text)
        self._written = text

    def remove(self) -> None:
        """Nothing is kept any more."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
        self._written = ""

    def _stands(self, text: str) -> bool:
        try:
            return self._written == text and self._path.read_text(encoding="utf-8", errors="replace") == text
        except OSError:
            return False


def running_supervisor(home: Path) -> ProcessIdentity | None:
    """The supervisor that holds this home up, if one does. SIGTERM to it ends everything in order."""
    supervisor = recorded(home).get(SUPERVISOR)
    return supervisor if supervisor is not None and runs(supervisor) else None


def refuse_second(home: Path) -> None:
    """Raise UsageError where a supervisor holds this home up."""
    if (other := running_supervisor(home)) is not None:
        raise UsageError(f"already up in {home}, as process {other.pid}: `serin down` ends it")


def leftovers(home: Path) -> dict[str, ProcessIdentity]:
    """Return what a supervisor that was itself killed has left running here, by name; nothing while that supervisor
    runs."""
    if running_supervisor(home) is not None:
        return {}
    found = {**recorded(home), **running_marked(home)}
    found.pop(SUPERVISOR, None)
    return {name: identity for name, identity in found.items() if group_runs(identity)}


def end_leftovers(home: Path, *, grace_s: float = 15.0) -> list[str]:
    """End what a supervisor that was itself killed has left running here, and return the names.

    Nothing is ended while that supervisor runs.
    """
    if running_supervisor(home) is not None:
        return []
    left = leftovers(home)
    end_groups(list(left.values()), grace_s=grace_s, reap=())
    KeptRecord(home).remove()
    return list(left)


def recorded(home: Path) -> dict[str, ProcessIdentity]:
    """The processes of the record, by name, whether they run or not. Nothing where it is damaged: the marks of the
    processes tell. Nothing of another home's, of which this one is a copy."""
    try:
        entries = json.loads((home / PROCESSES_FILE).read_text(encoding="utf-8"))
        return {
            name: identity_from(entry)
            for name, entry in entries.items()
            if not is_anothers(entry.get(_KEPT_BY, ""), home)
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
