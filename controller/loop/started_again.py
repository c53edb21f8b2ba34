"""The versions that Serin restarts: what users got meanwhile was our doing, and counts against no version."""

from enum import Enum, auto
from typing import Final

from controller.core.release import Release
from controller.ports.clock import Clock
from controller.ports.runtime import DeploymentStatus

_SETTLES_S: Final = 15.0
"""The seconds after a restarted version answers until the counts of gateway and replicas are of the time after it."""


class Users(Enum):
    """The way in which a look uses the gateway's counts of what users got."""

    COUNT = auto()
    LEFT_OUT = auto()  # Serin restarted a version
    LATER = auto()  # it is not known yet whether Serin restarted a version


class StartedAgain:
    """The releases with a version that Serin restarts. Any thread may call."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_s: dict[str, float] = {}  # release -> when a version that Serin restarts was last seen
        self._seen: dict[str, tuple[str, frozenset[str]]] = {}  # model -> a release, and its versions seen so far

    def note(self, release: Release, status: DeploymentStatus) -> None:
        """Note the state of one of the release's versions."""
        known, seen = self._seen.get(release.model, ("", frozenset()))
        self._seen[release.model] = (release.id, (seen if known == release.id else frozenset()) | {status.version})
        if release.looks and status.held_up:
            self._last_s[release.id] = self._clock.monotonic_s()

    def users(self, release: Release) -> Users:
        """Return how the release's next look uses the gateway's counts. After a restart of the whole installation the
        versions may be down by our doing; this is known only once all of them have been seen."""
        if release.id in self._last_s:
            return Users.LEFT_OUT
        known, seen = self._seen.get(release.model, ("", frozenset()))
        needed = {version.number for version in (release.stable, release.candidate) if version is not None}
        unseen = known != release.id or needed - seen
        return Users.LATER if release.looks and unseen else Users.COUNT

    def looked(self, release: Release, began_s: float) -> None:
        """Note that a look at the release began at ``began_s`` by the monotonic clock. Later looks count again once the
        restarted version has answered for ``_SETTLES_S``."""
        if began_s - self._last_s.get(release.id, began_s) >= _SETTLES_S:
            self._last_s.pop(release.id, None)
