"""The models that need a turn. Of hundreds of models only a few do at any moment: a quick check of each model's state,
and of the time, finds the few in which something has changed or is due."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from controller.core.actions import route_of
from controller.core.release import OBSERVED, Phase, Release, Version
from controller.core.traffic import TrafficTable
from controller.ports.runtime import DeploymentStatus


@dataclass(frozen=True, slots=True)
class Glance:
    """The state of a model that can be seen without waiting for a source. ``running``: its deployments, by version.
    ``wanted``: the version that the alias ``candidate`` points at. ``edited``: somebody edited the table without
    Serin."""

    table: TrafficTable | None
    running: Mapping[str, DeploymentStatus]
    wanted: Version | None
    edited: bool = False


def stands_as_left(release: Release | None, seen: Glance) -> bool:
    """Return whether the traffic table is as the release needs it, exactly the needed versions run, and no other
    version is wanted. Without a release, the needed versions are those of the traffic table."""
    if not _runs(_needed(release, seen.table), seen.running):
        return False
    if release is None:
        return seen.wanted is None
    route = route_of(release)
    as_asked = (
        route is not None
        and seen.table is not None
        and seen.table.override is None
        and not seen.edited
        and (seen.table.weights_pct, seen.table.mirror) == (route.weights_pct, route.mirror)
        and seen.table.known_good == route.known_good
    )
    new = seen.wanted is not None and not _same(seen.wanted, release.candidate)
    return as_asked and not release.faults and not new


def next_moment_s(release: Release | None, *, after_s: float) -> float:
    """Return the unix time of the release's next moment after ``after_s``: its deadline, or the end of a canary step's
    minimum time; infinity if there is none."""
    if release is None or release.phase not in OBSERVED:
        return math.inf
    moments = [release.deadline_at_s]
    if release.phase is Phase.CANARY:
        moments.append(release.step_over_at_s)
    return min((moment for moment in moments if moment is not None and moment > after_s), default=math.inf)


def _needed(release: Release | None, table: TrafficTable | None) -> set[str]:
    if release is not None:
        return {version.number for version in (release.candidate, release.stable) if version is not None}
    return set(table.needed) if table is not None else set()


def _runs(needed: set[str], running: Mapping[str, DeploymentStatus]) -> bool:
    return needed == running.keys() and all(status.ready for status in running.values())


def _same(found: Version, mine: Version) -> bool:
    return (found.number, found.source_id) == (mine.number, mine.source_id)
