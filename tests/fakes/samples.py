"""Samples in memory: the plainest reading of the ports, recomputed from everything at each write.

Only the order in which evidence was completed is kept; everything else follows from the predictions and labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from controller.errors import UsageError
from controller.ports import Label, LabelRequest, Prediction, SampleCursor, SampleEvidence
from gates.evidence import Answer, LabelCounts, LabelledPair


class _Couple(NamedTuple):
    live: Prediction
    shadow: Prediction


@dataclass(frozen=True, slots=True)
class _LabelledAnswer:
    prediction: Prediction
    truth: Label


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
        return SampleCursor(len(self._pairs), len(self._labelled_pairs), len(self._labelled_answers))

    def since(self, model: str, stable: str, candidate: str, cursor: SampleCursor) -> SampleEvidence:
        def wanted(pair: _Couple) -> bool:
            return (pair.live.model, pair.live.version, pair.shadow.version) == (model, stable, candidate)

        pairs = [pair for pair in self._pairs[cursor.pair :] if wanted(pair)]
        agreed = sum(pair.live.label == pair.shadow.label for pair in pairs)
        return SampleEvidence(
            pairs=tuple(
                _labelled(pair, truth) for pair, truth in self._labelled_pairs[cursor.labelled_pair :] if wanted(pair)
            ),
            pairs_agreed=agreed,
            pairs_disagreed=len(pairs) - agreed,
            stable_labels=self._label_counts(model, stable, cursor),
            candidate_labels=self._label_counts(model, candidate, cursor),
            cursor=self.latest(),
        )

    def label_requests(self, model: str, *, limit: int) -> Sequence[LabelRequest]:
        of_model = [pair for pair in self._pairs if pair.live.model == model]
        if not of_model:
            return ()
        newest = of_model[-1]
        versions = (newest.live.version, newest.shadow.version)
        unlabelled = [
            pair
            for pair in of_model
            if (pair.live.version, pair.shadow.version) == versions and pair.live.request_id not in self._truths
        ]
        disagreed = [pair for pair in reversed(unlabelled) if pair.live.label != pair.shadow.label]
        agreed = [pair for pair in unlabelled if pair.live.label == pair.shadow.label]
        ordered = [*disagreed, *sorted(agreed, key=lambda pair: pair.live.text_digest)]
        return tuple(_request(pair) for pair in ordered[:limit])

    def _label_counts(self, model: str, version: str, cursor: SampleCursor) -> LabelCounts:
        answers = [
            answer
            for answer in self._labelled_answers[cursor.labelled_answer :]
            if (answer.prediction.model, answer.prediction.version) == (model, version) and not answer.truth.directed
        ]
        return LabelCounts(
            labelled=len(answers), wrong=sum(answer.prediction.label != answer.truth.label for answer in answers)
        )

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

    def _with_traffic(self, traffic: str) -> list[Prediction]:
        return [prediction for prediction in self._predictions.values() if prediction.traffic == traffic]

    def _pair(self, pair: _Couple) -> None:
        live, shadow = pair
        same = (live.request_id, live.model, live.text_digest) == (shadow.request_id, shadow.model, shadow.text_digest)
        if not same or live.version == shadow.version:
            return
        texts = {(one.live.model, one.live.version, one.shadow.version, one.live.text_digest) for one in self._pairs}
        if (live.model, live.version, shadow.version, live.text_digest) not in texts:
            self._pairs.append(pair)


def _labelled(pair: _Couple, truth: Label) -> LabelledPair:
    return LabelledPair(
        truth=truth.label,
        stable=_answer(pair.live, truth.label),
        candidate=_answer(pair.shadow, truth.label),
        inclusion_probability=min(one.inclusion_probability for one in pair),
        directed=truth.directed,
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
