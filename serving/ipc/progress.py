"""The progress of a worker that says nothing: a long engine call uses a processor, one that hangs does not."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

_BUSY_STATES: Final = frozenset("RDt")  # waits for a processor or for a disk, or somebody looks at it with a debugger
_USER_TICKS: Final = 11  # of the fields of /proc/PID/stat, after the name; the kernel's follow
_TICKS: Final = 2


def activity(pid: int) -> tuple[str, int] | None:
    """The state of the process and the processor's ticks that it has used; None where the system does not tell."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = line.rpartition(")")[2].split()
    return fields[0], sum(map(int, fields[_USER_TICKS : _USER_TICKS + _TICKS]))


class Progress:
    """Remembers since when each process has used no processor."""

    def __init__(self, stuck_after_s: float, activity: Callable[[int], tuple[str, int] | None] = activity) -> None:
        self._stuck_after_s = stuck_after_s
        self._activity = activity
        self._idle: dict[int, tuple[float, int]] = {}  # pid -> since when, and at how many ticks

    def is_stuck(self, pid: int, now_s: float) -> bool:
        """Return whether it has done nothing for as long as makes it stuck. Ask again and again while it owes an
        answer."""
        found = self._activity(pid)
        if found is None:
            return False
        state, ticks = found
        since_s, before = self._idle.get(pid, (now_s, -1))
        if state in _BUSY_STATES or ticks != before:
            self._idle[pid] = (now_s, ticks)
            return False
        return now_s - since_s >= self._stuck_after_s

    def forget_but(self, pids: set[int]) -> None:
        """All others have answered since, or are not to be judged by what was seen before."""
        self._idle = {pid: seen for pid, seen in self._idle.items() if pid in pids}
