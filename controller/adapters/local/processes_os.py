"""Processes of this machine: started in a group of their own, known by more than a pid, and ended whole."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from controller.errors import our_fault

_CREATE_TIME_TOLERANCE_S = 1.0  # the system's clock may be set between two readings
_POLL_S = 0.02
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None  # opened here: between fork and exec it is too late


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process and no later one that got the same pid. It leads the process group of the same number."""

    pid: int
    create_time_s: float


def start_process(
    command: Sequence[str],
    log_file: Path,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    ends_with_us: bool = False,
) -> subprocess.Popen[bytes]:
    """Start the command as the leader of its own session, appending what it says to the log file.

    ``ends_with_us``: the kernel sends it SIGTERM when the thread that called this ends, however it ends (Linux only).

    Raises:
        TransientError: it cannot be started now: whatever keeps a process from being started is this machine's.
    """
    try:
        with log_file.open("ab") as log:
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
        raise our_fault("deployments", f"cannot start {command[0]}", error) from error


def _end_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def boot_id() -> str:
    """What tells this run of the machine from those before, which no process outlives; nothing where it is not told.

    Not the time of the boot: that moves with the clock.
    """
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:  # no Linux
        return ""


def memory_kills() -> int | None:
    """Processes that the kernel has ended on this machine since its start for want of memory; None: it does not say."""
    try:
        counts = dict(line.split() for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines())
        return int(counts["oom_kill"])
    except (OSError, ValueError, KeyError):
        return None


def identity_of(pid: int) -> ProcessIdentity | None:
    """None where no process has the pid."""
    try:
        return ProcessIdentity(pid, psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None


def runs(identity: ProcessIdentity) -> bool:
    """Whether this very process is there, and more of it than an entry waiting for its parent (a zombie)."""
    try:
        return _is_same(identity_of(identity.pid), identity) and not _is_zombie(identity.pid)
    except psutil.NoSuchProcess:
        return False


def group_runs(identity: ProcessIdentity) -> bool:
    """Whether the process, or anything that it left behind in its group, runs."""
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


def _is_same(found: ProcessIdentity | None, identity: ProcessIdentity) -> bool:
    return found is not None and abs(found.create_time_s - identity.create_time_s) <= _CREATE_TIME_TOLERANCE_S


def _group_may_exist(identity: ProcessIdentity) -> bool:
    """While a group has members the kernel gives its number to no new process: a stranger there tells of its end."""
    leader = identity_of(identity.pid)
    return leader is None or _is_same(leader, identity)


def _is_zombie(pid: int) -> bool:
    return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def _is_running_member(pid: int, identity: ProcessIdentity) -> bool:
    try:
        return os.getpgid(pid) == identity.pid and not _is_zombie(pid)
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False
