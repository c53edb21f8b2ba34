"""The control groups of this process, what they allow and report, of either version: its own group and those around
it."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True, slots=True)
class Pressure:
    """The pressure that this process's group is under. None: nothing is told there."""

    throttled_s: float | None
    """How long it was kept from running by its quota, over all its cores, ever."""
    oom_kills: int | None
    """How many of its processes the kernel has killed for memory, ever."""


def pressure(root: Path = Path("/")) -> Pressure:
    """``root`` is where ``proc`` and ``sys`` are mounted."""
    throttled_s = [seconds for stat in _own(root, "cpu", "cpu.stat", "cpu.stat") for seconds in _throttled_s(stat)]
    events = _own(root, "memory", "memory.events", "memory.oom_control")
    kills = [int(fields["oom_kill"]) for fields in events if "oom_kill" in fields]
    return Pressure(max(throttled_s, default=None), max(kills, default=None))


def quotas(root: Path = Path("/")) -> Iterator[float]:
    """Cores by every quota that holds for this process."""
    for unified, directories in _hierarchies(root, "cpu"):
        for directory in directories:
            if unified:
                yield from _quota(*(_read(directory / "cpu.max").split() or ["max", "0"]))
            else:
                yield from _quota(_read(directory / "cpu.cfs_quota_us"), _read(directory / "cpu.cfs_period_us"))


def memory_limits(root: Path = Path("/")) -> Iterator[int]:
    """Bytes, by every limit that holds for this process; version 1 writes a huge number where there is none."""
    for unified, directories in _hierarchies(root, "memory"):
        for directory in directories:
            limit = _read(directory / ("memory.max" if unified else "memory.limit_in_bytes")).strip()
            if limit.isdigit():
                yield int(limit)


def memory_kills(root: Path = Path("/")) -> int | None:
    """Return how many processes the kernel has ended on this machine, ever, for want of memory. None: it does not
    say."""
    lines = (line.split() for line in _read(root / "proc/vmstat").splitlines())
    return next((int(line[1]) for line in lines if line[0] == "oom_kill"), None)


def _hierarchies(root: Path, controller: str) -> Iterator[tuple[bool, Iterator[Path]]]:
    """Those that this controller may belong to: whether it is the unified one, and the groups from the innermost on."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield True, _upwards(root / "sys/fs/cgroup", path)
        elif controller in controllers.split(","):
            yield False, _upwards(root / "sys/fs/cgroup" / controller, path)


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    """A group and those around it. Inside a container its own path may not be there, and the mount is its group."""
    parts = PurePosixPath(path).relative_to("/").parts
    for depth in range(len(parts), -1, -1):
        yield mount.joinpath(*parts[:depth])


def _own(root: Path, controller: str, unified_name: str, v1_name: str) -> Iterator[dict[str, str]]:
    """The innermost such file of each hierarchy: its lines of a name and a number."""
    for unified, directories in _hierarchies(root, controller):
        texts = (_read(directory / (unified_name if unified else v1_name)) for directory in directories)
        for text in itertools.islice(filter(None, texts), 1):
            lines = (line.partition(" ") for line in text.splitlines())
            yield {name: value for name, _, value in lines if value.isdigit()}


def _quota(quota_us: str, period_us: str) -> Iterator[float]:
    if quota_us.strip().isdigit() and period_us.strip().isdigit() and int(period_us) > 0:  # else "max", -1 or nothing
        yield int(quota_us) / int(period_us)


def _throttled_s(stat: dict[str, str]) -> Iterator[float]:
    if "throttled_usec" in stat:
        yield int(stat["throttled_usec"]) / 1e6
    elif "throttled_time" in stat:  # version 1, in ns
        yield int(stat["throttled_time"]) / 1e9


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeError):
        return ""  # no such file: nothing is limited or told there
