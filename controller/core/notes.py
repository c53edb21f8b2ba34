"""The events that record facts, whatever is decided on them: faults and their ends, verdicts, looks, confirmations."""

import re
from collections.abc import Container, Iterator, Mapping, Sequence

from controller.core.actions import look_is_written
from controller.core.commands import Ask
from controller.core.condition import Condition
from controller.core.events import (
    ChampionMoved,
    CommandTaken,
    Event,
    FaultCleared,
    FaultNoted,
    GatesRestarted,
    Identified,
    Judged,
    Looked,
    Reading,
    TrafficConfirmed,
    TrafficRestored,
    Verified,
)
from controller.core.facts import (
    AliasAt,
    Asked,
    Broken,
    BudgetSpent,
    EditReplaced,
    Fact,
    LookTaken,
    Overridden,
    Probed,
    Routed,
    Serving,
    Sighted,
    SuitesRun,
    Unreachable,
    only,
)
from controller.core.release import Phase, Release, Version
from controller.errors import Source
from gates.verdict import Verdict

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
READ_BY_LOOKS = (
    Source.METRICS,
    Source.GATEWAY,
    Source.GATEWAY_TIMES,
    Source.LABELS,
    Source.PREDICTIONS,
    Source.GATES,
    Source.ROUTING,
)
_SPOKEN_FOR = {*READ_BY_LOOKS, Source.TRAFFIC, Source.REGISTRY, Source.DEPLOYMENTS, Source.PACKAGES}


def note(release: Release, facts: Sequence[Fact], now_s: float) -> tuple[Event, ...]:
    """Return the events that record the facts, in order: new faults, the facts themselves, faults that ended."""
    recorded = tuple(event for fact in facts for event in _record(release, fact, now_s))
    away = _away(release, facts)
    return (*_faults(release, facts, away), *recorded, *_recoveries(release, facts, away))


def _faults(release: Release, facts: Sequence[Fact], away: Mapping[str, str]) -> Iterator[FaultNoted]:
    """Yield one event per source whose fault begins, or whose reason changes in more than its numbers, which may differ
    at each look."""
    taken = only(facts, LookTaken)
    told = [(fault.source, fault.reason) for one in taken for fault in one.look.faults]
    told += [(Source.GATES.value, one.judgement.fault) for one in taken if one.judgement.fault]
    reasons: dict[str, list[str]] = {}
    for source, reason in (*told, *away.items()):
        if reason not in reasons.setdefault(source, []):
            reasons[source].append(reason)
    for source, found in reasons.items():
        reason = "; ".join(found)
        if source not in release.faults or _kind(release.faults[source]) != _kind(reason):
            yield FaultNoted(source, reason)


def _kind(reason: str) -> str:
    return _NUMBER.sub("#", reason)


def _word(release: Release, fact: Asked | Overridden) -> Iterator[Event]:
    """Yield the record of a person's command. A table that a person wrote without the controller is recorded only while
    the release is going back for another reason; otherwise the event that ends the release says it."""
    if isinstance(fact, Asked):
        command = fact.command
        yield CommandTaken(command.id, command.ask, command.reason, command.by)
    elif release.phase is Phase.ROLLING_BACK and fact.override.reason not in release.reason:
        yield CommandTaken("", Ask.ROLLBACK, fact.override.reason, fact.override.by)


def _record(release: Release, fact: Fact, now_s: float) -> Iterator[Event]:
    match fact:
        case Asked() | Overridden():
            yield from _word(release, fact)
        case Sighted(version, tagged):
            yield from _first_sight(release, version, tagged=tagged)
        case Probed(candidate, verdicts, origin):
            yield Verified(candidate, origin)
            yield Judged(verdicts)
        case SuitesRun(verdicts, evidence):
            yield Judged(verdicts, evidence)
        case LookTaken():
            yield from _looked(release, fact, now_s)
        case Routed(weights_pct, generation):
            if not release.routed:
                yield TrafficConfirmed(weights_pct, generation)
        case EditReplaced(by, what):
            yield TrafficRestored(by, what)
        case AliasAt(version):
            if (version == release.candidate.number) != release.champion_moved:
                yield ChampionMoved(version)
        case Broken(_, verdict):
            if verdict is not None and release.verdicts.get(verdict.gate) != verdict:
                yield Judged((verdict,))
        case _:
            return


def _away(release: Release, facts: Sequence[Fact]) -> dict[str, str]:
    """Return the sources that do not answer, with the reason: our own problem, which says nothing about the
    candidate."""
    reasons: dict[str, list[str]] = {}
    for fact in facts:
        if (found := _fault(release, fact)) is not None:
            reasons.setdefault(str(found[0]), []).append(found[1])
    return {source: "; ".join(dict.fromkeys(found)) for source, found in reasons.items()}


def _fault(release: Release, fact: Fact) -> tuple[Source, str] | None:
    """Return the source that the fact reports as faulty, and why; None if it reports none. A version that ran before
    and does not run now is a fault: nothing goes forward without it."""
    match fact:
        case Unreachable(source=source, reason=reason) | BudgetSpent(source=source, reason=reason):
            return source, reason
        case Serving(version) if release.replaced is not None and version == release.replaced.number:
            return None  # this release exists because that version does not run
        case Serving(version, condition, detail) if condition is not Condition.READY:
            ran_before = release.phase not in (Phase.PENDING, Phase.PREFLIGHT, Phase.HELD)  # in these it need not run
            away = f"version {version}: {detail or 'it is not ready'}"
            return (Source.DEPLOYMENTS, away) if condition is Condition.DISTURBED or ran_before else None
        case _:
            return None


def _looked(release: Release, taken: LookTaken, now_s: float) -> Iterator[Event]:
    look, judged = taken.look, taken.judgement
    if judged.state is None:
        return
    changed = tuple(verdict for verdict in judged.verdicts if _says_something_new(release, verdict))
    if not changed and not look_is_written(release, now_s):
        return
    if judged.restarted:
        yield GatesRestarted(dict(judged.restarted))
    readings = {verdict.gate: reading(verdict) for verdict in judged.verdicts if verdict.value is not None}
    yield Looked(look, changed, readings, judged.deadline_s)


def _says_something_new(release: Release, verdict: Verdict) -> bool:
    """Return whether the gate's answer has changed, apart from its numbers, which change at each look. Also true if the
    gate suspects harm: it needs several looks in a row, and a look that is not recorded would not count."""
    before = release.verdicts.get(verdict.gate)
    return verdict.suspects or before is None or _answer(before) != _answer(verdict)


def _answer(verdict: Verdict) -> tuple[object, ...]:
    return verdict.stage, verdict.outcome, verdict.advisory, verdict.freezes, verdict.breach


def reading(verdict: Verdict) -> Reading:
    """Return the verdict's value and the bounds of its interval."""
    interval = verdict.interval
    return (verdict.value, interval.low, interval.high) if interval else (verdict.value, None, None)


def _first_sight(release: Release, version: Version, *, tagged: bool) -> Iterator[Event]:
    mine = (release.candidate, release.champion, release.fallback)
    if any(one is not None and one.number == version.number and not one.fingerprint for one in mine):
        yield Identified(version, tagged)


def _recoveries(release: Release, facts: Sequence[Fact], away: Container[str]) -> tuple[Event, ...]:
    """Return the events that end faults: of each source that answered, and of each source about which no fact can say
    that it answers, once no fact reports it as faulty."""
    answered = {source for fact in facts for source in _sources_answering(fact)}
    back = [source for source in release.faults if source in answered or source not in _SPOKEN_FOR]
    return tuple(FaultCleared(source) for source in back if source not in away)


def _sources_answering(fact: Fact) -> tuple[str, ...]:
    match fact:
        case LookTaken(look=look, judgement=judged):
            away = {fault.source for fault in look.faults} | ({Source.GATES.value} if judged.fault else set())
            return tuple(source for source in READ_BY_LOOKS if source not in away)
        case Routed():
            return (Source.TRAFFIC,)
        case AliasAt():
            return (Source.REGISTRY,)
        case Serving(condition=Condition.READY):
            return (Source.DEPLOYMENTS, Source.PACKAGES, Source.REGISTRY)
        case _:
            return ()
