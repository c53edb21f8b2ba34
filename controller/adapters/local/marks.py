"""Processes that Serin keeps have a mark in their environment: whose they are, and what they run as.

The records in files are quicker to read and say more. Where those are damaged or gone, or could not be written on a
full disk, the marks tell what runs, so that nothing is started twice and nothing is left behind.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil

from controller.adapters.local.processes_os import ProcessIdentity, identity_of

_KEEPER: Final = "SERIN_KEPT_BY"
_NAME: Final = "SERIN_KEPT_AS"
_SETTINGS: Final = "SERIN_KEPT_WITH"


def marked(keeper: Path, name: str, env: Mapping[str, str] | None = None, *, settings: str = "") -> dict[str, str]:
    """The environment (``None``: that of this process) with the mark of a process that is kept for ``keeper``, which
    names the digest of its settings, too."""
    mark = {_KEEPER: str(keeper.resolve()), _NAME: name, _SETTINGS: settings}
    return {**(os.environ if env is None else env), **mark}


def told_settings(identity: ProcessIdentity) -> str:
    """The digest of the settings that the process was started with; empty for the defaults."""
    return _environment(identity.pid).get(_SETTINGS, "")


def running_marked(keeper: Path) -> dict[str, ProcessIdentity]:
    """Return what runs under ``keeper``'s mark, by name: only who leads a process group, not what it has started."""
    whose, found = str(keeper.resolve()), dict[str, ProcessIdentity]()
    for pid in psutil.pids():
        env = _environment(pid)
        if env.get(_KEEPER) != whose or _NAME not in env or not _leads(pid):
            continue
        if (identity := identity_of(pid)) is not None:
            found[env[_NAME]] = identity
    return found


def keeper_of(pid: int) -> str:
    """The folder that the process is kept for; empty if it has no mark, or none that can be seen."""
    return _environment(pid).get(_KEEPER, "")


def is_anothers(kept_by: str, keeper: Path) -> bool:
    """Return whether a process that is kept for the folder ``kept_by`` is none of ``keeper``'s: a copy of a home holds
    the records of the home that it was made from. A home that was moved keeps what it had."""
    try:
        return bool(kept_by) and not keeper.samefile(kept_by)
    except OSError:  # that folder is there no more
        return False


def environment_of(identity: ProcessIdentity) -> Mapping[str, str]:
    """As it was when the process was started; empty where it is not told."""
    return _environment(identity.pid)


def _environment(pid: int) -> Mapping[str, str]:
    try:
        return dict(psutil.Process(pid).environ())
    except (psutil.Error, OSError):
        return {}


def _leads(pid: int) -> bool:
    try:
        return os.getpgid(pid) == pid and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.Error):
        return False
