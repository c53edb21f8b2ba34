"""The models that need a turn. Of hundreds of models next to none does at any moment: what each is, and whether time
asks for anything, is seen at a glance, and a turn is left for the few that stand otherwise than they were left."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from controller.core.actions import route_of
from controller.core.release import OBSERVED, Phase, Release, Version
from controller.core.traffic import TrafficTable
from controller.ports.runtime import DeploymentStatus


@dataclass(frozen=True, slots=True)
class Glance:
    """The model as it is seen without asking anything of it. ``wanted``: what the alias ``candidate`` points at.
    ``edited``: the table is not as Serin wrote it."""

    table: TrafficTable | None
    running: Mapping[str, DeploymentStatus]
    wanted: Version | None
    edited: bool = False


def stands_as_left(release: Release | None, seen: Glance) -> bool:
    """Return whether the traffic is what the release asks for, all that is needed runs, nothing else does, and nothing
    new is wanted; without a release, what is routed to."""
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
    """Return the unix time of the next deadline, or end of the least time of a canary step, after ``after_s``; infinite
    where there is none."""
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
