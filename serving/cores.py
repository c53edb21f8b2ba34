"""How many cores and how much memory this process may use: its affinity, and the limits of its cgroup and of those
around it.

A container that may use two cores of a machine with 64 must not start 64 threads: its quota would be spent in the first
milliseconds of every period, and everything would wait for the next.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

SMALL_GRAPH_BYTES: Final = 2**24
"""Below this, a call is over before a second thread has woken up."""


def usable_cores(root: Path = Path("/")) -> int:
    """At least 1. ``root`` is where ``proc`` and ``sys`` are mounted."""
    return max(1, min([len(os.sched_getaffinity(0)), *(math.ceil(quota) for quota in _quotas(root))]))


def usable_memory_bytes(root: Path = Path("/")) -> int:
    """The smallest limit of a cgroup that holds for this process, and never more than the machine has."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *_memory_limits(root)])


def engine_threads(graph_bytes: int, cores: int) -> int:
    """Threads for a graph of this size, weights included."""
    return 1 if graph_bytes < SMALL_GRAPH_BYTES else cores


def _quotas(root: Path) -> Iterator[float]:
    """Cores by every quota that holds for this process, of either version of cgroups."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            for directory in _upwards(root / "sys/fs/cgroup", path):
                yield from _quota(*(_read(directory / "cpu.max").split() or ["max", "0"]))
        elif "cpu" in controllers.split(","):
            for directory in _upwards(root / "sys/fs/cgroup/cpu", path):
                yield from _quota(_read(directory / "cpu.cfs_quota_us"), _read(directory / "cpu.cfs_period_us"))


def _memory_limits(root: Path) -> Iterator[int]:
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            files = [directory / "memory.max" for directory in _upwards(root / "sys/fs/cgroup", path)]
        elif "memory" in controllers.split(","):
            mount = root / "sys/fs/cgroup/memory"
            files = [directory / "memory.limit_in_bytes" for directory in _upwards(mount, path)]
        else:
            continue
        limits = (_read(file).strip() for file in files)
        yield from (int(limit) for limit in limits if limit.isdigit())  # else "max" or nothing


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    """A cgroup and those around it. Inside a container its own path may not be there, and the mount is its cgroup."""
    parts = PurePosixPath(path).relative_to("/").parts
    for depth in range(len(parts), -1, -1):
        yield mount.joinpath(*parts[:depth])


def _quota(quota_us: str, period_us: str) -> Iterator[float]:
    if quota_us.strip().isdigit() and period_us.strip().isdigit() and int(period_us) > 0:  # else "max", -1 or nothing
        yield int(quota_us) / int(period_us)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeError):
        return ""  # no such file: no quota there
