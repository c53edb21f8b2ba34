"""The condition of a version: what its deployment says, and what a release makes of it."""

from collections.abc import Iterable
from enum import StrEnum


class Condition(StrEnum):
    """The condition of a version, or of one replica of it. Only what it does by itself counts against it."""

    READY = "ready"  # it answers
    STARTING = "starting"  # it was started and has not answered yet
    DISTURBED = "disturbed"  # not of its doing: evicted, started again by us, being placed; or one of several is lost
    FAILING = "failing"  # its own process ended, or does not answer any more; it is tried again
    FAILED = "failed"  # its own process ended too often, or never came well


_LEAST_BLAME = (Condition.DISTURBED, Condition.STARTING, Condition.FAILING, Condition.FAILED)


def condition_of(endpoints: Iterable[Condition]) -> Condition:
    """The condition of a version by those of its replicas: ready if all are, disturbed if some are and others fail.

    Where none is, what is least its own doing is said: a version has failed once all of it has.
    """
    found = set(endpoints)
    if found == {Condition.READY}:
        return Condition.READY
    if Condition.READY in found and found & {Condition.FAILING, Condition.FAILED}:
        return Condition.DISTURBED
    return next((condition for condition in _LEAST_BLAME if condition in found), Condition.STARTING)
