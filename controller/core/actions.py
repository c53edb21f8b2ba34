"""The actions that a release needs. `plan` derives them from the state alone, so a restarted controller plans the same
actions. Every action is safe to repeat, and is planned again in each round until the state changes."""

from collections.abc import Iterator
from dataclasses import dataclass

from controller.core.policy import OnDrift
from controller.core.release import OBSERVED, Phase, Purpose, Release, Version
from controller.core.traffic import HUNDRED_PCT, Mirror


@dataclass(frozen=True, slots=True)
class Serve:
    """Keep a verified replica of the version running."""

    version: Version


@dataclass(frozen=True, slots=True)
class Probe:
    """Ask the running candidate for its fingerprint and the golden token ids."""

    version: Version


@dataclass(frozen=True, slots=True)
class RunSuites:
    candidate: Version
    baseline: Version | None
    suites: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """Write this traffic table. ``takes_up_override``: a table that a person wrote without the controller may be
    replaced, because it is on record. ``replaces_edit``: a table that somebody edited without Serin may be replaced."""

    weights_pct: dict[str, float]
    mirror: Mirror | None
    known_good: str | None
    takes_up_override: bool
    replaces_edit: bool = False


@dataclass(frozen=True, slots=True)
class TakeLook:
    """Read and judge the evidence since the last look."""


@dataclass(frozen=True, slots=True)
class Replay:
    """Ask both versions what users asked before the release."""


@dataclass(frozen=True, slots=True)
class CheckChampion:
    """Check, before users are moved, that the registry's alias points at ``expected``, or at ``to`` already."""

    to: Version
    expected: Version | None


@dataclass(frozen=True, slots=True)
class MoveChampion:
    """Move the registry's alias from ``expected`` to ``to``."""

    to: Version
    expected: Version | None


@dataclass(frozen=True, slots=True)
class FreezeModel:
    reason: str


Action = Serve | Probe | RunSuites | Route | TakeLook | Replay | CheckChampion | MoveChampion | FreezeModel


def plan(release: Release, now_s: float) -> tuple[Action, ...]:
    """Return the actions that the release needs now, in order: replicas first, then traffic, then the alias."""
    return tuple(_plan(release, now_s))


def _plan(release: Release, now_s: float) -> Iterator[Action]:
    candidate, stable = release.candidate, release.stable
    if not release.active:
        return
    if release.champion is not None:  # even if it fails: its users have no other version yet
        yield Serve(release.champion)
    if release.phase not in (Phase.PENDING, Phase.ROLLING_BACK):
        yield Serve(candidate)
    match release.phase:
        case Phase.PREFLIGHT:
            yield Probe(candidate)
        case Phase.SUITE:
            yield RunSuites(candidate, stable, release.policy.suites)
        case Phase.SHADOW | Phase.CANARY | Phase.PROBATION | Phase.HELD:
            yield from _routes(release)
            if release.phase in OBSERVED and release.routed and look_is_due(release, now_s):
                yield TakeLook()
            if replays(release):
                yield Replay()
        case Phase.PROMOTING:
            if not release.routed and release.purpose is Purpose.PROMOTE:
                yield CheckChampion(candidate, release.champion)
            yield from _routes(release)
            if release.routed:
                yield MoveChampion(candidate, release.champion)
        case Phase.ROLLING_BACK:
            yield from _leave(release)


def _leave(release: Release) -> Iterator[Action]:
    yield from _routes(release)
    for verdict in release.verdicts.values():
        if verdict.freezes and verdict.gate in release.blamed:
            yield FreezeModel(verdict.reason)
    if release.champion_moved and release.former is not None and release.routed:
        yield MoveChampion(release.former, release.candidate)


def replays(release: Release) -> bool:
    """Return whether recorded requests are to be replayed now: in shadow, after the first look, which has noted where
    the release's own pairs begin."""
    asked = release.policy.shadow_replay.asks and release.phase is Phase.SHADOW
    return asked and release.cursors.first_pair is not None


def look_is_due(release: Release, now_s: float) -> bool:
    """Return whether a look is due: at each interval, and at the deadline, for which the gates keep a test."""
    return _is_over(release, release.policy.look_every_s, now_s)


def look_due_at_s(release: Release, now_s: float) -> float:
    """Return the unix time of the next look; ``now_s`` if it is already due. An earlier deadline is not considered."""
    if release.looked_at_s is None or look_is_due(release, now_s):
        return now_s
    return release.looked_at_s + release.policy.look_every_s


def look_is_written(release: Release, now_s: float) -> bool:
    """Return whether a look at which nothing changed is recorded all the same. In probation that is rarer. Nothing is
    lost: the next look begins where the last recorded one ended."""
    return _is_over(release, release.policy.written_every_s(probation=release.phase is Phase.PROBATION), now_s)


def _is_over(release: Release, every_s: float, now_s: float) -> bool:
    """Return whether the interval since the last look is over; also if that look is in the future, because the clock
    was set back."""
    if release.looked_at_s is None or not 0 <= now_s - release.looked_at_s < every_s:
        return True
    if release.phase is Phase.PROBATION and release.looked_at_s < release.phase_since_s:
        return True
    return release.deadline_at_s is not None and release.looked_at_s < release.deadline_at_s <= now_s


def route_of(release: Release) -> Route | None:
    """Return the traffic table that the release needs in its phase; None if the table is to stay as it is."""
    candidate, stable = release.candidate, release.former
    takes_up = release.phase is Phase.ROLLING_BACK or release.purpose is Purpose.RESTORE
    everything = {candidate.number: HUNDRED_PCT}
    replaces = takes_up or release.policy.on_drift is OnDrift.RESTORE
    if release.phase in (Phase.PROMOTING, Phase.PROBATION):
        fallback = None if release.purpose is Purpose.RESTORE else stable
        return Route(everything, _back(release), fallback.number if fallback else None, takes_up, replaces)
    if stable is None or (release.phase is Phase.HELD and release.purpose is Purpose.RESTORE):
        return None
    known_good = release.fallback.number if release.fallback else None
    mirror = Mirror(candidate.number, release.policy.mirror_pct) if release.mirrors else None
    match release.phase:
        case Phase.SHADOW:
            return Route({stable.number: HUNDRED_PCT}, mirror, stable.number, takes_up, replaces)
        case Phase.CANARY:
            weights = _split(stable, candidate, release.canary_step.weight_pct)
            return Route(weights, mirror if len(weights) > 1 else _back(release), stable.number, takes_up, replaces)
        case Phase.ROLLING_BACK | Phase.HELD:
            return Route({stable.number: HUNDRED_PCT}, None, known_good, takes_up, replaces)
        case _:
            return None


def _back(release: Release) -> Mirror | None:
    """Return the mirror to the former version while the candidate serves everybody; None if nothing is copied."""
    pct = release.copied_back_pct
    return Mirror(release.stable.number, pct) if release.stable is not None and pct else None


def _split(stable: Version, candidate: Version, candidate_pct: float) -> dict[str, float]:
    if candidate_pct >= HUNDRED_PCT:
        return {candidate.number: HUNDRED_PCT}
    return {stable.number: HUNDRED_PCT - candidate_pct, candidate.number: candidate_pct}


def _routes(release: Release) -> Iterator[Route]:
    route = route_of(release)
    if route is not None:
        yield route
