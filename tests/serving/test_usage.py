"""What a replica's processes use is read from the system, and a counter of it never goes back."""

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import psutil
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.core import Metric

from serving.contract import GPU_MEMORY_METRIC, GPU_UTILIZATION_METRIC
from serving.ipc.shared import HighWater
from serving.messages import Identity
from serving.observe.usage import GpuCollector, usage
from tests.serving.replica import until

IDENTITY = Identity("intent", "7", ("a", "b"))
SPIN = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass\nprint('done', flush=True)"


def test_the_time_of_a_child_stays_counted_when_it_has_ended() -> None:
    """It moves from the child to its parent when it is waited for: counted in neither, the counter would fall."""
    supervisor = psutil.Process()
    before = usage(supervisor)
    child = subprocess.Popen([sys.executable, "-c", SPIN + "\ninput()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    with child:
        assert child.stdout.readline() == b"done\n"
        running = usage(supervisor)
        child.stdin.write(b"\n")
        child.stdin.flush()
        until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE, "it has ended")
        ended = usage(supervisor)
        child.wait()
    waited_for = usage(supervisor)
    quarter = os.sysconf("SC_CLK_TCK") // 4
    assert before.cpu_ticks + quarter < running.cpu_ticks <= ended.cpu_ticks <= waited_for.cpu_ticks


def process(user: int, system: int, ended: int = 0, children: tuple[Any, ...] = ()) -> Any:
    """What psutil says of a process that has used so many ticks, and its ended children so many."""
    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    times = SimpleNamespace(
        user=user * tick_s, system=system * tick_s, children_user=ended * tick_s, children_system=0.0
    )
    return SimpleNamespace(
        cpu_times=lambda: times,
        children=lambda recursive: list(children),  # noqa: ARG005 - as psutil names it
        memory_full_info=lambda: SimpleNamespace(pss=1),
    )


@given(st.lists(st.integers(0, 10**6), min_size=4, max_size=6))
def test_a_replaced_worker_takes_nothing_from_the_counter(ticks: list[int]) -> None:
    """Its time moves from the worker to the supervisor: the sum stays, or Prometheus sees a restart."""
    user, ended, *workers = ticks
    before = usage(process(user, 1, ended, tuple(process(worker, 1) for worker in workers)))
    after = usage(process(user, 1, ended + workers[-1] + 1, tuple(process(worker, 1) for worker in workers[:-1])))
    assert before.cpu_ticks == after.cpu_ticks == sum(ticks) + len(workers) + 1


def test_the_time_told_never_falls_whoever_is_asked() -> None:
    """A process that the system has forgotten before its parent has its time leaves the figure where it was."""
    told = HighWater(2)
    assert [told.raised(place, ticks) for place, ticks in ((0, 5), (1, 9), (0, 7), (1, 8), (0, 10))] == [5, 9, 9, 9, 10]


class NVMLError(Exception):
    """As in the library."""


def nvml(**functions: Any) -> Any:
    """NVIDIA's library with two GPUs; the second is partitioned and tells nothing of its utilisation."""

    def utilisation(gpu: int) -> Any:
        if gpu == 1:
            raise NVMLError
        return SimpleNamespace(gpu=75)

    users = [SimpleNamespace(pid=os.getpid(), usedGpuMemory=300), SimpleNamespace(pid=1, usedGpuMemory=5000)]
    library = {
        "NVMLError": NVMLError,
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda number: number,
        "nvmlDeviceGetUtilizationRates": utilisation,
        "nvmlDeviceGetComputeRunningProcesses": lambda gpu: users if gpu == 0 else [],
    }
    return SimpleNamespace(**library | functions)


def samples(metrics: list[Metric]) -> dict[tuple[str, str], float]:
    return {(sample.name, sample.labels["gpu"]): sample.value for metric in metrics for sample in metric.samples}


def test_gpus_are_told_one_by_one_and_memory_is_the_replicas_own() -> None:
    found = samples(list(GpuCollector(IDENTITY, os.getpid(), nvml()).collect()))
    assert found == {
        (GPU_UTILIZATION_METRIC, "0"): 0.75,
        (GPU_MEMORY_METRIC, "0"): 300,
        (GPU_MEMORY_METRIC, "1"): 0,
    }


def test_the_memory_of_a_child_counts_with_its_parents() -> None:
    assert usage(process(1, 1, children=(process(1, 1), process(1, 1)))).memory_bytes == 3
