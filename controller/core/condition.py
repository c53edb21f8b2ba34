"""The condition of a version, as its deployment reports it and a release judges it."""

from collections.abc import Iterable
from enum import StrEnum


class Condition(StrEnum):
    """The condition of a version, or of one of its replicas. Only failures of its own count against a version."""

    READY = "ready"  # it answers
    STARTING = "starting"  # it was started and has not answered yet
    DISTURBED = "disturbed"  # not its own fault: evicted, restarted by Serin, being placed; or only some replicas fail
    FAILING = "failing"  # its own process ended, or no longer answers; it is started again
    FAILED = "failed"  # its own process ended too often, or never became ready


_LEAST_BLAME = (Condition.DISTURBED, Condition.STARTING, Condition.FAILING, Condition.FAILED)


def condition_of(endpoints: Iterable[Condition]) -> Condition:
    """Return the condition of a version from those of its replicas: ready if all are ready, disturbed if some are ready
    and others fail. Otherwise the condition that blames the version least: it has failed only if all replicas have.
    """
    found = set(endpoints)
    if found == {Condition.READY}:
        return Condition.READY
    if Condition.READY in found and found & {Condition.FAILING, Condition.FAILED}:
        return Condition.DISTURBED
    return next((condition for condition in _LEAST_BLAME if condition in found), Condition.STARTING)
