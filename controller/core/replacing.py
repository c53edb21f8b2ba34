"""A release that replaces a stable version that cannot run: when the release may go on, and how to start one.

A version that gives no answers cannot be compared with, so only the suites' floors judge, as for a first version.
"""

from collections.abc import Sequence
from typing import Final

from controller.core.condition import Condition
from controller.core.facts import Fact, Serving, only
from controller.core.release import Release

_BY_ITSELF: Final = (Condition.FAILING, Condition.FAILED)


def may_go_on(release: Release, facts: Sequence[Fact]) -> bool:
    """Return whether these facts show the version to be replaced failing by itself; true if none is to be replaced.

    One sight is enough: a version that keeps crashing is up for a moment at each attempt.
    """
    if release.replaced is None:
        return True
    number = release.replaced.number
    return any(fact.version == number and fact.condition in _BY_ITSELF for fact in only(facts, Serving))


def waited_for(release: Release, facts: Sequence[Fact]) -> str:
    """Return why preflight did not finish, in words; with the way out if the stable version does not run."""
    waiting = "; ".join(release.faults.values()) or "not every replica became ready"
    serving = {fact.version: fact for fact in only(facts, Serving)}
    candidate = serving.get(release.candidate.number)
    if candidate is None or not candidate.ready:
        return waiting
    number, start = candidate.version, f"`serin release start {release.model} {candidate.version}"
    if release.replaced is not None:
        return (
            f"version {release.replaced.number} was not seen to fail, so version {number} can be compared "
            f"with it: abort this release and run {start}`"
        )
    stable = serving.get(release.stable.number) if release.stable is not None else None
    if stable is None or stable.ready:
        return waiting
    return (
        f"version {number} is ready, and version {stable.version} is not "
        f"({stable.detail or stable.condition}). If it cannot be repaired, abort this release and run "
        f"{start} --because-stable-is-down`"
    )
