"""What the control groups say is read as they say it, in both their versions."""

from pathlib import Path

import pytest

from serving.process.cgroups import Pressure, join_group, pressure

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


def delegated(root: Path) -> Path:
    """A group of ours whose children have the controllers, as files: the kernel makes a new child's."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text("0::/box\n")
    own = root / "sys/fs/cgroup/box"
    own.mkdir(parents=True)
    return own


def test_no_group_is_made_where_the_controllers_are_not_delegated(tmp_path: Path) -> None:
    """And nothing is left of the try."""
    own = delegated(tmp_path)
    assert not join_group(10**9, 64, root=tmp_path)
    assert list(own.iterdir()) == []


def test_groups_that_earlier_replicas_left_empty_are_removed(tmp_path: Path) -> None:
    own = delegated(tmp_path)
    (own / "serin-1").mkdir()
    (own / "serin-2").mkdir()
    (own / "serin-2" / "cgroup.procs").write_text("17\n")  # as a group with processes, it cannot be removed
    join_group(10**9, 64, root=tmp_path)
    assert [path.name for path in own.iterdir()] == ["serin-2"]


def test_without_the_unified_hierarchy_no_group_is_made(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("4:memory:/pod\n")
    assert not join_group(10**9, 64, root=tmp_path)
