"""What is said of a version by its replicas, and of a replica by its record."""

from dataclasses import replace

import pytest

from controller.adapters.local.records import Record
from controller.adapters.local.tries import MISSES_MAX, Patience, endpoint_of
from controller.core.condition import Condition, condition_of
from controller.ports.runtime import DeploymentStatus, Endpoint

R, S, D, F, X = Condition.READY, Condition.STARTING, Condition.DISTURBED, Condition.FAILING, Condition.FAILED
NOW_S = 10_000.0
RUNS = Record(
    model="intent",
    version="6",
    pid=1,
    start_ticks=1,
    boot_id="b",
    command=(),
    started_s=NOW_S - 100,
    recent_starts_s=(NOW_S - 100,),
    log_offset=0,
    port=1,
    answered=True,
)
DEAD = replace(RUNS, failure="it ended by SIGKILL", failed_s=NOW_S)
OFTEN = (NOW_S - 30, NOW_S - 20, NOW_S - 10, NOW_S)


@pytest.mark.parametrize(
    ("replicas", "version"),
    [
        ((R, R), R),
        ((R, S), S),  # all of it is admitted at once
        ((R, F), D),  # one of several is lost
        ((R, X), D),
        ((R, D), D),
        ((F, X), F),
        ((S, X), S),
        ((X, X), X),
        ((D, X), D),
        ((), S),
    ],
)
def test_a_version_is_what_is_least_its_doing(replicas: tuple[Condition, ...], version: Condition) -> None:
    assert condition_of(replicas) is version
    assert condition_of(reversed(replicas)) is version


@pytest.mark.parametrize(
    ("record", "misses", "condition"),
    [
        (RUNS, 0, R),
        (RUNS, MISSES_MAX - 1, R),
        (RUNS, MISSES_MAX, F),
        (replace(RUNS, answered=False), 0, S),
        (replace(RUNS, answered=False, recovering=True), 0, F),
        (replace(RUNS, ending_s=NOW_S), 0, D),
        (DEAD, 0, F),
        (replace(DEAD, ours=True), 0, D),
        (replace(DEAD, ours=True, recent_starts_s=OFTEN), 0, D),
        (replace(DEAD, recent_starts_s=OFTEN), 0, X),
        (replace(RUNS, answered=False, failed_before="it ended"), 0, X),
    ],
)
def test_a_record_says_one_thing(record: Record, misses: int, condition: Condition) -> None:
    found = endpoint_of(record, Patience(), misses=misses, now_s=NOW_S)
    assert found.condition is condition
    assert bool(found.detail) is (condition is not R)


def test_of_several_replicas_each_says_why_it_is_away() -> None:
    status = DeploymentStatus("6", (Endpoint(R, restarts=1), Endpoint(F, detail="it ended by SIGKILL", restarts=2)))
    assert (status.ready, status.held_up, status.restarts) == (False, False, 3)
    assert status.detail == "replica 2: it ended by SIGKILL"
    assert DeploymentStatus("6", (Endpoint(R, restarts=1), Endpoint(D, detail="evicted"))).restarts is None
