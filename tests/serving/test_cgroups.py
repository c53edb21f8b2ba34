"""What the control groups say is read as they say it, in both their versions."""

from pathlib import Path

import pytest

from serving.resources.cgroups import Pressure, memory_kills, pressure

UNIFIED = {
    "proc/self/cgroup": "0::/pod/box\n",
    "sys/fs/cgroup/pod/box/memory.events": "low 0\noom 4\noom_kill 3\n",
    "sys/fs/cgroup/pod/memory.events": "low 0\noom 9\noom_kill 9\n",
    "sys/fs/cgroup/pod/box/cpu.stat": "usage_usec 100\nnr_throttled 7\nthrottled_usec 2500000\n",
}
V1 = {
    "proc/self/cgroup": "7:memory:/pod\n3:cpu,cpuacct:/pod\n0::/\n",
    "sys/fs/cgroup/memory/pod/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    "sys/fs/cgroup/cpu/pod/cpu.stat": "nr_periods 9\nnr_throttled 7\nthrottled_time 1500000000\n",
}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, Pressure(None, None)),
        (UNIFIED, Pressure(2.5, 3)),
        (V1, Pressure(1.5, 2)),
        (
            {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.events": "garbage\n\xff"},
            Pressure(None, None),
        ),
    ],
    ids=["none", "unified", "version 1", "unreadable"],
)
def test_pressure_is_that_of_the_own_group(tmp_path: Path, files: dict[str, str], expected: Pressure) -> None:
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    assert pressure(tmp_path) == expected


@pytest.mark.parametrize(("vmstat", "expected"), [("pgfault 9\noom_kill 3\n", 3), ("pgfault 9\n", None), (None, None)])
def test_the_kernels_own_count_of_what_it_ended_for_memory(tmp_path: Path, vmstat: str | None, expected: int) -> None:
    if vmstat is not None:
        (tmp_path / "proc").mkdir()
        (tmp_path / "proc/vmstat").write_text(vmstat)
    assert memory_kills(tmp_path) == expected
