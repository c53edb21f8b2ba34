"""Recorded evidence, judged again: the very same panel of gates, look by look, with nothing else of Serin running."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from controller.core.policy import ReleasePolicy
from controller.errors import UsageError
from controller.evidence import RecordedLook, compact_json
from controller.report.words import listed, utc
from gates.codec import encode
from gates.outcome import Outcome, combine
from gates.panel import Panel
from gates.verdict import Verdict, Window

SCHEMA: Final = "serin.judgement/v1"
_CALENDAR_ENDS_S: Final = 253_402_300_800.0  # of the year 9999; evidence may count its seconds from anywhere


@dataclass(frozen=True, slots=True)
class Judgement:
    """What all gates together said at one look. ``outcome`` leaves advisory verdicts out, as a release does."""

    release: str
    sequence: int
    window: Window
    candidate_share: float
    outcome: Outcome
    verdicts: tuple[Verdict, ...]


def judge(
    policy: ReleasePolicy, looks: Sequence[RecordedLook], *, deadline_s: float | None = None
) -> Iterator[Judgement]:
    """Judge the looks of one release in order, as they were judged when they were taken.

    The gates' deadline is ``deadline_s`` after the first window's start where that is given, else the one that was
    recorded, else the policy's.

    Raises:
        UsageError: the looks are of more than one release.
    """
    releases = list(dict.fromkeys(recorded.release for recorded in looks))
    if len(releases) > 1:
        names = listed(release or "a release without a name" for release in releases)
        raise UsageError(f"the evidence is of {len(releases)} releases, {names}: judge one at a time")
    return _judged(policy, looks, deadline_s)


def _judged(policy: ReleasePolicy, looks: Sequence[RecordedLook], deadline_s: float | None) -> Iterator[Judgement]:
    if not looks:
        return
    panel = Panel(policy.gates)
    state = panel.start(deadline_s=deadline_of(policy, looks[0], deadline_s))
    for recorded in looks:
        look = recorded.look
        state, verdicts = panel.look(state, look)
        outcome = combine(verdict.outcome for verdict in verdicts if not verdict.advisory)
        yield Judgement(recorded.release, look.sequence, look.window, look.candidate_share, outcome, verdicts)


def deadline_of(policy: ReleasePolicy, first: RecordedLook, asked_s: float | None) -> float:
    """Unix time of the gates' deadline, from the first look; ``asked_s`` counts from the start of its window."""
    if asked_s is None and first.deadline_s is not None:
        return first.deadline_s
    return first.look.window.start_s + (policy.deadline_s if asked_s is None else asked_s)


def as_json(judgement: Judgement) -> str:
    """One line of JSON."""
    return compact_json({"schema": SCHEMA} | encode(judgement))


def as_text(judgement: Judgement) -> str:
    """A heading and a line for each verdict."""
    share = f"{100 * judgement.candidate_share:g} %" if judgement.candidate_share else "shadow"
    head = f"look {judgement.sequence}  {_time(judgement.window.end_s)}  {share}  {judgement.outcome}"
    return "\n".join([head, *map(_line, judgement.verdicts)])


def _time(at_s: float) -> str:
    return utc(at_s) if 0 <= at_s < _CALENDAR_ENDS_S else f"{at_s:g} s"


def _line(verdict: Verdict) -> str:
    outcome = f"({verdict.outcome})" if verdict.advisory else f"{verdict.outcome}"
    return f"  {outcome:<15} {verdict.gate}: {verdict.reason}"


def conclusion(last: Judgement | None) -> tuple[Outcome, str]:
    """The outcome after the last look, and a sentence that names the gates behind it. The panel keeps failures."""
    if last is None:
        return Outcome.INCONCLUSIVE, "No look: nothing was judged."
    gates = listed(v.gate for v in last.verdicts if v.outcome is last.outcome and not v.advisory)
    words = {
        Outcome.PASS: "every required gate passed",
        Outcome.FAIL: f"failed by {gates}",
        Outcome.INCONCLUSIVE: f"not settled: {gates or 'no gate of the policy judges traffic'}",
        Outcome.ERROR: f"could not be judged by {gates}",
    }
    return last.outcome, f"After look {last.sequence}: {last.outcome}, {words[last.outcome]}."
