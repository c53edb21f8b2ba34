"""The figures of the operating system that each scrape asks for: memory and CPU of all processes of a replica together,
and its GPUs.

Every HTTP process answers with the same figures, because they are read at each scrape and not remembered.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from types import ModuleType
from typing import Final

import psutil
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from serving.contract import (
    CORES_METRIC,
    CPU_METRIC,
    CPU_THROTTLED_METRIC,
    GPU_LABEL,
    GPU_MEMORY_METRIC,
    GPU_UTILIZATION_METRIC,
    INFO_METRIC,
    MEMORY_LIMIT_METRIC,
    MODEL_LABEL,
    OOM_KILLS_METRIC,
    RESIDENT_MEMORY_METRIC,
    START_METRIC,
    VERSION_LABEL,
    WORKER_RESTARTS_METRIC,
    WORKERS_METRIC,
)
from serving.ipc.shared import Place
from serving.messages import Identity
from serving.resources.cgroups import pressure
from serving.resources.cores import usable_cores, usable_memory_bytes

_NAMES: Final = (MODEL_LABEL, VERSION_LABEL)
_TRIES: Final = 5
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")  # in which the system counts CPU time


@dataclass(frozen=True, slots=True)
class Usage:
    """The use of all processes of a replica together; ``cpu_ticks`` includes those that have ended.

    CPU time is in whole ticks of the system's clock: a sum of seconds in floats depends on their order, and would fall
    by one unit in the last place when an ended worker's time moves to its parent.
    """

    memory_bytes: int
    cpu_ticks: int


def usage(supervisor: psutil.Process) -> Usage:
    """Return the sums over all processes.

    A process that ends during the look may be missing from them, or be in them twice. Then the look is taken again, a
    few times at most: a counter that falls is taken for a restart, and all of it is counted once more.
    """
    for _ in range(_TRIES):
        before = _ended_ticks(supervisor)
        memory, ticks = 0, before
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in (supervisor, *supervisor.children(recursive=True)):
                times = process.cpu_times()
                ticks += _ticks(times.user) + _ticks(times.system)
                memory += _resident(process)
            if _ended_ticks(supervisor) == before:
                break
    return Usage(memory, ticks)


def _ended_ticks(supervisor: psutil.Process) -> int:
    times = supervisor.cpu_times()
    return _ticks(times.children_user) + _ticks(times.children_system)


def _ticks(seconds: float) -> int:
    return round(seconds * _TICKS_PER_S)


def _resident(process: psutil.Process) -> int:
    """Return the process's own share of memory, in bytes: a page that several processes share, such as those of the
    weights, counts once in the sum of all."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.ZombieProcess:
        return 0


class ReplicaCollector:
    """The figures of a replica, for one HTTP process. ``info``: further labels of the info metric, with their
    values."""

    def __init__(self, identity: Identity, info: Mapping[str, str], place: Place) -> None:
        self._own = (identity.model, identity.version)
        self._info = info
        self._supervisor = psutil.Process(place.supervisor_pid)
        self._place = place.number
        self._workers, self._life = place.workers, place.life

    def collect(self) -> Iterator[Metric]:
        used, held = usage(self._supervisor), pressure()
        yield self._gauge(RESIDENT_MEMORY_METRIC, "Resident memory, all processes.", used.memory_bytes)
        ticks = self._life.cpu_ticks.raised(self._place, used.cpu_ticks)  # a look may miss a process that just ended
        yield self._counter(CPU_METRIC, "CPU time, all processes, ended ones included.", ticks / _TICKS_PER_S)
        yield self._gauge(START_METRIC, "When the replica started, unix time.", self._life.started_at_s)
        yield self._gauge(MEMORY_LIMIT_METRIC, "Memory that the replica may use.", usable_memory_bytes())
        yield self._gauge(CORES_METRIC, "Cores that the replica may use.", usable_cores())
        yield self._gauge(WORKERS_METRIC, "Inference workers that are running.", self._workers.running)
        yield self._counter(WORKER_RESTARTS_METRIC, "Inference workers replaced.", self._workers.restarts)
        if held.throttled_s is not None:
            yield self._counter(
                CPU_THROTTLED_METRIC, "Time for which the quota kept it from running.", held.throttled_s
            )
        if held.oom_kills is not None:
            yield self._counter(OOM_KILLS_METRIC, "Processes of the group killed for memory.", held.oom_kills)
        info = GaugeMetricFamily(INFO_METRIC, "The version served.", labels=(*_NAMES, *self._info))
        info.add_metric((*self._own, *self._info.values()), 1)
        yield info

    def _gauge(self, name: str, about: str, value: float) -> Metric:
        family = GaugeMetricFamily(name, about, labels=_NAMES)
        family.add_metric(self._own, value)
        return family

    def _counter(self, name: str, about: str, value: float) -> Metric:
        family = CounterMetricFamily(name, about, labels=_NAMES)
        family.add_metric(self._own, value)
        return family


class GpuCollector:
    """The utilisation of every visible GPU, and how much of its memory this replica's processes hold.

    ``nvml`` is NVIDIA's management library, as nvidia-ml-py provides it.
    """

    def __init__(self, identity: Identity, supervisor_pid: int, nvml: ModuleType) -> None:
        self._own = (identity.model, identity.version)
        self._supervisor = psutil.Process(supervisor_pid)
        self._nvml = nvml

    def collect(self) -> Iterator[Metric]:
        names = (*_NAMES, GPU_LABEL)
        busy = GaugeMetricFamily(GPU_UTILIZATION_METRIC, "Share of time in which the GPU was busy.", labels=names)
        held = GaugeMetricFamily(GPU_MEMORY_METRIC, "Memory of the GPU that the replica holds.", labels=names)
        own = {process.pid for process in (self._supervisor, *self._supervisor.children(recursive=True))}
        for number in range(self._nvml.nvmlDeviceGetCount()):
            gpu = self._nvml.nvmlDeviceGetHandleByIndex(number)
            labels = (*self._own, str(number))
            with contextlib.suppress(self._nvml.NVMLError):  # a MIG partition has no utilisation of its own
                busy.add_metric(labels, self._nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100)
            with contextlib.suppress(self._nvml.NVMLError):
                users = self._nvml.nvmlDeviceGetComputeRunningProcesses(gpu)
                held.add_metric(labels, sum(user.usedGpuMemory or 0 for user in users if user.pid in own))
        yield busy
        yield held


def gpu_collectors(identity: Identity, supervisor_pid: int) -> Iterable[GpuCollector]:
    """Return one collector if there are a GPU and nvidia-ml-py; none otherwise."""
    if find_spec("pynvml") is None:
        return ()
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no driver, or one that this process may not use
        return ()
    return (GpuCollector(identity, supervisor_pid, pynvml),)
