"""Samples in memory: the plainest reading of the ports, recomputed from everything at each write. A pair's id is its
place in the list, from 1.

Only the order in which evidence was completed is kept; everything else follows from the predictions and labels.
"""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import NamedTuple

from controller.core.labels import NAMES_TOLD, LabelNames, LabelsTaken, RefusedLabel, UnknownName
from controller.core.sampling import Labelled
from controller.ports.samples import (
    ARRIVALS_MAX,
    ARRIVALS_MIN,
    BY_CHANCE_BELOW,
    CONFIDENCE_BINS,
    LAST_ANSWERS_MAX,
    SOURCES_MAX,
    AnswerCounts,
    Label,
    LabelRequest,
    PairCounts,
    Prediction,
    SampleCursor,
    SampleEvidence,
    by_turns,
)
from controller.ports.standing import ANSWERS_MAX, Answered, chosen
from gates.evidence import (
    PAIR_CONFIDENCE_EDGES,
    Answer,
    LabelChance,
    LabelCounts,
    LabelledPair,
    LabelSource,
    LeastLikely,
    NameCount,
    SlicePairs,
    UnseenSlice,
    label_counts,
)
from gates.online.label_sources import told
from gates.online.slices import CLASS, TOKENS, Attributes, membership, parts_of, unseen_tags
from gates.wording import nearest_name


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
        self._labelled_pairs: list[tuple[_Couple, Label] | None] = []  # None: the label was corrected
        self._labelled_answers: list[_LabelledAnswer | None] = []
        self._disputes: list[tuple[str, str, str, str, str]] = []  # kind, request, source, what it says, against whom
        self._disputed_at_s: list[float] = []  # of each, when it came
        self._judged: set[str] = set()  # requests whose truth was evidence at some look

    def add_predictions(self, predictions: Sequence[Prediction]) -> int:
        before = len(self._predictions)
        for one in predictions:
            self._predictions.setdefault((one.request_id, one.model, one.traffic, one.version), one)
        self._complete()
        return len(self._predictions) - before

    def add_labels(self, labels: Sequence[Label], *, aliases: Mapping[str, Mapping[str, str]] = {}) -> LabelsTaken:
        counts: Counter[str] = Counter()
        refused = []
        accepted = []
        for place, label in enumerate(labels):
            outcome = self._take(label, aliases)
            counts[outcome] += 1
            if outcome == "refused":
                before = self._labels[label.request_id, label.source].label
                refused.append(RefusedLabel(place, label.request_id, label.source, before, label.label))
            else:
                accepted.append(label)
        self._complete()
        names = Counter(label.label for label in accepted if self._names_no_class(label, aliases))
        unmatched = [label.request_id for label in accepted if not self._models(label.request_id)]
        return LabelsTaken(
            taken=counts["taken"],
            repeated=counts["repeated"],
            corrected_late=counts["late"],
            refused=tuple(refused),
            unknown_classes=names.total(),
            unknown_names=tuple(UnknownName(*item, self._nearest(item[0])) for item in names.most_common(NAMES_TOLD)),
            unmatched_requests=len(unmatched),
            unmatched_ids=tuple(dict.fromkeys(unmatched))[:NAMES_TOLD],
        )

    def _take(self, label: Label, aliases: Mapping[str, Mapping[str, str]]) -> str:
        key = label.request_id, label.source
        before, truth = self._labels.get(key), self._truths.get(label.request_id)
        if before is None:
            if truth is not None and self._gives_way(truth, label, aliases):
                self._truths[label.request_id] = truth = label
                self._undo(label.request_id)
            if truth is not None and not self._same(label.request_id, truth.label, label.label, aliases):
                self._dispute("others", label, truth.source)
            self._labels[key] = label
            self._truths.setdefault(label.request_id, label)
            return "taken"
        if self._same(label.request_id, before.label, label.label, aliases):
            return "repeated"
        if not label.corrects:
            self._dispute("itself", label)
            return "refused"
        if before is truth and label.request_id in self._judged:
            self._dispute("late", label)
            return "late"
        self._labels = {known: said for known, said in self._labels.items() if known != key} | {key: label}
        if before is truth:
            self._truths[label.request_id] = label
            self._undo(label.request_id)
        return "taken"

    def _gives_way(self, truth: Label, label: Label, aliases: Mapping[str, Mapping[str, str]]) -> bool:
        names_one = bool(self._models(label.request_id)) and not self._names_no_class(label, aliases)
        return names_one and self._names_no_class(truth, aliases) and label.request_id not in self._judged

    def _undo(self, request_id: str) -> None:
        self._labelled_pairs = [
            done if done is None or done[0].live.request_id != request_id else None for done in self._labelled_pairs
        ]
        self._labelled_answers = [
            done if done is None or done.prediction.request_id != request_id else None
            for done in self._labelled_answers
        ]

    def _dispute(self, kind: str, label: Label, against: str = "") -> None:
        said = kind, label.request_id, label.source, label.label
        if not any(said == known[:4] for known in self._disputes):
            self._disputes.append((*said, against))
            self._disputed_at_s.append(_received(label))

    def _same(self, request_id: str, one: str, other: str, aliases: Mapping[str, Mapping[str, str]]) -> bool:
        meanings = [aliases.get(model, {}) for model in self._models(request_id) or aliases] or [{}]
        return one == other or all(names.get(one, one) == names.get(other, other) for names in meanings)

    def _models(self, request_id: str) -> set[str]:
        return {one.model for one in self._predictions.values() if one.request_id == request_id}

    def _classes(self, models: Collection[str]) -> tuple[str, ...]:
        named = [one.probabilities for one in self._predictions.values() if one.model in models]
        return tuple(sorted({name for names in named for name in names}))

    def _names_no_class(self, label: Label, aliases: Mapping[str, Mapping[str, str]]) -> bool:
        names = [LabelNames(self._classes({m}), aliases.get(m, {})) for m in self._models(label.request_id)]
        return bool(names) and all(one.truth(label.label) is None for one in names)

    def _nearest(self, name: str) -> str:
        return nearest_name(name, self._classes({one.model for one in self._predictions.values()})) or ""

    def latest(self) -> SampleCursor:
        newest = len(self._pairs)
        return SampleCursor(
            newest,
            len(self._labelled_pairs),
            len(self._labelled_answers),
            first_pair=newest,
            prediction=len(self._predictions),
            first_labelled_answer=len(self._labelled_answers),
            first_label=len(self._labels),
            first_dispute=len(self._disputes),
        )

    def since(
        self,
        model: str,
        stable: str,
        candidate: str,
        cursor: SampleCursor,
        *,
        slices: Sequence[str] = (),
        names: LabelNames = LabelNames(),  # noqa: B008 - frozen
        settled_before_s: float = math.inf,
    ) -> SampleEvidence:
        standing = self._standing(model, {stable, candidate}, cursor.first_pair)
        new = [pair for number, pair in standing.items() if number > cursor.pair]
        agreed = sum(pair.agrees for pair in new)
        latest = self.latest()
        upto = replace(
            cursor,
            pair=latest.pair,
            labelled_pair=latest.labelled_pair,
            labelled_answer=latest.labelled_answer,
            prediction=latest.prediction,
            names=names.after(cursor.names, cursor.labels_read),
        )
        unread = names.unread(cursor.names) if cursor.names is not None else {}

        def is_new(place: int, of: int, truth: Label) -> bool:
            """Read for the first time, or by a name that meant nothing at any look that could have read it."""
            if names.truth(truth.label) is None:
                return False
            return place >= unread.get(truth.label, cursor.labels_read)[of]

        pairs = [
            done
            for place, done in enumerate(self._labelled_pairs)
            if done is not None and done[0] in standing.values() and is_new(place, 0, done[1])
        ]
        answered = [
            done
            for place, done in enumerate(self._labelled_answers[cursor.first_labelled_answer :])
            if done is not None and is_new(place + cursor.first_labelled_answer, 1, done.truth)
        ]
        read_now = [one for one in answered if one.prediction.model == model]
        upto = replace(upto, least_likely=_least_likely(read_now, {stable, candidate}, cursor.least_likely))
        sources = self.label_sources(model, stable, candidate, cursor, names=names, settled_before_s=settled_before_s)
        of_model = [done for done in self._labelled_pairs if done is not None and done[0].live.model == model]
        read = [*(done[1] for done in of_model), *(a.truth for a in self._of_model(model))]
        self._judged |= {truth.request_id for truth in read if names.truth(truth.label) is not None}
        return SampleEvidence(
            pairs=tuple(_labelled(pair, truth, stable, slices, names) for pair, truth in pairs),
            pairs_agreed=agreed,
            pairs_disagreed=len(new) - agreed,
            stable_labels=_label_counts(answered, model, stable, names),
            candidate_labels=_label_counts(answered, model, candidate, names),
            cursor=upto,
            slice_pairs=tuple(_slice_pairs(name, new, stable) for name in slices),
            stable_answers=_answers(self._live_of(model, stable)[cursor.prediction :], ()),
            candidate_answers=_answers(self._live_of(model, candidate)[cursor.prediction :], ()),
            label_sources=sources,
            unseen_slices=self._unseen(model, stable, slices),
            pair_counts=_pair_counts(new, stable),
            paired=sum(
                pair.live.model == model and pair.versions == {stable, candidate} for pair in self._pairs[cursor.pair :]
            ),
        )

    def _of_model(self, model: str) -> "list[_LabelledAnswer]":
        return [done for done in self._labelled_answers if done is not None and done.prediction.model == model]

    def _unseen(self, model: str, stable: str, slices: Sequence[str]) -> tuple[UnseenSlice, ...]:
        tagged = [name for name in slices if parts_of(name)[0] not in (CLASS, TOKENS)]
        return unseen_tags(tagged, [one.tags for one in self._live_of(model, stable)[-1_000:] if one is not None])

    def last_answers(self, model: str, version: str) -> Sequence[Attributes]:
        newest = [one for one in reversed(self._live_of(model, version)) if one is not None][:LAST_ANSWERS_MAX]
        return [Attributes(one.label, one.tokens, one.tags) for one in newest]

    def label_sources(
        self,
        model: str,
        stable: str,
        candidate: str,
        cursor: SampleCursor,
        *,
        names: LabelNames,
        settled_before_s: float,
    ) -> tuple[LabelSource, ...]:
        if not names.classes:
            names = replace(names, classes=self._classes({model})) if settled_before_s < math.inf else names
        live = [done for done in self._labelled_answers[cursor.first_labelled_answer :] if done is not None]
        named = [
            done.truth
            for done in live[-1_000:]
            if done.prediction.model == model and done.prediction.version in (stable, candidate)
        ]
        said = list(self._labels.values())[cursor.first_label :]
        settled = [one for one in said if _received(one) <= settled_before_s][-1_000:]
        since_s = min(map(_received, settled)) if len(settled) == 1_000 else -math.inf
        came = list(zip(self._disputes, self._disputed_at_s, strict=True))[cursor.first_dispute :]
        disputes = [dispute for dispute, at_s in came if at_s >= since_s]
        ratio = min((one.inclusion_probability for one in self._predictions.values()), default=0.0)
        sources = {one.source for one in (*named, *settled)} | {source for _, _, source, *_ in disputes}
        found = {
            source: self._source(
                source,
                [one.label for one in named if one.source == source],
                [one.request_id for one in settled if one.source == source],
                Counter(kind for kind, _, whose, *_ in disputes if whose == source),
                names,
                ratio,
            )
            for source in sources
        }
        against = {
            source: {whom for kind, _, whose, _, whom in disputes if (kind, whose) == ("others", source)} & sources
            for source in sources
        }
        every = [
            replace(one, others_labels=sum(max(found[o].labelled, found[o].settled) for o in against[name]))
            for name, one in found.items()
        ]
        return told(every, SOURCES_MAX)

    def _source(
        self,
        source: str,
        said: Sequence[str],
        settled: Sequence[str],
        disputes: Counter[str],
        names: LabelNames,
        ratio: float,
    ) -> LabelSource:
        unknown = Counter(name for name in said if names.truth(name) is None)
        ordered = sorted(unknown.items(), key=lambda item: (-item[1], item[0]))
        return LabelSource(
            source=source,
            labelled=len(said),
            unknown=unknown.total(),
            unknown_names=tuple(NameCount(*item, names.aliases.get(item[0], "")) for item in ordered[:5]),
            settled=len(settled),
            unmatched=sum(not self._models(request) for request in settled),
            expected_matched=len(settled) * ratio,
            contradicts_itself=disputes["itself"],
            contradicts_others=disputes["others"],
            corrected_late=disputes["late"],
        )

    def labelled(self, model: str) -> Labelled | None:
        found = [one for one in self._labelled_answers if one and one.prediction.model == model]
        found = [one for one in found if not one.truth.directed][-ARRIVALS_MAX:]
        live = [one for one in self._predictions.values() if one.model == model and one.traffic == "live"]
        places = [live.index(one.prediction) for one in found]
        if len(found) < ARRIVALS_MIN:
            return None
        delays = [(one.truth.received_at_s or one.truth.at_s) - one.prediction.at_s for one in found]
        return Labelled(len(found) / (max(places) - min(places) + 1), max(median(delays), 0.0))

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
        fair = [pair for pair in unlabelled if pair.live.text_digest < BY_CHANCE_BELOW]
        disagreed = [pair for pair in reversed(unlabelled) if not pair.agrees and pair not in fair]
        by_chance = sorted(fair, key=lambda pair: pair.live.text_digest)
        return by_turns(
            [_request(pair, directed=True) for pair in disagreed],
            [_request(pair, directed=False) for pair in by_chance],
            limit,
        )

    def standing_requests(self, model: str, version: str, *, since_s: float, limit: int) -> Sequence[LabelRequest]:
        kept = {one.request_id: one for one in self._live_of(model, version) if one and one.text is not None}
        recent = [one for one in reversed(kept.values()) if one.at_s >= since_s][:ANSWERS_MAX]
        said = {request for request, _ in self._labels}
        answered = [
            Answered(one.request_id, one.text_digest, one.label, one.confidence, one.request_id in said)
            for one in recent
        ]
        return [
            LabelRequest(
                request_id=one.request_id,
                model=model,
                answers={version: one.label},
                disagree=False,
                directed=False,
                text=kept[one.request_id].text,
                inclusion_probability=probability,
            )
            for one, probability in chosen(answered, limit)
        ]

    def _standing(self, model: str, versions: set[str], first_pair: int) -> dict[int, _Couple]:
        """The pairs of a release, by id: of those with the same text the first one."""
        first: dict[str, int] = {}
        for number, pair in enumerate(self._pairs[first_pair:], start=first_pair + 1):
            if pair.live.model == model and pair.versions == versions:
                first.setdefault(pair.live.text_digest, number)
        return {number: self._pairs[number - 1] for number in first.values()}

    def _complete(self) -> None:
        for live in self._with_traffic("live"):
            for shadow in self._with_traffic("shadow"):
                self._pair(_Couple(live, shadow))
        for pair in self._pairs:
            truth = self._truths.get(pair.live.request_id)
            if truth and all(done is None or pair is not done[0] for done in self._labelled_pairs):
                self._labelled_pairs.append((pair, truth))
        for live in self._with_traffic("live"):
            truth = self._truths.get(live.request_id)
            if truth and all(done is None or live is not done.prediction for done in self._labelled_answers):
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


def _pair_counts(pairs: Sequence[_Couple], stable: str) -> PairCounts:
    """Counted one by one."""
    bins: dict[bool, dict[str, list[int]]] = {True: {}, False: {}}
    agreed: dict[str, int] = {}
    for pair in pairs:
        (name,) = (one.label for one in pair if one.version == stable)
        agreed[name] = agreed.get(name, 0) + (pair[0].label == pair[1].label)
        for one in pair:
            counts = bins[one.version == stable].setdefault(name, [0] * 10)
            counts[sum(one.confidence >= edge for edge in PAIR_CONFIDENCE_EDGES)] += 1
    own, others = ({name: tuple(of) for name, of in bins[side].items()} for side in (True, False))
    return PairCounts(own, others, agreed)


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


def _label_counts(answers: "Sequence[_LabelledAnswer]", model: str, version: str, names: LabelNames) -> LabelCounts:
    wrong: dict[float, list[bool]] = {}
    for answer in answers:
        if (answer.prediction.model, answer.prediction.version) == (model, version) and not answer.truth.directed:
            mistaken = answer.prediction.label != names.truth(answer.truth.label)
            wrong.setdefault(answer.chance, []).append(mistaken)
    return label_counts(LabelChance(chance, len(of), sum(of)) for chance, of in sorted(wrong.items()))


def _least_likely(
    answers: "Sequence[_LabelledAnswer]", versions: Collection[str], before: LeastLikely | None
) -> LeastLikely | None:
    for one in answers:
        if one.prediction.version in versions and one.chance < (before.inclusion_probability if before else 1.0):
            before = LeastLikely(one.truth.source, one.prediction.request_id, one.chance)
    return before


def _received(label: Label) -> float:
    return label.at_s if label.received_at_s is None else label.received_at_s


def _labelled(pair: _Couple, label: Label, stable: str, slices: Sequence[str], names: LabelNames) -> LabelledPair:
    truth = replace(label, label=names.truth(label.label) or "")
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
        waited_s=max(_received(label) - max(one.at_s for one in pair), 0.0),
    )


def _answer(prediction: Prediction, truth: str) -> Answer:
    unlikely = {truth: 0.0} | dict(prediction.probabilities)
    squares = [(probability - float(name == truth)) ** 2 for name, probability in unlikely.items()]
    return Answer(prediction.label, prediction.confidence, min(2.0, sum(squares)))


def _request(pair: _Couple, *, directed: bool) -> LabelRequest:
    live, shadow = pair
    return LabelRequest(
        request_id=live.request_id,
        model=live.model,
        answers={live.version: live.label, shadow.version: shadow.label},
        disagree=live.label != shadow.label,
        directed=directed,
        text=live.text if live.text is not None else shadow.text,
    )
