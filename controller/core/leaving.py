"""The ways back: why a release has to leave, whatever its phase would make of the facts."""

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
    """The events by which the release goes back, or comes to rest; none if there is no reason to.

    A release that is already going back continues to do so.
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
    if back is not None and release.purpose is not Purpose.RESTORE:  # a way back is what a restoring release is already
        return _going(release, _leaving_by(Phase.ROLLED_BACK, back))
    overridden = next(iter(only(facts, Overridden)), None)
    if overridden is not None and not _restores(release):
        by, reason = overridden.override.by, overridden.override.reason
        return _going(release, Leaving(Phase.ROLLED_BACK, f"Rolled back by {by}: {reason}", by=by))
    return ()


def _rebuilt(release: Release, facts: Sequence[Fact]) -> tuple[Event, ...]:
    """A data plane that was rebuilt has no answers to judge by: the version that served before serves again."""
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
    """The event, unless the release is already on its way out. An abort wins over any other end, and a person's command
    over waiting for one."""
    if release.phase is not Phase.ROLLING_BACK:
        return (leaving,)
    overrules = leaving.ending is Phase.ABORTED or release.ending is Phase.HELD
    return (leaving,) if overrules and leaving.ending is not release.ending else ()


def _superseded(release: Release, facts: Sequence[Fact]) -> tuple[Event, ...]:
    newer = next(iter(only(facts, NewerCandidate)), None)
    if newer is None or release.phase in (Phase.ROLLING_BACK, Phase.PROMOTING) or release.purpose is Purpose.RESTORE:
        return ()  # the last two end by themselves, and to leave a way back would bring back what a person left
    if release.phase is Phase.PROBATION:
        if is_down(release, facts):
            return ()  # it has not shown that it can stay
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
    """A way back that cannot be completed is held, with the traffic as a person left it."""
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
        return ()  # before users get its answers, one that fails is given its tries
    stable = serving.get(release.champion.number) if release.champion is not None else None
    if stable is None and lost.condition is Condition.FAILING:
        return ()  # not known yet: where both are away, it was neither's doing
    if stable is not None and not stable.ready:  # what neither version can do is for want of something that both need
        why = f"Neither version can be kept running: {number}: {lost.detail}; {stable.version}: {stable.detail}"
        return (Leaving(Phase.HELD, why),) if lost.condition is stable.condition is Condition.FAILED else ()
    reason = f"Version {number} cannot be kept running: {lost.detail or 'its replica failed'}"
    verdict = Verdict("deployment", Stage.PREFLIGHT, Outcome.FAIL, reason)
    return (Judged((verdict,)), Leaving(ending_of_failure(release), reason, ("deployment",)))


def ending_of_failure(release: Release) -> Phase:
    """Rejected if it never got traffic, not even mirrored; otherwise rolled back."""
    had_traffic = release.phase in OBSERVED | EXPOSED or release.looks > 0
    return Phase.ROLLED_BACK if had_traffic else Phase.REJECTED


def _restores(release: Release) -> bool:
    """Return whether a route that a person moved is what this release carries out anyway, or is already undoing."""
    return release.phase is Phase.ROLLING_BACK or release.purpose is Purpose.RESTORE


def is_down(release: Release, facts: Sequence[Fact]) -> bool:
    """Return whether the candidate is not running, or it is not known whether it is."""
    found = [fact.ready for fact in only(facts, Serving) if fact.version == release.candidate.number]
    unknown = Source.DEPLOYMENTS in release.faults or Awaited(Source.DEPLOYMENTS) in facts
    return not all(found) if found else unknown
