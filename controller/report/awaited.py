"""The thing that a release waits for: a sentence, how much of it is there, and when it is complete at this rate. Pure.

The status and the page use the same words.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from controller.core.phases import BEFORE_EXPOSURE, BEFORE_PROMOTION
from controller.core.release import EXPOSED, TERMINAL, Phase, Purpose, Release
from controller.ports.suites import SuiteProgress
from controller.report.words import became, duration, listed
from gates.outcome import Outcome
from gates.verdict import Stage, Verdict

_NAMED_MAX: Final = 3  # gates that one sentence names
_LEAST_S: Final = 10.0  # a shorter time gives no rate
_HALTED: Final = frozenset({Phase.PENDING, Phase.SHADOW, Phase.CANARY})  # a freeze keeps these from going on


@dataclass(frozen=True, slots=True)
class Awaited:
    """The wait of a release. ``sentence``: what it waits for, or how it ended. ``there``: the share that is there, 0 to
    1; None: it cannot be counted. ``settled_at_s``: unix time at which all is there at this rate; None: not known.
    ``too_late``: that is after the deadline. ``way_on``: the commands that a person may give."""

    sentence: str
    there: float | None = None
    settled_at_s: float | None = None
    too_late: bool = False
    way_on: str = ""


def awaited(
    release: Release, now_s: float, *, asked: Sequence[SuiteProgress] = (), frozen: Sequence[str] = ()
) -> Awaited:
    """Return what the release waits for. ``asked``: the progress of the suites. ``frozen``: why nothing may change now,
    one sentence for each freeze."""
    found = _awaited(release, now_s, asked, frozen)
    deadline_s = release.deadline_at_s
    undecided = release.phase in (Phase.SHADOW, Phase.CANARY) and deadline_s is not None
    late = undecided and found.settled_at_s is not None and found.settled_at_s > (deadline_s or math.inf)
    return Awaited(found.sentence, found.there, found.settled_at_s, late, found.way_on)


def _awaited(  # noqa: PLR0911 - one branch a reason to wait
    release: Release, now_s: float, asked: Sequence[SuiteProgress], frozen: Sequence[str]
) -> Awaited:
    faults = "; ".join(f"no {source}: {why}" for source, why in sorted(release.faults.items()))
    number, model = release.candidate.number, release.model
    if release.phase in TERMINAL:
        return Awaited(f"Version {number} {_over(became(release), _ended(release.reason))}")
    if release.phase is Phase.HELD:
        ways = f'serin resume {model} --reason "..." (it goes on), or serin abort {model} --reason "..."'
        return Awaited(f"A person has to decide: {_ended(release.reason)}", way_on=ways)
    if release.phase is Phase.ROLLING_BACK:
        back = f"version {release.stable.number}" if release.stable is not None else "nobody"
        waits = "" if not faults else f" It waits: {_ended(faults)}"
        return Awaited(f"All traffic goes back to {back}: {_ended(release.reason)}{waits}")
    if frozen and release.phase in _HALTED and release.purpose is Purpose.PROMOTE:
        return Awaited(f"Waits until a freeze is over. {_ended('; '.join(frozen))}")
    if (pause := release.pause) is not None:
        return Awaited(
            f"Paused by {pause.by}: {_ended(pause.reason)} No more users get it; its gates go on judging.",
            way_on=f'serin resume {model} --reason "..."',
        )
    if release.phase is Phase.PENDING:
        return Awaited(f"Waits to begin: {_ended(faults)}" if faults else "Waits to begin.")
    if faults and release.phase is not Phase.PROBATION:
        return Awaited(f"Cannot go on: {_ended(faults)} No version is blamed for it; fix that.")
    return _in_phase(release, now_s, asked)


def _in_phase(release: Release, now_s: float, asked: Sequence[SuiteProgress]) -> Awaited:
    number = release.candidate.number
    match release.phase:
        case Phase.PREFLIGHT:
            return Awaited(f"Waits until version {number} is fetched, verified and ready.")
        case Phase.SUITE:
            return _suites(asked)
        case Phase.SHADOW:
            return _gates(release, now_s, (*BEFORE_EXPOSURE,), "Judging mirrored requests")
        case Phase.CANARY:
            return _step(release, now_s)
        case Phase.PROBATION:
            return _probation(release, now_s)
        case _:
            return Awaited(f"Every gate passed: users are moved to version {number}, then the registry's alias.")


def _suites(asked: Sequence[SuiteProgress]) -> Awaited:
    cases, done = sum(one.cases for one in asked), sum(one.asked for one in asked)
    if not cases:
        return Awaited("Waits for the suites.")
    names = listed(dict.fromkeys(name for one in asked for name in one.suites))
    return Awaited(f"Waits for the suites: {done:,} of {cases:,} cases asked ({names}).", done / cases)


def _probation(release: Release, now_s: float) -> Awaited:
    until_s, number = release.deadline_at_s, release.candidate.number
    sentence = f"Version {number} was promoted and is on probation: late labels still count, and a rollback is quick."
    if until_s is None:
        return Awaited(sentence)
    length_s = max(until_s - release.phase_since_s, 1e-9)
    return Awaited(sentence, min(max((now_s - release.phase_since_s) / length_s, 0.0), 1.0), until_s)


def _step(release: Release, now_s: float) -> Awaited:
    """Return the wait of a canary step: for its minimum time and requests, and then for the gates."""
    step = release.canary_step
    where = f"Serves {step.weight_pct:g} % (step {release.step + 1} of {len(release.policy.steps)})"
    if not release.routed:
        return Awaited(f"{where}: waits until users are answered this way.")
    served_s = max(now_s - release.served_since_s, 0.0)
    whole_s = release.step_over_at_s - release.served_since_s
    requests, least = release.step_requests, step.min_requests
    is_over = now_s >= release.step_over_at_s and requests >= least
    if is_over:
        return _gates(release, now_s, BEFORE_PROMOTION, where)
    parts, there, settled_s = [], 1.0, release.step_over_at_s
    if now_s < release.step_over_at_s:
        parts.append(f"{duration(served_s)} of at least {duration(whole_s)}")
        there = served_s / whole_s if whole_s > 0 else 1.0
    if requests < least:
        parts.append(f"{requests:,} of at least {least:,} requests")
        there = min(there, requests / least)
        rate = requests / served_s if served_s >= _LEAST_S else 0.0
        settled_s = max(settled_s, now_s + (least - requests) / rate) if rate else math.inf
    goes_on = "then the gates decide" if release.step + 1 == len(release.policy.steps) else "then the next step"
    at_s = None if math.isinf(settled_s) else settled_s
    return Awaited(f"{where}: {' and '.join(parts)}, {goes_on}.", there, at_s)


def _gates(release: Release, now_s: float, stages: Sequence[Stage], where: str) -> Awaited:
    """Return the wait for the required gates of these stages; the slowest one gives the time."""
    unsettled = [one for one in release.verdicts.values() if one.stage in stages and is_required_open(one)]
    if not unsettled:
        seen = any(one.stage in stages for one in release.verdicts.values())
        return Awaited(f"{where}: {'everything passes, and the next look continues' if seen else 'no look yet'}.")
    counted = [(one, _settled_at_s(release, one, now_s)) for one in unsettled if one.samples_needed]
    slowest = max(counted, key=lambda one: math.inf if one[1] is None else one[1], default=None)
    if slowest is None:
        return Awaited(f"{where}: waits for {_named(unsettled)}. {unsettled[0].reason}")
    gate, at_s = slowest
    needed = gate.samples_needed or 1
    sentence = f"{where}: waits for {_named(unsettled)}; {gate.gate} has {gate.samples:,} of about {needed:,} samples."
    return Awaited(sentence, min(gate.samples / needed, 1.0), at_s if len(counted) == len(unsettled) else None)


def is_required_open(verdict: Verdict) -> bool:
    """Return whether the verdict is required and is no pass, so that the release cannot go on."""
    return verdict.outcome is not Outcome.PASS and not verdict.advisory


def _named(verdicts: Sequence[Verdict]) -> str:
    names = [verdict.gate for verdict in verdicts]
    more = len(names) - _NAMED_MAX
    return listed([*names[:_NAMED_MAX], f"{more} more"] if more > 0 else names)


def _settled_at_s(release: Release, verdict: Verdict, now_s: float) -> float | None:
    """Return the unix time at which the gate has its samples at the rate so far; None if none came."""
    left = (verdict.samples_needed or 0) - verdict.samples
    rate = _per_s(release, verdict, now_s)
    if left <= 0:
        return now_s
    return None if rate <= 0 else now_s + left / rate


def _per_s(release: Release, verdict: Verdict, now_s: float) -> float:
    """Return the gate's samples per second: in the current step for a gate on live traffic, and since shadow began for
    other gates."""
    seen_s = now_s if release.looked_at_s is None else min(release.looked_at_s, now_s)
    step_s = seen_s - release.served_since_s
    if verdict.stage is Stage.LIVE and release.phase in EXPOSED and release.step_requests and step_s >= _LEAST_S:
        return min(release.step_requests, verdict.samples) / step_s
    began_s = release.phase_since_s
    if release.phase in EXPOSED and release.deadline_at_s is not None:
        began_s = release.deadline_at_s - release.policy.deadline_s
    since_s = seen_s - began_s
    return verdict.samples / since_s if since_s >= _LEAST_S else 0.0


def _over(what: str, reason: str) -> str:
    """Return the end and its reason without repetition: ``was rolled back by ada: wrong refunds``."""
    said = what.removeprefix("was ")
    if reason.lower().startswith(f"{said} by "):
        return what + reason[len(said) :]
    return f"{what}: {reason}"


def _ended(reason: str) -> str:
    return reason if reason.endswith((".", "!", "?")) else f"{reason}."
