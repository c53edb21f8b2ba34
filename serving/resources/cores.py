"""The cores and the memory that this process may use: its affinity, and the limits of its cgroup and of those around
it.

A container that may use two cores of a machine with 64 must not start 64 threads: its quota would be spent in the first
milliseconds of every period, and everything would wait for the next.
"""

import math
import os
from pathlib import Path
from typing import Final

from serving.resources.cgroups import memory_limits, quotas

SMALL_GRAPH_BYTES: Final = 2**24
"""Below this, a call is over before a second thread has woken up."""


def usable_cores(root: Path = Path("/")) -> int:
    """At least 1. ``root`` is where ``proc`` and ``sys`` are mounted."""
    return max(1, min([len(os.sched_getaffinity(0)), *(math.ceil(quota) for quota in quotas(root))]))


def usable_memory_bytes(root: Path = Path("/")) -> int:
    """The smallest limit of a cgroup that holds for this process, and never more than the machine has."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *memory_limits(root)])


def engine_threads(graph_bytes: int, cores: int) -> int:
    """Threads for a graph of this size, weights included."""
    return 1 if graph_bytes < SMALL_GRAPH_BYTES else max(1, cores)
