"""What a replica's processes use is read from the system, and a counter of it never goes back."""

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import psutil
from prometheus_client.core import Metric

from serving.contract import GPU_MEMORY_METRIC, GPU_UTILIZATION_METRIC
from serving.http.calls import Identity
from serving.process.resources import GpuCollector, usage
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
    with child.stdin, child.stdout:
        assert child.stdout.readline() == b"done\n"
        running = usage(supervisor)
        assert running.memory_bytes > before.memory_bytes
        child.stdin.write(b"\n")
        child.stdin.flush()
        until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE, "it has ended")
        ended = usage(supervisor)
        child.wait()
    waited_for = usage(supervisor)
    assert before.cpu_s + 0.25 < running.cpu_s <= ended.cpu_s <= waited_for.cpu_s


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
