"""Samples in memory: the plainest reading of the ports, recomputed from everything at each write. A pair's id is its
place in the list, from 1.

Only the order in which evidence was completed is kept; everything else follows from the predictions and labels.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from controller.errors import UsageError
from controller.ports import (
    CONFIDENCE_BINS,
    AnswerCounts,
    Label,
    LabelRequest,
    Prediction,
    SampleCursor,
    SampleEvidence,
)
from gates.evidence import Answer, LabelChance, LabelCounts, LabelledPair, SlicePairs, label_counts
from gates.online.slices import Attributes, membership


class _Couple(NamedTuple):
    live: Prediction
    shadow: Prediction

    @property
    def versions(self) -> set[str]:
        return {self.live.version, self.shadow.version}

    @property
    def agrees(self) -> bool:
        return self.live.label == self.shadow.label


@dataclass(frozen=True, slots=True)
class _LabelledAnswer:
    prediction: Prediction
    truth: Label

    @property
    def chance(self) -> float:
        return self.prediction.inclusion_probability * self.truth.inclusion_probability


class FakeSamples:
    """``controller.ports.Samples`` and ``SampleIntake``."""

    def __init__(self) -> None:
        self._predictions: dict[tuple[str, str, str, str], Prediction] = {}
        self._labels: dict[tuple[str, str], Label] = {}
        self._truths: dict[str, Label] = {}
        self._pairs: list[_Couple] = []
        self._labelled_pairs: list[tuple[_Couple, Label]] = []
        self._labelled_answers: list[_LabelledAnswer] = []

    def add_predictions(self, predictions: Sequence[Prediction]) -> int:
        before = len(self._predictions)
        for one in predictions:
            self._predictions.setdefault((one.request_id, one.model, one.traffic, one.version), one)
        self._complete()
        return len(self._predictions) - before

    def add_labels(self, labels: Sequence[Label]) -> int:
        merged = dict(self._labels)
        for label in labels:
            known = merged.setdefault((label.request_id, label.source), label)
            if known.label != label.label:
                raise UsageError(f"label of request {label.request_id}: {known.label!r} before, {label.label!r} now")
        new = len(merged) - len(self._labels)
        self._labels = merged
        for label in merged.values():
            self._truths.setdefault(label.request_id, label)
        self._complete()
        return new

    def latest(self) -> SampleCursor:
        newest = len(self._pairs)
        evidence = (newest, len(self._labelled_pairs), len(self._labelled_answers))
        return SampleCursor(*evidence, first_pair=newest, prediction=len(self._predictions))

    def since(
        self, model: str, stable: str, candidate: str, cursor: SampleCursor, *, slices: Sequence[str] = ()
    ) -> SampleEvidence:
        standing = self._standing(model, {stable, candidate}, cursor.first_pair)
        new = [pair for number, pair in standing.items() if number > cursor.pair]
        agreed = sum(pair.agrees for pair in new)
        return SampleEvidence(
            pairs=tuple(
                _labelled(pair, truth, stable, slices)
                for pair, truth in self._labelled_pairs[cursor.labelled_pair :]
                if pair in standing.values()
            ),
            pairs_agreed=agreed,
            pairs_disagreed=len(new) - agreed,
            stable_labels=self._label_counts(model, stable, cursor),
            candidate_labels=self._label_counts(model, candidate, cursor),
            cursor=replace(self.latest(), first_pair=cursor.first_pair),
            slice_pairs=tuple(_slice_pairs(name, new, stable) for name in slices),
            stable_answers=_answers(self._live_of(model, stable)[cursor.prediction :], ()),
            candidate_answers=_answers(self._live_of(model, candidate)[cursor.prediction :], ()),
        )

    def reference(
        self, model: str, version: str, cursor: SampleCursor, *, since_s: float, token_edges: Sequence[int]
    ) -> Sequence[AnswerCounts]:
        """One block."""
        before = [one for one in self._live_of(model, version)[: cursor.prediction] if one and one.at_s >= since_s]
        return (_answers(before, token_edges),) if before else ()

    def label_requests(
        self, model: str, stable: str, candidate: str, *, first_pair: int, limit: int
    ) -> Sequence[LabelRequest]:
        standing = self._standing(model, {stable, candidate}, first_pair).values()
        unlabelled = [pair for pair in standing if pair.live.request_id not in self._truths]
        disagreed = [pair for pair in reversed(unlabelled) if not pair.agrees]
        agreed = [pair for pair in unlabelled if pair.agrees]
        ordered = [*disagreed, *sorted(agreed, key=lambda pair: pair.live.text_digest)]
        return tuple(_request(pair) for pair in ordered[:limit])

    def _standing(self, model: str, versions: set[str], first_pair: int) -> dict[int, _Couple]:
        """The pairs of a release, by id: of those with the same text the first one."""
        first: dict[str, int] = {}
        for number, pair in enumerate(self._pairs[first_pair:], start=first_pair + 1):
            if pair.live.model == model and pair.versions == versions:
                first.setdefault(pair.live.text_digest, number)
        return {number: self._pairs[number - 1] for number in first.values()}

    def _label_counts(self, model: str, version: str, cursor: SampleCursor) -> LabelCounts:
        answers = [
            answer
            for answer in self._labelled_answers[cursor.labelled_answer :]
            if (answer.prediction.model, answer.prediction.version) == (model, version) and not answer.truth.directed
        ]
        wrong: dict[float, list[bool]] = {}
        for answer in answers:
            wrong.setdefault(answer.chance, []).append(answer.prediction.label != answer.truth.label)
        return label_counts(LabelChance(chance, len(of), sum(of)) for chance, of in sorted(wrong.items()))

    def _complete(self) -> None:
        for live in self._with_traffic("live"):
            for shadow in self._with_traffic("shadow"):
                self._pair(_Couple(live, shadow))
        for pair in self._pairs:
            truth = self._truths.get(pair.live.request_id)
            if truth and all(pair is not done for done, _ in self._labelled_pairs):
                self._labelled_pairs.append((pair, truth))
        for live in self._with_traffic("live"):
            truth = self._truths.get(live.request_id)
            if truth and all(live is not done.prediction for done in self._labelled_answers):
                self._labelled_answers.append(_LabelledAnswer(live, truth))

    def _live_of(self, model: str, version: str) -> list[Prediction | None]:
        """By id less one; None where the prediction is not of the version's answers to users."""
        wanted = (model, version, "live")
        return [one if (one.model, one.version, one.traffic) == wanted else None for one in self._predictions.values()]

    def _with_traffic(self, traffic: str) -> list[Prediction]:
        return [prediction for prediction in self._predictions.values() if prediction.traffic == traffic]

    def _pair(self, pair: _Couple) -> None:
        live, shadow = pair
        same = (live.request_id, live.model, live.text_digest) == (shadow.request_id, shadow.model, shadow.text_digest)
        if same and live.version != shadow.version and pair not in self._pairs:
            self._pairs.append(pair)


def _belongs(pair: _Couple, stable: str, name: str) -> bool:
    (answer,) = (one for one in pair if one.version == stable)
    return membership(name)(Attributes(answer.label, answer.tokens, pair.live.tags))


def _slice_pairs(name: str, pairs: Sequence[_Couple], stable: str) -> SlicePairs:
    agreements = [pair.agrees for pair in pairs if _belongs(pair, stable, name)]
    return SlicePairs(name, sum(agreements), len(agreements) - sum(agreements))


def _answers(predictions: Sequence[Prediction | None], token_edges: Sequence[int]) -> AnswerCounts:
    found = [one for one in predictions if one is not None]
    bins = [min(int(one.confidence * CONFIDENCE_BINS), CONFIDENCE_BINS - 1) for one in found]
    lengths = [sum(edge < one.tokens for edge in token_edges) for one in found if one.tokens is not None]
    return AnswerCounts(
        classes=Counter(one.label for one in found),
        confidence_counts=tuple(bins.count(place) for place in range(CONFIDENCE_BINS)),
        token_counts=tuple(lengths.count(place) for place in range(len(token_edges) + 1)) if token_edges else (),
    )


def _labelled(pair: _Couple, truth: Label, stable: str, slices: Sequence[str]) -> LabelledPair:
    by_version = {one.version: _answer(one, truth.label) for one in pair}
    answer_of_stable = by_version.pop(stable)
    (answer_of_candidate,) = by_version.values()
    return LabelledPair(
        truth=truth.label,
        stable=answer_of_stable,
        candidate=answer_of_candidate,
        inclusion_probability=min(one.inclusion_probability for one in pair) * truth.inclusion_probability,
        directed=truth.directed,
        slices=tuple(name for name in slices if _belongs(pair, stable, name)),
    )


def _answer(prediction: Prediction, truth: str) -> Answer:
    unlikely = {truth: 0.0} | dict(prediction.probabilities)
    squares = [(probability - float(name == truth)) ** 2 for name, probability in unlikely.items()]
    return Answer(prediction.label, prediction.confidence, min(2.0, sum(squares)))


def _request(pair: _Couple) -> LabelRequest:
    live, shadow = pair
    return LabelRequest(
        request_id=live.request_id,
        model=live.model,
        answers={live.version: live.label, shadow.version: shadow.label},
        disagree=live.label != shadow.label,
        text=live.text if live.text is not None else shadow.text,
    )
