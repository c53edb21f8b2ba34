"""Whole releases as journals, made by the real decision on seeded traffic in which one thing at a time is wrong."""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from controller.core.actions import look_is_due
from controller.core.commands import Ask, Command
from controller.core.condition import Condition
from controller.core.decide import after_events, decide
from controller.core.events import Event, Started, evolve
from controller.core.facts import AliasAt, Asked, Fact, Probed, Routed, Serving, SuitesRun
from controller.core.policy import ReleasePolicy, Step
from controller.core.release import OBSERVED, Cursors, Phase, Purpose, Release, Version
from controller.journal import chain
from controller.journal.codec import entry_of, record_of
from controller.ports.journal import Entry, RecordedEntry, ReleaseRecord
from gates.evidence import Answer, ArmCounts, Fault, LabelCounts, LabelledPair, Look
from gates.offline.suite import SuiteResult
from gates.offline.suite_replay import as_evidence, judge_suite_evidence
from gates.outcome import Outcome
from gates.policy import GatePolicy, LatencyPolicy
from gates.suite_evidence import SuiteEvidence, SuiteFile
from gates.verdict import Stage, Verdict, Window
from serving.contract import latency_edges_ms
from tests.controller.releases import taken

START_S = 1_795_000_000.0
EDGES_MS = latency_edges_ms((200.0, 500.0))
CLASSES = ("refund", "delivery", "login", "invoice")
STABLE = Version("6", "m-" + "6" * 32, "60ae4c1f" * 8)
CANDIDATE = Version("7", "m-" + "7" * 32, "7d01b2e9" * 8)
POLICY = ReleasePolicy(
    model="intent",
    suites=("suites/intents/suite.jsonl",),
    steps=(Step(5.0, 60, 100), Step(25.0, 60, 100), Step(50.0, 60, 100)),
    warm_up_s=0.0,
    deadline_s=3_600.0,
    probation_s=86_400.0,
    gates=replace(GatePolicy(), latency=LatencyPolicy(stable_requests_min=300)),
)


@dataclass(frozen=True)
class Scene:
    """What the candidate is like beside the stable version, and what happens to its release."""

    requests_per_s: float = 60.0
    label_share: float = 0.25
    accuracy: float = 0.94
    worse: float = 0.02  # share of answers that only stable gets right
    better: float = 0.025
    overconfidence: float = 0.0  # moves confidence this share of the way to 1
    slow: float = 1.0
    error: float = 0.0002
    seed: int = 7
    faulty_looks: range = range(0)
    abort_at_s: float | None = None
    stop_after_s: float = 200_000.0
    policy: ReleasePolicy = POLICY


@dataclass
class Journal:
    """A release and its entries, as the real journal keeps them."""

    release: Release | None = None
    entries: list[RecordedEntry] = field(default_factory=list)

    def write(self, events: Sequence[Event], at_s: float, facts: Sequence[Fact] = ()) -> None:
        before = self.release if self.release is not None else evolve(None, events[0], at_s)
        self.release = after_events(before, events if self.release is not None else events[1:], facts, at_s)
        self.append([entry_of(event, at_s) for event in events])

    def append(self, entries: Sequence[Entry]) -> None:
        head = self.entries[-1].hash if self.entries else chain.GENESIS_HASH
        after = len(self.entries)
        self.entries += chain.extend(
            "release:intent-v7-1", position=after, after=after, head_hash=head, entries=entries
        )

    @property
    def record(self) -> ReleaseRecord:
        assert self.release is not None
        return record_of(self.release, len(self.entries))


def started(**changes: object) -> Started:
    event = Started(
        id="intent-v7-1",
        model="intent",
        purpose=Purpose.PROMOTE,
        candidate=replace(CANDIDATE, fingerprint=""),
        stable=STABLE,
        fallback=None,
        policy=POLICY,
        by="ana",
        reason="The alias candidate was set on version 7.",
    )
    return replace(event, **changes)  # type: ignore[arg-type]


def play(scene: Scene) -> Journal:
    """The release of this scene, decided step by step until it settles or time is up."""
    rng = np.random.default_rng(scene.seed)
    journal = Journal()
    journal.write([started(policy=scene.policy)], START_S)
    at_s = START_S
    while (release := journal.release) is not None and release.active and at_s < START_S + scene.stop_after_s:
        slow = release.phase is Phase.PROBATION and at_s > release.phase_since_s + 600
        at_s += 3_600.0 if slow else 2.0
        facts = tuple(_facts(scene, release, at_s, rng))
        events = decide(release, facts, at_s)
        if events:
            journal.write(events, at_s, facts)
    return journal


def _facts(scene: Scene, release: Release, at_s: float, rng: np.random.Generator) -> Iterator[Fact]:
    if scene.abort_at_s is not None and START_S + scene.abort_at_s <= at_s < START_S + scene.abort_at_s + 2:
        yield Asked(Command("c1", Ask.ABORT, "intent", None, "Complaints from support.", "Bo", at_s))
    ready = at_s > START_S + 9
    condition = Condition.READY if ready else Condition.STARTING
    yield from (Serving("6", condition), Serving("7", condition))
    if release.phase is Phase.PREFLIGHT and ready:
        yield Probed(CANDIDATE, preflight_verdicts())
    if release.phase is Phase.SUITE and at_s > release.phase_since_s + 12:
        yield SuitesRun(judge_suite_evidence(suites(), scene.policy.gates), suites())
    if release.phase in (Phase.SHADOW, Phase.CANARY, Phase.PROMOTING, Phase.PROBATION, Phase.ROLLING_BACK):
        yield Routed(weights(release), release.looks + 1)
    if release.phase is Phase.PROMOTING:
        yield AliasAt("7")
    if release.phase in OBSERVED and release.routed and look_is_due(release, at_s):
        share = weights(release).get("7", 0.0) / 100
        since_s = release.looked_at_s or release.phase_since_s
        yield taken(release, look(scene, release.looks + 1, since_s, at_s, share, rng), Cursors({}, at_s))


def weights(release: Release) -> dict[str, float]:
    if release.phase is Phase.CANARY:
        pct = release.canary_step.weight_pct
        return {"6": 100 - pct, "7": pct}
    return {"7": 100.0} if release.phase in (Phase.PROMOTING, Phase.PROBATION) else {"6": 100.0}


def preflight_verdicts() -> tuple[Verdict, ...]:
    return (
        Verdict("preflight.package", Stage.PREFLIGHT, Outcome.PASS, "All 5 files match the manifest.", samples=5),
        Verdict("preflight.tokens", Stage.PREFLIGHT, Outcome.PASS, "20 golden texts agree.", samples=20),
    )


@functools.cache
def suites() -> SuiteEvidence:
    """What both versions answered to a suite of 2,000 cases: about 94 % right, as sure as they are right."""
    rng = np.random.default_rng(11)
    sure = np.round(1 - 0.75 * rng.beta(0.55, 8.6, 2_000), 7)
    lucky = rng.random((2_000, 2)) < sure[:, None]
    files = [SuiteFile("suite.jsonl", "5a1e" * 16, 2_000)]
    both = (
        [_suite_answer(n, float(p), bool(r)) for n, (p, r) in enumerate(zip(sure, right, strict=True))]
        for right in lucky.T
    )
    return as_evidence(files, *both)


def _suite_answer(number: int, sure: float, right: bool) -> SuiteResult:
    truth, other = CLASSES[number % 4], CLASSES[(number + 1) % 4]
    label = truth if right else other
    rest = round((1 - sure) / 3, 7)
    probabilities = tuple(sure if name == label else rest for name in CLASSES)
    return SuiteResult(f"case-{number}", truth, label, sure, probabilities, CLASSES, ("short",) if number % 3 else ())


# --- evidence ---------------------------------------------------------------------------------------------------------
def look(scene: Scene, sequence: int, since_s: float, at_s: float, share: float, rng: np.random.Generator) -> Look:
    window = Window(since_s, at_s)
    if sequence in scene.faulty_looks:
        fault = Fault("metrics", "http://127.0.0.1:9090 did not answer within 2 s")
        return Look(sequence, window, share, faults=(fault,))
    requests = int(rng.poisson(scene.requests_per_s * min(window.length_s, 30.0)))
    live = int(rng.binomial(requests, share))
    mirrored = requests - live if share < 1 else 0
    labelled = int(rng.binomial(mirrored, scene.label_share))
    return Look(
        sequence=sequence,
        window=window,
        candidate_share=share,
        latency_edges_ms=EDGES_MS,
        stable=_arm(rng, requests - live, 0.0002, 1.0),
        candidate=_arm(rng, live, scene.error, scene.slow) if share else None,
        shadow=_arm(rng, mirrored, scene.error, scene.slow),
        pairs=_pairs(scene, rng, labelled),
        pairs_agreed=int(mirrored * 0.95),
        pairs_disagreed=mirrored - int(mirrored * 0.95),
        stable_labels=_labels(rng, requests - live, 1 - scene.accuracy, scene.label_share),
        candidate_labels=_labels(rng, live, 1 - scene.accuracy + scene.worse - scene.better, scene.label_share),
    )


def _labels(rng: np.random.Generator, answers: int, wrong: float, share: float) -> LabelCounts:
    labelled = int(rng.binomial(answers, share))
    return LabelCounts(labelled, int(rng.binomial(labelled, wrong)))


def _arm(rng: np.random.Generator, requests: int, error: float, slow: float) -> ArmCounts:
    errors = int(rng.binomial(requests, error))
    taken = slow * rng.lognormal(np.log(14), 0.42, requests - errors)
    places = np.bincount(np.searchsorted(EDGES_MS, taken), minlength=len(EDGES_MS) + 1)
    return ArmCounts(requests, errors, tuple(int(count) for count in places))


def _pairs(scene: Scene, rng: np.random.Generator, count: int) -> tuple[LabelledPair, ...]:
    """Confidence is right on average for the stable version: its chance of being right is what it says."""
    sure = 1 - 0.75 * rng.beta(0.55, 8.6, count)
    chance = rng.random((count, 3))
    found = []
    for confidence, (right, only, _) in zip(sure, chance, strict=True):
        stable_right = bool(right < confidence)
        candidate_right = (
            bool(only >= scene.worse) if stable_right else bool(only < scene.better / (1 - scene.accuracy))
        )
        claimed = float(confidence + scene.overconfidence * (1 - confidence))
        found.append(
            LabelledPair(
                "refund",
                _answer("refund" if stable_right else "login", float(confidence)),
                _answer("refund" if candidate_right else "invoice", claimed),
            )
        )
    return tuple(found)


def _answer(label: str, confidence: float) -> Answer:
    miss = 1 - confidence if label == "refund" else 1.0
    return Answer(label, confidence, miss**2 + (0.0 if label == "refund" else confidence**2))


PROMOTED = Scene()
LESS_ACCURATE = Scene(worse=0.05, better=0.01)
OVERCONFIDENT = Scene(overconfidence=0.85)
SLOW = Scene(slow=1.9)
WITHOUT_METRICS = Scene(
    faulty_looks=range(6, 400), stop_after_s=1_000, policy=dataclasses.replace(POLICY, deadline_s=600.0)
)
