"""The conditions that say whether a release's evidence can be read, by what the journal says. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from controller.core.release import OBSERVED, Phase, Release
from controller.errors import Source

PAIRS_MIN: Final = 100
_ROUTED: Final = OBSERVED | {Phase.PROMOTING, Phase.ROLLING_BACK, Phase.HELD}


@dataclass(frozen=True, slots=True)
class Readiness:
    """One condition of a release's evidence. ``since_s``: unix time."""

    type: str
    status: str  # True, False, or Unknown if the release does not use it now
    reason: str
    message: str
    since_s: float


def readiness_of(release: Release) -> Iterator[Readiness]:
    """Yield whether the counts, the pairs and the route can be relied on. The message of a condition that is False
    names the fault."""
    yield _found(release, "MetricsReady", "MetricsNotReady", (Source.METRICS, Source.GATEWAY), _metrics(release))
    yield _found(release, "PairsReady", "PairsNotReady", (Source.PREDICTIONS,), _pairs(release))
    yield _found(release, "RouteServed", "RouteNotServed", (Source.ROUTING, Source.TRAFFIC), _route(release))


NAMES: Final = ("MetricsReady", "PairsReady", "RouteServed")

_Told = tuple[str, str, str]  # status, reason, message
_OVER: Final[_Told] = ("Unknown", "Over", "The release has ended, so this is no longer checked.")
_NOT_YET: Final[_Told] = ("Unknown", "NotAsked", "Checked in shadow, canary and probation only.")


def _found(release: Release, name: str, reason: str, sources: tuple[Source, ...], well: _Told) -> Readiness:
    changes = [release.faults_changed_s[source] for source in sources if source in release.faults_changed_s]
    since_s = max(changes, default=release.started_at_s)
    faults = [release.faults[source] for source in sources if source in release.faults]
    if not release.active:
        return Readiness(name, *_OVER, release.phase_since_s)
    if faults:
        return Readiness(name, "False", reason, "; ".join(faults), since_s)
    return Readiness(name, *well, since_s)


def _metrics(release: Release) -> _Told:
    if release.phase not in OBSERVED or not release.looks:
        return _NOT_YET
    return "True", "Read", "The counts of every version with traffic are read, and so is what users got."


def _pairs(release: Release) -> _Told:
    if not release.mirrors:
        return "Unknown", "NoMirror", "Requests are not mirrored here."
    if release.phase not in OBSERVED:
        return _NOT_YET
    if release.cursors.arrived.get("paired", 0) < PAIRS_MIN:
        return "Unknown", "TooFew", f"Fewer than {PAIRS_MIN} pairs have arrived so far."
    return "True", "Paired", "Copies share their request id with a live answer."


def _route(release: Release) -> _Told:
    if release.phase not in _ROUTED:
        return "Unknown", "NotAsked", "This phase does not change the traffic."
    if not release.routed:
        return "Unknown", "Waiting", "Users are not yet seen to be answered by this phase's weights."
    return "True", "Served", "Users are answered by this phase's weights."
