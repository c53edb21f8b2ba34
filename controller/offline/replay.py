"""Recorded evidence, judged again by the same gates: suites first, then look by look. Nothing else has to run."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller.core.policy import ReleasePolicy
from controller.errors import UsageError
from controller.offline.evidence_file import Evidence, RecordedLook, RecordedSuites
from controller.offline.strict_json import compact_json
from controller.report.words import listed, utc
from gates.codec import encode
from gates.gate_set import RULES, GateSet
from gates.offline.suite import GATES, unusable
from gates.offline.suite_replay import judge_suite_evidence
from gates.outcome import Outcome, combine
from gates.suite_evidence import SuiteFile
from gates.verdict import Stage, Verdict, Window
from serving.text.printable import printable, shown

SCHEMA: Final = "serin.judgement/v1"
_GAPS_TOLD: Final = 5
SUITES_SCHEMA: Final = "serin.judgement.suites/v1"
_CALENDAR_ENDS_S: Final = 253_402_300_800.0  # end of the year 9999; evidence need not count from 1970


@dataclass(frozen=True, slots=True)
class Judgement:
    """The judgement of all gates at one look. ``outcome`` combines the verdicts that are not advisory, as a release
    does."""

    release: str
    sequence: int
    window: Window
    candidate_share: float
    outcome: Outcome
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class SuitesJudgement:
    """The judgement of one run of the suites. ``run`` is 0 if the policy names suites and the evidence has no run."""

    release: str
    run: int
    at_s: float | None
    files: tuple[SuiteFile, ...]
    beside_stable: bool | None
    outcome: Outcome
    verdicts: tuple[Verdict, ...]


def only_release(evidence: Evidence) -> None:
    """Check the evidence. Raises UsageError if it is of more than one release."""
    if len(evidence.releases) > 1:
        names = listed(shown(release) if release else "a release without a name" for release in evidence.releases)
        raise UsageError(f"the evidence is of {len(evidence.releases)} releases, {names}: judge one at a time")


# --- suites -----------------------------------------------------------------------------------------------------------
def judge_suites(policy: ReleasePolicy, evidence: Evidence) -> Iterator[SuitesJudgement]:
    """Yield the judgement of each run of the suites, as in the release; the last one counts.

    If the policy names suites, and the evidence has only looks, or answers to other files, the outcome is
    inconclusive, never a pass.

    Raises:
        UsageError: the evidence is of more than one release.
    """
    only_release(evidence)
    if not evidence.suites and evidence.looks and policy.suites:
        yield _not_recorded(policy, evidence.releases[0])
    last_run = 0
    for recorded in evidence.suites:
        yield _suites_judged(policy, recorded, last_run)
        last_run = max(last_run, recorded.run)


def _suites_judged(policy: ReleasePolicy, recorded: RecordedSuites, last_run: int) -> SuitesJudgement:
    suites = recorded.suites
    asked, answered = sorted(_names(policy)), sorted(file.name for file in suites.files)
    if (problem := _out_of_order(recorded.run, last_run)) is not None:
        verdicts = unusable(f"run: {problem}", samples=len(suites.case_ids))
    elif asked != answered:
        names = listed(map(shown, answered))
        verdicts = _open(f"These are answers to {names}, and the policy names {listed(asked) or 'no suites'}.")
    else:
        verdicts = judge_suite_evidence(suites, policy.gates)
    outcome = combine(verdict.outcome for verdict in verdicts)
    beside_stable = suites.stable is not None
    return SuitesJudgement(
        recorded.release, recorded.run, recorded.at_s, suites.files, beside_stable, outcome, verdicts
    )


def _out_of_order(run: int, last_run: int) -> str | None:
    if run < 1:
        return f"{run} is not a whole number from 1"
    if run == last_run:
        return f"run {run} was judged already"
    return f"run {run} comes after run {last_run}" if run < last_run else None


def _not_recorded(policy: ReleasePolicy, release: str) -> SuitesJudgement:
    reason = (
        f"This evidence holds no answers to the suites that the policy names ({listed(_names(policy))}): "
        "it was cut, or an older Serin recorded it."
    )
    return SuitesJudgement(release, 0, None, (), None, Outcome.INCONCLUSIVE, _open(reason))


def _names(policy: ReleasePolicy) -> list[str]:
    """Return the names of the policy's suite files without their folders, as in evidence."""
    return [Path(name).name for name in policy.suites]


def _open(reason: str) -> tuple[Verdict, ...]:
    return tuple(Verdict(gate, Stage.SUITE, Outcome.INCONCLUSIVE, reason) for gate in GATES)


# --- looks ------------------------------------------------------------------------------------------------------------
def judge(
    policy: ReleasePolicy, looks: Sequence[RecordedLook], *, deadline_s: float | None = None
) -> Iterator[Judgement]:
    """Return the judgements of one release's looks in order, as when they were taken.

    The gates' deadline is ``deadline_s`` seconds after the start of the first window if given, else the recorded one,
    else the policy's.

    Raises:
        UsageError: the looks are of more than one release.
    """
    only_release(Evidence(tuple(looks)))
    return _judged(policy, looks, deadline_s)


def _judged(policy: ReleasePolicy, looks: Sequence[RecordedLook], deadline_s: float | None) -> Iterator[Judgement]:
    if not looks:
        return
    gate_set = GateSet(policy.gates)
    state = gate_set.start(deadline_s=deadline_of(policy, looks[0], deadline_s))
    for recorded in looks:
        look = recorded.look
        state, verdicts = gate_set.look(state, look)
        outcome = combine(verdict.outcome for verdict in verdicts if not verdict.advisory)
        yield Judgement(recorded.release, look.sequence, look.window, look.candidate_share, outcome, verdicts)


def deadline_of(policy: ReleasePolicy, first: RecordedLook, asked_s: float | None) -> float:
    """Return the unix time of the gates' deadline. ``first``: the first look. ``asked_s``: seconds from the start of
    its window; None: the recorded deadline, else the policy's."""
    if asked_s is None and first.deadline_s is not None:
        return first.deadline_s
    return first.look.window.start_s + (policy.deadline_s if asked_s is None else asked_s)


def missing_looks(looks: Iterable[RecordedLook]) -> list[range]:
    """Return the numbers of the looks, before the last one, that are missing from this evidence."""
    missing, last = [], 0
    for recorded in looks:
        first = recorded.look.sequence - recorded.looks + 1
        if first > last + 1:
            missing.append(range(last + 1, first))
        last = max(last, recorded.look.sequence)
    return missing


# --- told -------------------------------------------------------------------------------------------------------------
def as_json(judgement: Judgement | SuitesJudgement) -> str:
    """Return the judgement as one line of JSON, with the number of the rules (`gates.gate_set.RULES`)."""
    schema = SCHEMA if isinstance(judgement, Judgement) else SUITES_SCHEMA
    return compact_json({"schema": schema, "rules": RULES} | encode(judgement))


def as_text(judgement: Judgement | SuitesJudgement) -> str:
    """Return the judgement as text: a heading, and a line for each verdict."""
    return "\n".join([_head(judgement), *map(_line, judgement.verdicts)])


def _head(judgement: Judgement | SuitesJudgement) -> str:
    if isinstance(judgement, Judgement):
        share = f"{100 * judgement.candidate_share:g} %" if judgement.candidate_share else "shadow"
        return f"look {judgement.sequence}  {_time(judgement.window.end_s)}  {share}  {judgement.outcome}"
    if not judgement.run:
        return f"suites  not recorded  {judgement.outcome}"
    at = _time(judgement.at_s) if judgement.at_s is not None else "at a time not recorded"
    files = listed(f"{shown(f.name)} ({f.cases:,} cases, {shown(f.sha256)[:12]})" for f in judgement.files)
    beside = "  beside stable" if judgement.beside_stable else ""
    return f"suites  {at}  {files}{beside}  {judgement.outcome}"


def _time(at_s: float) -> str:
    return utc(at_s) if 0 <= at_s < _CALENDAR_ENDS_S else f"{at_s:g} s"


def _line(verdict: Verdict) -> str:
    outcome = f"({verdict.outcome})" if verdict.advisory else f"{verdict.outcome}"
    return printable(f"  {outcome:<15} {verdict.gate}: {verdict.reason}")


def conclusion(
    suites: SuitesJudgement | None, last: Judgement | None, missing: Sequence[range] = ()
) -> tuple[Outcome, str]:
    """Return the outcome after the last run of the suites and the last look, with a sentence that names the gates
    behind it.

    The gate set keeps failures. Suites alone are enough for a first version; a version that was compared with stable
    needs looks too. If looks are ``missing``, the outcome is never a pass: they may have shown harm.
    """
    outcome, sentence = _concluded(suites, last)
    if not missing:
        return outcome, sentence
    names = listed(f"{part[0]} to {part[-1]}" if len(part) > 1 else f"{part[0]}" for part in missing)
    numbers = names if len(missing) <= _GAPS_TOLD else f"{missing[0][0]} and others up to {missing[-1][-1]}"
    verdict = Outcome.INCONCLUSIVE if outcome is Outcome.PASS else outcome
    return verdict, f"{sentence} Looks are missing from this evidence: {numbers}."


def _concluded(suites: SuitesJudgement | None, last: Judgement | None) -> tuple[Outcome, str]:
    judged: list[SuitesJudgement | Judgement] = [found for found in (suites, last) if found is not None]
    if not judged:
        return Outcome.INCONCLUSIVE, "No look: nothing was judged."
    outcome = combine(found.outcome for found in judged)
    if last is None and suites is not None and suites.beside_stable and outcome is Outcome.PASS:
        return (
            Outcome.INCONCLUSIVE,
            "After the suites: inconclusive, they passed, and no look at traffic is recorded.",
        )
    gates = listed(v.gate for found in judged for v in found.verdicts if v.outcome is outcome and not v.advisory)
    words = {
        Outcome.PASS: "every required gate passed",
        Outcome.FAIL: f"failed by {gates}",
        Outcome.INCONCLUSIVE: f"not settled: {gates or 'no gate of the policy judges traffic'}",
        Outcome.ERROR: f"could not be judged by {gates}",
    }
    when = "the suites" if last is None else f"look {last.sequence}"
    return outcome, f"After {when}: {outcome}, {words[outcome]}."
