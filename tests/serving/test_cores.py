"""How many threads the engine gets."""

import os
from pathlib import Path

import psutil
import pytest

from serving.resources.cores import SMALL_GRAPH_BYTES, engine_threads, usable_cores, usable_memory_bytes


@pytest.fixture
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


@pytest.mark.usefixtures("many_cores")
@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 64),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 64),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "1000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/pod/box\n", "sys/fs/cgroup/pod/cpu.max": "300000 100000\n"}, 3),
        (
            {
                "proc/self/cgroup": "0::/pod/box\n",
                "sys/fs/cgroup/pod/cpu.max": "300000 100000\n",
                "sys/fs/cgroup/pod/box/cpu.max": "max 100000\n",
            },
            3,
        ),
        (
            {
                "proc/self/cgroup": "5:cpu,cpuacct:/docker/x\n0::/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "400000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            4,
        ),
        (
            {
                "proc/self/cgroup": "5:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            64,
        ),
    ],
    ids=[
        "none",
        "max",
        "two",
        "one and a half",
        "a sliver",
        "outer",
        "outer, inner max",
        "version 1",
        "version 1, none",
    ],
)
def test_the_quota_of_a_container_counts_not_the_machine(tmp_path: Path, files: dict[str, str], cores: int) -> None:
    assert usable_cores(write(tmp_path, files)) == cores


def test_the_affinity_counts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5})
    assert usable_cores(tmp_path) == 2


@pytest.mark.parametrize(
    "files",
    [
        {"proc/self/cgroup": "0::/pod/box\n", "sys/fs/cgroup/pod/memory.max": "1000000\n"},
        {
            "proc/self/cgroup": "0::/pod/box\n",
            "sys/fs/cgroup/pod/memory.max": "1000000\n",
            "sys/fs/cgroup/pod/box/memory.max": "max\n",
        },
        {"proc/self/cgroup": "5:memory:/x\n0::/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "1000000\n"},
    ],
    ids=["outer", "outer, inner max", "version 1"],
)
def test_the_memory_limit_of_a_container_counts(tmp_path: Path, files: dict[str, str]) -> None:
    assert usable_memory_bytes(write(tmp_path, files)) == 1_000_000


def test_without_a_limit_the_memory_is_the_machines(tmp_path: Path) -> None:
    """As much as psutil finds; version 1 writes "no limit" as more than any machine has."""
    version_1 = {"proc/self/cgroup": "5:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2**63 - 4096}\n"}
    assert usable_memory_bytes(tmp_path) == usable_memory_bytes(write(tmp_path, version_1))
    assert usable_memory_bytes(tmp_path) == psutil.virtual_memory().total


def test_a_small_model_gets_one_thread() -> None:
    assert engine_threads(SMALL_GRAPH_BYTES - 1, 16) == 1
    assert engine_threads(SMALL_GRAPH_BYTES, 16) == 16
