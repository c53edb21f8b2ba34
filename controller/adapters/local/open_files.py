"""Processes of ours that have nearly reached their limit of open files: whatever needs one more is refused."""

import os
import resource
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import psutil

_NEARLY: Final = 0.95


@dataclass(frozen=True, slots=True)
class OpenFiles:
    """The files of one process, and how many it may have."""

    used: int
    most: int


def may_open_as_many_files_as_allowed() -> None:
    """Raise this process's own limit, and that of what it starts, to what it may give itself."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # a system that allows less than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def files_at_most() -> int | None:
    """Return how many files this process, and what it starts, may have open; None: there is no limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def short_of_files(groups: Mapping[int, str]) -> Iterator[tuple[str, OpenFiles]]:
    """Yield the processes of these process groups that can hardly open another file, each by the name of its group."""
    for pid in psutil.pids():
        try:
            name = groups.get(os.getpgid(pid))
            found = _files_of(pid) if name is not None else None
        except (OSError, psutil.Error):  # it has just ended, or is not ours to look at
            continue
        if name is not None and found is not None and found.used >= _NEARLY * found.most:
            yield name, found


def _files_of(pid: int) -> OpenFiles:
    process = psutil.Process(pid)
    return OpenFiles(process.num_fds(), process.rlimit(resource.RLIMIT_NOFILE)[0])
