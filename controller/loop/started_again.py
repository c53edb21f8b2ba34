"""Versions that we start again: what users got meanwhile was our doing, and counts against nobody."""

from enum import Enum, auto
from typing import Final

from controller.core.release import Release
from controller.ports.clock import Clock
from controller.ports.runtime import DeploymentStatus

_SETTLES_S: Final = 15.0
"""After a version that we started again has answered: until gateway and scrapes are of afterwards."""


class Users(Enum):
    """The part that what users got has in a look."""

    COUNT = auto()
    LEFT_OUT = auto()  # a version was started again by us
    LATER = auto()  # it is not known yet whether one was


class StartedAgain:
    """The releases of which a version is started again by us. Calls may come from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_s: dict[str, float] = {}  # by release: when a version was last seen that we start again
        self._seen: dict[str, tuple[str, frozenset[str]]] = {}  # by model: a release, and its versions that were seen

    def note(self, release: Release, status: DeploymentStatus) -> None:
        """Take in how one of the release's versions is."""
        known, seen = self._seen.get(release.model, ("", frozenset()))
        self._seen[release.model] = (release.id, (seen if known == release.id else frozenset()) | {status.version})
        if release.looks and status.held_up:
            self._last_s[release.id] = self._clock.monotonic_s()

    def users(self, release: Release) -> Users:
        """Return how the release's next look takes what users got. After a restart of everything, the versions may be
        down by our doing and it be known only once their packages are verified."""
        if release.id in self._last_s:
            return Users.LEFT_OUT
        known, seen = self._seen.get(release.model, ("", frozenset()))
        needed = {version.number for version in (release.stable, release.candidate) if version is not None}
        unseen = known != release.id or needed - seen
        return Users.LATER if release.looks and unseen else Users.COUNT

    def looked(self, release: Release, began_s: float) -> None:
        """Take in that a look at the release was begun then, by the monotonic clock: those of later count once gateway
        and scrapes are of afterwards."""
        if began_s - self._last_s.get(release.id, began_s) >= _SETTLES_S:
            self._last_s.pop(release.id, None)
