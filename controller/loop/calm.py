"""The models that need a turn. Of hundreds of models hardly any does at a given moment: a quick check of each one's
state, and of whether something is due, leaves a turn to the few that have changed since their last one."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from controller.core.actions import route_of
from controller.core.release import OBSERVED, Phase, Release, Version
from controller.core.traffic import TrafficTable
from controller.ports.runtime import DeploymentStatus


@dataclass(frozen=True, slots=True)
class Glance:
    """The model as it can be seen without asking anything. ``wanted``: what the alias ``candidate`` points at.
    ``edited``: the table is not as Serin wrote it."""

    table: TrafficTable | None
    running: Mapping[str, DeploymentStatus]
    wanted: Version | None
    edited: bool = False


def stands_as_left(release: Release | None, seen: Glance) -> bool:
    """Return whether the traffic is what the release asks for, exactly what is needed is running, and nothing new is
    wanted; without a release, what is routed to is what is needed."""
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
    """Return the unix time after ``after_s`` of the next deadline, or of the end of a canary step's minimum time;
    infinite if there is none."""
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
