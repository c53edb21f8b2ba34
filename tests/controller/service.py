"""A text classification service with users, in memory: its traffic follows the table, its evidence stands at the ports.

Seeded, so that a story is the same each time; how a version behaves is data.
"""

import bisect
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from controller.core.traffic import HUNDRED_PCT, TrafficTable
from controller.errors import TransientError
from controller.ports.clock import Clock
from controller.ports.runtime import Deployments
from controller.ports.samples import CONFIDENCE_BINS, AnswerCounts, SampleCursor, SampleEvidence
from controller.ports.traffic import Traffic
from gates.evidence import Answer, LabelCounts, LabelledPair, SlicePairs
from gates.online.slices import Attributes
from serving.contract import Traffic as TrafficKind
from tests.fakes.metrics import FakeMetrics

MODEL = "intent"
TOKENS = 14  # of every text
CLASSES = ("cancel", "refund", "track")


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a version answers. ``overconfidence`` is what its mean confidence lies above its accuracy."""

    accuracy: float = 0.90
    overconfidence: float = 0.0
    latency_ms: float = 30.0  # median
    error_ratio: float = 0.0


GOOD = Behaviour()
LESS_ACCURATE = Behaviour(accuracy=0.84)
OVERCONFIDENT = Behaviour(overconfidence=0.09)
SLOW = Behaviour(latency_ms=60.0)
ERRORING = Behaviour(error_ratio=0.05)


@dataclass(slots=True)
class StreamedSamples:
    """Implements ``Samples``: evidence in the order in which it was completed. ``away``: why it cannot be read."""

    away: str | None = None
    pairs: list[tuple[str, str, bool]] = field(default_factory=list)  # live, shadow, whether they agreed
    labelled_pairs: list[tuple[str, str, LabelledPair]] = field(default_factory=list)
    labelled_answers: list[tuple[str, bool]] = field(default_factory=list)  # version, whether it was wrong
    answers: list[tuple[str, Answer]] = field(default_factory=list)  # version, to whom a user got it

    def latest(self) -> SampleCursor:
        self._check_reachable()
        evidence = (len(self.pairs), len(self.labelled_pairs), len(self.labelled_answers))
        return SampleCursor(*evidence, prediction=len(self.answers))

    def last_answers(self, model: str, version: str) -> Sequence[Attributes]:  # noqa: ARG002 - none tells of itself
        self._check_reachable()
        return ()

    def since(
        self,
        model: str,
        stable: str,
        candidate: str,
        cursor: SampleCursor,
        *,
        slices: Sequence[str] = (),
        **_: object,  # everything here is labelled by classes, in time
    ) -> SampleEvidence:
        self._check_reachable()
        assert model == MODEL, "there is only this one"
        versions = (stable, candidate)
        agreed = [agree for *pair, agree in self.pairs[cursor.pair :] if tuple(pair) == versions]
        labelled = self.labelled_pairs[cursor.labelled_pair :]
        answers = self.labelled_answers[cursor.labelled_answer :]
        return SampleEvidence(
            pairs=tuple(pair for live, shadow, pair in labelled if (live, shadow) == versions),
            pairs_agreed=sum(agreed),
            pairs_disagreed=len(agreed) - sum(agreed),
            stable_labels=_counts([wrong for version, wrong in answers if version == stable]),
            candidate_labels=_counts([wrong for version, wrong in answers if version == candidate]),
            cursor=self.latest(),
            slice_pairs=tuple(SlicePairs(name, 0, 0) for name in slices),
            paired=len(agreed),
            stable_answers=self._answers(stable, cursor.prediction, None),
            candidate_answers=self._answers(candidate, cursor.prediction, None),
        )

    def reference(
        self, model: str, version: str, cursor: SampleCursor, *, since_s: float, token_edges: Sequence[int]
    ) -> Sequence[AnswerCounts]:
        """Of all time."""
        self._check_reachable()
        assert model == MODEL
        assert since_s
        found = self._answers(version, 0, cursor.prediction)
        lengths = [0] * (len(token_edges) + 1)
        lengths[bisect.bisect_left(token_edges, TOKENS)] = sum(found.confidence_counts)
        return (replace(found, token_counts=tuple(lengths)),) if found.classes else ()

    def _answers(self, version: str, start: int, end: int | None) -> AnswerCounts:
        answers = [answer for whose, answer in self.answers[start:end] if whose == version]
        bins = [min(int(answer.confidence * CONFIDENCE_BINS), CONFIDENCE_BINS - 1) for answer in answers]
        return AnswerCounts(
            Counter(answer.label for answer in answers), tuple(bins.count(place) for place in range(CONFIDENCE_BINS))
        )

    def _check_reachable(self) -> None:
        if self.away is not None:
            raise TransientError("labels", self.away)


def _counts(wrong: Sequence[bool]) -> LabelCounts:
    return LabelCounts(len(wrong), sum(wrong))


@dataclass(frozen=True, slots=True)
class _Truth:
    """A label on its way: when it comes, and what it says."""

    at_s: float
    live: str
    live_wrong: bool
    pair: tuple[str, str, LabelledPair] | None


class Service:
    """Users send ``requests_per_s``. A share of ``captured`` answers is sampled, and a share of ``labelled`` of those
    gets its true label ``label_delay_s`` later."""

    def __init__(self, clock: Clock, traffic: Traffic, deployments: Deployments, *, seed: int) -> None:
        self.behaviours: dict[str, Behaviour] = {}
        self.metrics = FakeMetrics()
        self.samples = StreamedSamples()
        self.requests_per_s = 60
        self.captured = 0.2
        self.labelled = 0.25
        self.label_delay_s = 20.0
        self.answered: dict[str, int] = {}  # live requests, by version
        self.unanswered = 0
        self.dealt_by: TrafficTable | None = None  # what the gateway goes by, whatever it says
        self._clock = clock
        self._traffic = traffic
        self._deployments = deployments
        self._random = np.random.default_rng(seed)
        self._truths: deque[_Truth] = deque()

    def serve(self, seconds: float) -> None:
        """What users and the mirror do in the seconds to come."""
        table = self.dealt_by or self._traffic.read(MODEL)
        if table is None:
            return
        ready = {version for version, status in self._deployments.status(MODEL).items() if status.ready}
        requests = round(self.requests_per_s * seconds)
        difficulty = self._random.random(requests)
        start = 0
        for version, pct in table.weights_pct.items():
            share = difficulty[start : start + round(requests * pct / HUNDRED_PCT)]
            start += len(share)
            if version not in ready:
                self.unanswered += len(share)
                continue
            self._answer(version, TrafficKind.LIVE, len(share))
            self.answered[version] = self.answered.get(version, 0) + len(share)
            twin = table.copied_to(version)
            shadow = twin if twin in ready else None
            if shadow is not None and table.mirror is not None:
                self._answer(shadow, TrafficKind.SHADOW, round(len(share) * table.mirror.pct / HUNDRED_PCT))
            self._sample(version, shadow, share[: round(len(share) * self.captured)])
        self._label(self._clock.monotonic_s() + seconds)

    def _answer(self, version: str, kind: TrafficKind, requests: int) -> None:
        behaviour = self.behaviours[version]
        errors = int(self._random.binomial(requests, behaviour.error_ratio))
        latencies_ms = behaviour.latency_ms * self._random.lognormal(0.0, 0.3, requests - errors)
        self.metrics.serve(MODEL, version, traffic=kind, latencies_ms=latencies_ms.tolist(), codes={500: errors})
        self.metrics.read(MODEL, version, [TOKENS] * (requests - errors), traffic=kind)

    def _sample(self, live: str, shadow: str | None, difficulty: np.ndarray) -> None:
        """Both versions find the same texts hard, as real ones do."""
        known = self._random.random(len(difficulty)) < self.labelled
        now_s = self._clock.monotonic_s()
        for hard, labelled in zip(difficulty.tolist(), known.tolist(), strict=True):
            first = self._classify(live, hard)
            self.samples.answers.append((live, first))
            second = self._classify(shadow, hard) if shadow is not None else None
            if second is not None and shadow is not None:
                self.samples.pairs.append((live, shadow, first.label == second.label))
            if labelled:
                pair = (live, shadow, LabelledPair(CLASSES[0], first, second)) if second and shadow else None
                self._truths.append(_Truth(now_s + self.label_delay_s, live, first.label != CLASSES[0], pair))

    def _classify(self, version: str, hard: float) -> Answer:
        """The truth is always the first class: no gate looks at which class it is."""
        behaviour = self.behaviours[version]
        label = CLASSES[0] if hard + self._random.normal(0.0, 0.02) < behaviour.accuracy else CLASSES[1]
        confidence = min(0.999, behaviour.accuracy + behaviour.overconfidence)
        rest = (1 - confidence) / (len(CLASSES) - 1)
        probabilities = dict.fromkeys(CLASSES, rest) | {label: confidence}
        brier = sum((probabilities[name] - (name == CLASSES[0])) ** 2 for name in CLASSES)
        return Answer(label, confidence, brier)

    def _label(self, until_s: float) -> None:
        while self._truths and self._truths[0].at_s <= until_s:
            truth = self._truths.popleft()
            self.samples.labelled_answers.append((truth.live, truth.live_wrong))
            if truth.pair is not None:
                self.samples.labelled_pairs.append(truth.pair)
