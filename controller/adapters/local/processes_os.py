"""Processes of this machine: started in a group of their own, known by more than a pid, and ended whole."""

import contextlib
import ctypes
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import psutil

from controller.errors import Source, our_fault

_FORMER_TOLERANCE_S = 1.0
_NO_PROCESS = -1  # no process was started then
_HAS_PROC = Path("/proc/self/stat").exists()
_START_TICKS = 19  # of the fields of /proc/PID/stat, after the name
_UNWRITABLE = frozenset({errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EDQUOT, errno.EIO})
_POLL_S = 0.02
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None  # opened here: between fork and exec it is too late


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process and no later one that got the same pid. It leads the process group of the same number.

    ``start_ticks`` are counted from the machine's start, which ``boot_id`` names: neither moves with the clock.
    """

    pid: int
    start_ticks: int
    boot_id: str


def start_process(
    command: Sequence[str],
    log_file: Path,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    ends_with_us: bool = False,
) -> subprocess.Popen[bytes]:
    """Start the command as the leader of its own session, appending what it says to the log file; where that cannot be
    written, what it says is lost.

    ``ends_with_us``: the kernel sends it SIGTERM when the thread that called this ends, however it ends (Linux only).

    Raises:
        TransientError: it cannot be started now: whatever keeps a process from being started is this machine's.
    """
    try:
        with _log(log_file) as log:
            return subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=None if env is None else dict(env),
                cwd=cwd,
                start_new_session=True,
                preexec_fn=_end_with_parent if ends_with_us and _LIBC else None,  # noqa: PLW1509 - one system call
            )
    except (OSError, subprocess.SubprocessError, MemoryError) as error:
        raise our_fault(Source.DEPLOYMENTS, f"cannot start {command[0]}", error) from error


def _log(path: Path) -> BinaryIO:
    try:
        return path.open("ab")
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        return Path(os.devnull).open("ab")


def _end_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def boot_id() -> str:
    """Return what tells this run of the machine, or of the container, from those before, which no process outlives;
    nothing where it is not told.

    Not the time of the boot: that moves with the clock.
    """
    try:
        machine = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except FileNotFoundError:  # no Linux
        return ""
    except OSError as error:
        raise our_fault(Source.DEPLOYMENTS, "cannot read which run of the machine this is", error) from error
    first = _start_ticks(1)
    return machine if first is None else f"{machine}/{first}"


def memory_kills() -> int | None:
    """Processes that the kernel has ended on this machine since its start for want of memory; None: it does not say."""
    try:
        counts = dict(line.split() for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines())
        return int(counts["oom_kill"])
    except (OSError, ValueError, KeyError):
        return None


def identity_of(pid: int) -> ProcessIdentity | None:
    """Return who has the pid; None where no process does.

    Raises:
        TransientError: this process cannot even look, as without open files: nothing is known then.
    """
    ticks = _start_ticks(pid)
    return None if ticks is None else ProcessIdentity(pid, ticks, boot_id())


def identity_from(entry: Mapping[str, Any]) -> ProcessIdentity:
    """Return what was recorded; a version of Serin before this one knew processes by the wall clock.

    Raises:
        KeyError, TypeError or ValueError: it is no record of ours.
    """
    pid = int(entry["pid"])
    if "start_ticks" in entry:
        return ProcessIdentity(pid, int(entry["start_ticks"]), str(entry["boot_id"]))
    try:
        same = abs(psutil.Process(pid).create_time() - float(entry["create_time_s"])) <= _FORMER_TOLERANCE_S
    except psutil.Error:
        same = False
    found = identity_of(pid) if same else None
    return found or ProcessIdentity(pid, _NO_PROCESS, str(entry.get("boot_id") or boot_id()))


def runs(identity: ProcessIdentity) -> bool:
    """Return whether this very process is there, and more of it than an entry waiting for its parent (a zombie)."""
    try:
        return identity_of(identity.pid) == identity and not _is_zombie(identity.pid)
    except psutil.NoSuchProcess:
        return False


def group_runs(identity: ProcessIdentity) -> bool:
    """Return whether the process, or anything that it left behind in its group, runs."""
    return _group_may_exist(identity) and any(_is_running_member(pid, identity) for pid in psutil.pids())


def signal_group(identity: ProcessIdentity, signal_number: int) -> None:
    """Signal the process and all of its group; nothing where they are gone."""
    if _group_may_exist(identity):
        with contextlib.suppress(ProcessLookupError):  # all of it has ended
            os.killpg(identity.pid, signal_number)


def end_process(identity: ProcessIdentity, *, within_s: float) -> bool:
    """SIGTERM this process alone, whoever leads its group, and wait for its end. False where it still runs then."""
    if runs(identity):
        with contextlib.suppress(ProcessLookupError):  # it has ended since
            os.kill(identity.pid, signal.SIGTERM)
    pause = threading.Event()
    deadline_s = time.monotonic() + within_s
    while runs(identity):
        if time.monotonic() > deadline_s:
            return False
        pause.wait(_POLL_S)
    return True


def end_groups(
    identities: Sequence[ProcessIdentity], *, grace_s: float, reap: Sequence[subprocess.Popen[bytes]]
) -> None:
    """SIGTERM all of them at once, wait for at most ``grace_s``, SIGKILL who is left. Our own children are reaped."""
    for identity in identities:
        signal_group(identity, signal.SIGTERM)
    left = _wait_for_end(identities, grace_s, reap)
    for identity in left:
        signal_group(identity, signal.SIGKILL)
    _wait_for_end(left, grace_s, reap)


def _wait_for_end(
    identities: Sequence[ProcessIdentity], within_s: float, reap: Sequence[subprocess.Popen[bytes]]
) -> list[ProcessIdentity]:
    pause = threading.Event()
    deadline_s = time.monotonic() + within_s
    while True:
        for child in reap:
            child.poll()
        left = [identity for identity in identities if group_runs(identity)]
        if not left or time.monotonic() > deadline_s:
            return left
        pause.wait(_POLL_S)


def _group_may_exist(identity: ProcessIdentity) -> bool:
    """While a group has members the kernel gives its number to no new process: a stranger there tells of its end."""
    leader = identity_of(identity.pid)
    return identity.boot_id == boot_id() if leader is None else leader == identity


def is_stopped(identity: ProcessIdentity) -> bool:
    """Return whether the process stands still until somebody lets it go on, as after Ctrl-Z."""
    try:
        return psutil.Process(identity.pid).status() == psutil.STATUS_STOPPED
    except psutil.Error:
        return False


def _start_ticks(pid: int) -> int | None:
    """Return when the process was started, in ticks since the start of the machine; None where there is none."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None if _HAS_PROC else _told_by_psutil(pid)
    except PermissionError:
        return None
    except OSError as error:
        raise our_fault(Source.DEPLOYMENTS, f"cannot look at process {pid}", error) from error
    return int(line.rpartition(")")[2].split()[_START_TICKS])


def _told_by_psutil(pid: int) -> int | None:
    """Return the ticks as psutil tells them: where there is no /proc, a process keeps the time of its start as it was
    written down then."""
    try:
        return round(psutil.Process(pid).create_time() * 1000)
    except psutil.Error:
        return None


def _is_zombie(pid: int) -> bool:
    return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def _is_running_member(pid: int, identity: ProcessIdentity) -> bool:
    try:
        return os.getpgid(pid) == identity.pid and not _is_zombie(pid)
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False
