"""Releases, verdicts and facts to test the pure core with."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from controller.core.commands import Ask, Command, Freeze
from controller.core.decide import after_events, decide
from controller.core.events import Event, Started, fold
from controller.core.facts import Fact, LookTaken, SuitesRun
from controller.core.judging import judge
from controller.core.policy import ReleasePolicy, Step
from controller.core.release import Cursors, Phase, Purpose, Release, Version
from gates.evidence import ArmCounts, Look
from gates.outcome import Outcome
from gates.policy import GatePolicy
from gates.suite_evidence import SuiteAnswers, SuiteEvidence, SuiteFile
from gates.verdict import Stage, Verdict, Window

NOW_S = 1_800_000_000.0
STABLE = Version("6", "m-6")
CANDIDATE = Version("7", "m-7")
NEWER = "8"
FREEZE = Freeze("intent", "incident 42", "ana", NOW_S)
ERRORS_ONLY = GatePolicy(
    accuracy_shadow=None,
    accuracy_slices=None,
    accuracy_live=None,
    calibration_shadow=None,
    errors_shadow=None,
    latency=None,
)
POLICY = ReleasePolicy(
    model="intent",
    suites=("suite.jsonl",),
    steps=(Step(5.0, min_s=60, min_requests=100), Step(50.0, min_s=60, min_requests=100)),
    look_every_s=10.0,
    start_timeout_s=300.0,
    warm_up_s=0.0,
    deadline_s=3_600.0,
    probation_s=7_200.0,
    gates=ERRORS_ONLY,
)
PASSED = (
    (("preflight.package", Stage.PREFLIGHT), Outcome.PASS),
    (("accuracy.suite", Stage.SUITE), Outcome.PASS),
    (("accuracy.shadow", Stage.SHADOW), Outcome.PASS),
    (("errors.live", Stage.LIVE), Outcome.PASS),
)


def verdict(
    gate: str = "accuracy.shadow",
    outcome: Outcome = Outcome.PASS,
    stage: Stage = Stage.SHADOW,
    *,
    advisory: bool = False,
    freezes: bool = False,
) -> Verdict:
    return Verdict(gate, stage, outcome, f"{gate} says {outcome}", advisory=advisory, freezes=freezes)


def passes() -> dict[str, Verdict]:
    """A pass of one gate at each stage."""
    return {gate: verdict(gate, outcome, stage) for (gate, stage), outcome in PASSED}


def started(
    *, stable: Version | None = STABLE, purpose: Purpose = Purpose.PROMOTE, policy: ReleasePolicy = POLICY
) -> Started:
    return Started("intent-v7-1", "intent", purpose, CANDIDATE, stable, None, policy, "ana", "Try version 7.")


def release_in(
    phase: Phase = Phase.PENDING,
    *,
    stable: Version | None = STABLE,
    purpose: Purpose = Purpose.PROMOTE,
    policy: ReleasePolicy = POLICY,
    **changes: object,
) -> Release:
    """A release as it stands in the phase after everything before it passed; ``changes`` are its fields."""
    release = fold(None, [started(stable=stable, purpose=purpose, policy=policy)], NOW_S)
    fields: dict[str, object] = {"phase": phase, "deadline_at_s": NOW_S + 3_600, "verdicts": passes()} | changes
    return replace(release, **fields)  # type: ignore[arg-type]


def command(ask: Ask, *, version: str | None = None, by: str = "ana", reason: str = "I say so") -> Command:
    return Command(f"{ask}-{version}-{by}", ask, "intent", version, reason, by, NOW_S)


def after(release: Release, *facts: Fact, at_s: float = NOW_S + 100) -> Release:
    """The release after one decision on the facts."""
    return after_events(release, decide(release, facts, at_s), facts, at_s)


def course(release: Release | None) -> Release | None:
    """What events alone tell of the release: without what its snapshot adds, such as the numbers of verdicts."""
    if release is None:
        return None
    answers = {
        gate: replace(one, reason="any", value=None, unit="", interval=None, threshold=None, samples=0,
                      samples_needed=None, window=None, limits=())
        for gate, one in release.verdicts.items()
    }  # fmt: skip
    return replace(release, verdicts=answers, gate_state=None, cursors=Cursors())


def taken(release: Release, look: Look, cursors: Cursors | None = None) -> LookTaken:
    """The fact that the release was looked at, judged as the loop judges it."""
    return LookTaken(look, cursors or Cursors(), judge(release, look))


def look(sequence: int = 1, *, requests: int = 100, errors: int = 0, at_s: float = NOW_S) -> Look:
    """A look of ten seconds in which both versions served ``requests``, the candidate with ``errors``."""
    return Look(
        sequence=sequence,
        window=Window(at_s - 10, at_s),
        candidate_share=0.5,
        stable=ArmCounts(requests, 0, (requests,)),
        candidate=ArmCounts(requests, errors, (requests - errors,)),
    )


SUITES = SuiteEvidence(
    files=(SuiteFile("suite.jsonl", "ab" * 32, 2),),
    classes=("refund", "track"),
    case_ids=("c1", "c2"),
    truths=(0, 1),
    candidate=SuiteAnswers((0, 1), (0, 0), ((9_000_000, 1_000_000), (7_500_000, 2_500_000))),
    stable=SuiteAnswers((1, 0), (0, 1), ((1_000_000, 9_000_000), (6_000_000, None))),
    slice_names=("short",),
    slices=((0,), ()),
    inclusion_probabilities=(1 / 3, 1.0),
)


def suites_run(*verdicts: Verdict) -> SuitesRun:
    """The fact that suites were run, whatever their verdicts were formed from."""
    return SuitesRun(verdicts, SUITES)


def of_kind(events: Iterable[Event], kind: type) -> Sequence[Event]:
    return [event for event in events if isinstance(event, kind)]
