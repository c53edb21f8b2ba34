"""The ways back: the reasons for which a release leaves its phase, whichever phase that is."""

from collections.abc import Sequence

from controller.core.commands import Ask, Command
from controller.core.condition import Condition
from controller.core.events import (
    Event,
    Judged,
    Leaving,
    PhaseEntered,
)
from controller.core.facts import (
    AliasSurprise,
    Asked,
    Awaited,
    Broken,
    Fact,
    NewerCandidate,
    Overridden,
    Serving,
    TableGone,
    only,
)
from controller.core.release import EXPOSED, OBSERVED, Phase, Purpose, Release
from controller.errors import Source
from gates.outcome import Outcome
from gates.verdict import Stage, Verdict


def leave(release: Release, facts: Sequence[Fact]) -> tuple[Event, ...]:
    """Return the events by which the release goes back, is held or ends early; none if there is no reason to.

    The first reason that applies decides. A release that is going back already continues to do so.
    """
    for reason_to_leave in (_asked_to_leave, _rebuilt, _found_broken, _failed_gate, _lost_candidate, _superseded):
        events = reason_to_leave(release, facts)
        if events:
            return events
    return ()


def _asked_to_leave(release: Release, facts: Sequence[Fact]) -> tuple[Event, ...]:
    asked = only(facts, Asked)
    abort = next((f.command for f in asked if f.command.ask is Ask.ABORT), None)
    back = next((f.command for f in asked if f.command.ask is Ask.ROLLBACK), None)
    if abort is not None:
        return _going(release, _leaving_by(Phase.ABORTED, abort))
    if back is not None and release.purpose is not Purpose.RESTORE:  # a restore is a way back itself
        return _going(release, _leaving_by(Phase.ROLLED_BACK, back))
    overridden = next(iter(only(facts, Overridden)), None)
    if overridden is not None and not _restores(release):
        by, reason = overridden.override.by, overridden.override.reason
        return _going(release, Leaving(Phase.ROLLED_BACK, f"Rolled back by {by}: {reason}", by=by))
    return ()


def _rebuilt(release: Release, facts: Sequence[Fact]) -> tuple[Event, ...]:
    """Return the event that holds the release, with all users on stable, if the data plane was rebuilt: it has lost the
    release's traffic table."""
    if not only(facts, TableGone) or release.phase is Phase.ROLLING_BACK:
        return ()
    reason = (
        f"The data plane was rebuilt and has nothing of {release.model} any more. All users are on "
        f"the stable version; `serin release resume {release.model}` continues with this one."
    )
    return (Leaving(Phase.HELD, reason),)


def _leaving_by(ending: Phase, command: Command) -> Leaving:
    verb = "Aborted" if ending is Phase.ABORTED else "Rolled back"
    return Leaving(ending, f"{verb} by {command.by}: {command.reason}", by=command.by)


def _going(release: Release, leaving: Leaving) -> tuple[Event, ...]:
    """Return the event; none if the release is going back already. Only an abort overrules another ending, and any
    command of a person overrules `HELD`."""
    if release.phase is not Phase.ROLLING_BACK:
        return (leaving,)
    overrules = leaving.ending is Phase.ABORTED or release.ending is Phase.HELD
    return (leaving,) if overrules and leaving.ending is not release.ending else ()


def _superseded(release: Release, facts: Sequence[Fact]) -> tuple[Event, ...]:
    newer = next(iter(only(facts, NewerCandidate)), None)
    if newer is None or release.phase in (Phase.ROLLING_BACK, Phase.PROMOTING) or release.purpose is Purpose.RESTORE:
        return ()  # these end by themselves; to leave a restore would bring back the version that a person took away
    if release.phase is Phase.PROBATION:
        if is_down(release, facts):
            return ()  # a candidate that is down must not become final
        reason = f"{release.reason} Probation ended early: version {newer.version} is the next candidate."
        return (PhaseEntered(Phase.PROMOTED, reason),)
    return (Leaving(Phase.SUPERSEDED, f"Version {newer.version} became the candidate before this one was decided."),)


def _found_broken(release: Release, facts: Sequence[Fact]) -> tuple[Event, ...]:
    if release.phase is Phase.ROLLING_BACK:
        return ()
    broken = next(iter(only(facts, Broken)), None)
    if release.purpose is Purpose.RESTORE:
        return hold_in_place(release, broken.reason) if broken is not None else ()
    if broken is not None:
        blamed = (broken.verdict.gate,) if broken.verdict else ()
        return (Leaving(ending_of_failure(release), broken.reason, blamed),)
    surprise = next(iter(only(facts, AliasSurprise)), None)
    if surprise is not None:
        return (Leaving(Phase.HELD, f"The registry changed under this release: {surprise.message}"),)
    return ()


def hold_in_place(release: Release, reason: str) -> tuple[Event, ...]:
    """Return the event that holds a restore that cannot be completed, with the traffic as it is; none if it is held."""
    return () if release.phase is Phase.HELD else (PhaseEntered(Phase.HELD, reason),)


def _failed_gate(release: Release, _: Sequence[Fact]) -> tuple[Event, ...]:
    if release.phase is Phase.ROLLING_BACK or release.purpose is Purpose.RESTORE:
        return ()
    failed = [v for v in release.verdicts.values() if v.outcome is Outcome.FAIL and not v.advisory]
    if not failed:
        return ()
    reason = " ".join(v.reason for v in failed)
    return (Leaving(ending_of_failure(release), reason, tuple(v.gate for v in failed)),)


def _lost_candidate(release: Release, facts: Sequence[Fact]) -> tuple[Event, ...]:
    if release.phase in (Phase.ROLLING_BACK, Phase.HELD):
        return ()
    number = release.candidate.number
    exposed = release.phase in EXPOSED and release.stable is not None and release.purpose is Purpose.PROMOTE
    serving = {fact.version: fact for fact in only(facts, Serving)}
    lost = serving.get(number)
    if lost is None or not (lost.condition is Condition.FAILED or (exposed and lost.condition is Condition.FAILING)):
        return ()  # before users get its answers, a candidate that fails is started again
    stable = serving.get(release.champion.number) if release.champion is not None else None
    if stable is None and lost.condition is Condition.FAILING:
        return ()  # the condition of stable is not known yet: if both versions are down, neither is to blame
    if stable is not None and not stable.ready:  # if both versions are down, something that both need is missing
        why = f"Neither version can be kept running: {number}: {lost.detail}; {stable.version}: {stable.detail}"
        return (Leaving(Phase.HELD, why),) if lost.condition is stable.condition is Condition.FAILED else ()
    reason = f"Version {number} cannot be kept running: {lost.detail or 'its replica failed'}"
    verdict = Verdict("deployment", Stage.PREFLIGHT, Outcome.FAIL, reason)
    return (Judged((verdict,)), Leaving(ending_of_failure(release), reason, ("deployment",)))


def ending_of_failure(release: Release) -> Phase:
    """Return the phase in which a failed release ends: rejected if it never got traffic, not even copies; otherwise
    rolled back."""
    had_traffic = release.phase in OBSERVED | EXPOSED or release.looks > 0
    return Phase.ROLLED_BACK if had_traffic else Phase.REJECTED


def _restores(release: Release) -> bool:
    """Return whether the release carries out a person's way back anyway, or is going back already."""
    return release.phase is Phase.ROLLING_BACK or release.purpose is Purpose.RESTORE


def is_down(release: Release, facts: Sequence[Fact]) -> bool:
    """Return whether the candidate is down, or its condition cannot be found out or is still awaited."""
    found = [fact.ready for fact in only(facts, Serving) if fact.version == release.candidate.number]
    unknown = Source.DEPLOYMENTS in release.faults or Awaited(Source.DEPLOYMENTS) in facts
    return not all(found) if found else unknown
