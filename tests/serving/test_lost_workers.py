"""Why a replica ends when its workers are lost again and again: real processes that end as real ones would."""

import os
import signal
from collections.abc import Iterator, Sequence
from multiprocessing.process import BaseProcess
from types import SimpleNamespace
from typing import Any, cast

import pytest

from serving.contract import EXIT_SHORTAGE
from serving.http.listener import Listeners
from serving.replica import supervisor
from serving.replica.app import ReplicaServer
from serving.replica.supervisor import Supervisor

SETTINGS = SimpleNamespace(api_processes=0, workers=1, model="m", version="1", objectives_ms=())


class Losing(Supervisor):
    """Its workers do nothing but end."""

    def __init__(self, kills: Sequence[int | None], ends_by: int) -> None:
        counted: Iterator[int | None] = iter(kills)
        server = cast("ReplicaServer", SimpleNamespace(settings=SETTINGS))
        super().__init__(server, cast("Listeners", None), lambda: next(counted))
        self.ends_by = ends_by

    def _start_worker(self, number: int, *, again: bool = False) -> BaseProcess:  # noqa: ARG002 - as it is called
        process: Any = supervisor._fork.Process(target=self._end_at_once, name=f"worker-{number}")
        process.start()
        return cast("BaseProcess", process)

    def _end_at_once(self) -> None:
        os.kill(os.getpid(), self.ends_by)

    def ended(self) -> int:
        return self._watch([], [self._start_worker(0)])


@pytest.mark.parametrize(
    ("kills", "ends_by", "code"),
    [
        ((4, 5), signal.SIGKILL, EXIT_SHORTAGE),
        ((4, 4), signal.SIGKILL, 1),
        ((None, None), signal.SIGKILL, 1),
        ((4, 5), signal.SIGTERM, 1),
    ],
    ids=["the kernel ended some for memory", "somebody killed it", "nobody counts", "it ended otherwise"],
)
def test_workers_that_the_kernel_ends_for_memory_say_nothing_of_the_version(
    kills: Sequence[int | None], ends_by: int, code: int
) -> None:
    """The kernel takes the largest process, a worker, for what all processes of the machine have taken."""
    assert Losing(kills, ends_by).ended() == code
