"""The holders of this machine's TCP ports: who listens where, and for whose home."""

import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import psutil

from controller.adapters.local.marks import keeper_of
from controller.adapters.local.processes_os import ProcessIdentity

_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that listens at a port. ``pid`` None: this user may not see whose it is. ``home``: of Serin, that it
    is kept for; empty where it is none's."""

    pid: int | None
    name: str = ""
    home: str = ""

    def __str__(self) -> str:
        if self.pid is None:
            return "a process of another user"
        whose = f" of the home {self.home}" if self.home else ""
        return f"process {self.pid} ({self.name}){whose}"


def holder_of(port: int) -> Holder | None:
    """Return who listens at the port of loopback, or of every address; None where it is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that have ended hold nothing
        try:
            probe.bind((_LOOPBACK, port))
        except OSError:
            return _seen(next(iter(_listeners(port)), None))
    return None


def held_words(ports: Iterable[Mapping[str, int]]) -> str:
    """Return who has any of the ports, which are named by their settings, and how to end that, in a part of a sentence;
    nothing where all are free. Of several that one home has, the first is told in full."""
    held: dict[str, list[str]] = {}
    first: dict[str, Holder] = {}
    for name, port in ((name, port) for some in ports for name, port in some.items()):
        if (holder := holder_of(port)) is not None:
            whose = holder.home or str(holder)
            first.setdefault(whose, holder)
            held.setdefault(whose, []).append(f"{name} {port}")
    told = []
    for whose, names in held.items():
        others = f", and {', '.join(names[1:])} by it too" if names[1:] else ""
        end = f": end it with `serin down --home {first[whose].home}`" if first[whose].home else ": end that"
        told.append(f"{names[0]} is held by {first[whose]}{others}{end}")
    return "; ".join(told)


def is_held_by(port: int, identity: ProcessIdentity) -> bool:
    """Return whether the process, or one of its group, listens at the port; also where nobody tells who does."""
    pids = _listeners(port)
    return not pids or any(_group_of(pid) == identity.pid for pid in pids)


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def _listeners(port: int) -> Sequence[int]:
    """Return the processes that listen at the port, as far as this user may see them."""
    try:
        found = psutil.net_connections("tcp")
    except (psutil.Error, OSError):
        return ()
    listening = [one for one in found if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port]
    return tuple(one.pid for one in listening if one.pid is not None)


def _seen(pid: int | None) -> Holder:
    if pid is None:
        return Holder(None)
    try:
        return Holder(pid, psutil.Process(pid).name(), keeper_of(pid))
    except psutil.Error:
        return Holder(None)
