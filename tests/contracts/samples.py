"""What every store of samples must do, both as ``Samples`` and as ``SampleIntake``."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import pytest

from controller.core.labels import LabelNames, LabelsTaken, RefusedLabel, UnknownName
from controller.ports.samples import (
    ARRIVALS_MAX,
    ARRIVALS_MIN,
    Label,
    LabelArrivals,
    LabelRequest,
    PairCounts,
    Prediction,
    SampleCursor,
    SampleEvidence,
    SampleIntake,
    Samples,
)
from gates.evidence import LabelChance, LabelCounts, LabelSource, LeastLikely, NameCount, SlicePairs, UnseenSlice

START = SampleCursor()


class SampleStore(Samples, SampleIntake, LabelArrivals, Protocol):
    """All sides of one store."""


def prediction(request: str, version: str, traffic: str, label: str = "refund", **changes: object) -> Prediction:
    """An answer with confidence 0.75; texts of two requests differ unless ``text_digest`` says otherwise."""
    other = "refund" if label != "refund" else "invoice"
    values: dict[str, object] = {
        "request_id": request,
        "model": "intent",
        "version": version,
        "traffic": traffic,
        "at_s": 50.0,
        "label": label,
        "confidence": 0.75,
        "probabilities": {label: 0.75, other: 0.25},
        "inclusion_probability": 1.0,
        "text_digest": f"digest of {request}",
    }
    return Prediction(**{**values, **changes})  # type: ignore[arg-type]


def live(request: str, label: str = "refund", **changes: object) -> Prediction:
    return prediction(request, str(changes.pop("version", "6")), "live", label, **changes)


def shadow(request: str, label: str = "refund", **changes: object) -> Prediction:
    return prediction(request, str(changes.pop("version", "7")), "shadow", label, **changes)


def truth(request: str, label: str = "refund", **changes: object) -> Label:
    values: dict[str, object] = {"request_id": request, "label": label, "at_s": 60.0, "source": "people"}
    return Label(**{**values, **changes})  # type: ignore[arg-type]


def evidence(samples: Samples, cursor: SampleCursor = START) -> SampleEvidence:
    return samples.since("intent", "6", "7", cursor)


def requests(samples: SampleIntake, limit: int = 10) -> Sequence[str]:
    return [one.request_id for one in asked(samples, limit)]


def asked(samples: SampleIntake, limit: int = 10, *, first_pair: int = 0) -> Sequence[LabelRequest]:
    return samples.label_requests("intent", "6", "7", first_pair=first_pair, limit=limit)


def named(samples: Samples, cursor: SampleCursor = START, aliases: Mapping[str, str] | None = None) -> SampleEvidence:
    """What is added since, by the classes of `prediction`."""
    names = LabelNames(("invoice", "refund"), aliases or {})
    return samples.since("intent", "6", "7", cursor, names=names)


def sources(samples: SampleIntake, start: SampleCursor = START) -> dict[str, LabelSource]:
    told = samples.label_sources("intent", "6", "7", start, names=LabelNames(), settled_before_s=1_000.0)
    return {one.source: one for one in told}


class SamplesContract:
    def test_two_answers_to_one_request_make_a_pair(self, samples: SampleStore) -> None:
        """A live answer and a shadow answer, whichever comes first."""
        assert samples.add_predictions([live("a"), live("b"), shadow("a")]) == 3
        assert samples.add_predictions([shadow("b", "invoice")]) == 1
        found = evidence(samples)
        assert (found.pairs_agreed, found.pairs_disagreed, found.pairs) == (1, 1, ())

    def test_pairs_of_a_text_that_was_seen_before_are_counted_and_no_evidence(self, samples: SampleStore) -> None:
        """They were answered twice, as whoever holds samples against requests must know; how, says nothing new."""
        samples.add_predictions([live("a", text_digest="same"), shadow("a", text_digest="same")])
        first = evidence(samples)
        more = [live("b", text_digest="same"), shadow("b", "invoice", text_digest="same"), live("c"), shadow("c")]
        samples.add_predictions([*more, live("d", model="tone"), shadow("d", model="tone")])
        found = evidence(samples, replace(first.cursor, first_pair=START.first_pair))
        assert (first.paired, found.paired) == (1, 2)
        assert (found.pairs_agreed, found.pairs_disagreed) == (1, 0)

    def test_it_makes_no_difference_who_was_live(self, samples: SampleStore) -> None:
        """During a canary each version gets copies of what the other serves: both kinds are the same evidence, told as
        stable and candidate."""
        samples.add_predictions([live("a"), shadow("a", "invoice")])
        samples.add_predictions([live("b", "invoice", version="7"), shadow("b", version="6")])
        samples.add_labels([truth("a"), truth("b")])
        found = evidence(samples)
        assert (found.pairs_agreed, found.pairs_disagreed) == (0, 2)
        assert [(pair.stable.label, pair.candidate.label) for pair in found.pairs] == [("refund", "invoice")] * 2
        turned = samples.since("intent", "7", "6", START)
        assert [(pair.stable.label, pair.candidate.label) for pair in turned.pairs] == [("invoice", "refund")] * 2

    def test_one_request_makes_one_pair(self, samples: SampleStore) -> None:
        """Sent again under its id, a request may be served by the other version, and copied the other way."""
        again = [live("a", version="7"), shadow("a", version="6")]
        samples.add_predictions([live("a"), shadow("a"), *again])
        samples.add_labels([truth("a")])
        found = evidence(samples)
        assert (found.pairs_agreed, found.pairs_disagreed, len(found.pairs)) == (1, 0, 1)
        assert found.stable_labels == found.candidate_labels == LabelCounts(labelled=1, wrong=0)

    @pytest.mark.parametrize(
        "other",
        [
            shadow("b"),
            live("a", version="7"),
            shadow("a", version="6"),
            shadow("a", model="tone"),
            shadow("a", text_digest="of another text"),
        ],
        ids=["request", "traffic", "version", "model", "text"],
    )
    def test_what_is_no_pair(self, samples: SampleStore, other: Prediction) -> None:
        """Another request, two live answers, one version, another model, or one id given to two texts."""
        samples.add_predictions([live("a"), other])
        found = evidence(samples)
        assert (found.pairs_agreed, found.pairs_disagreed) == (0, 0)

    def test_evidence_is_kept_by_model_and_versions(self, samples: SampleStore) -> None:
        """A look at one release never reads what belongs to another."""
        samples.add_predictions([live("a"), shadow("a"), shadow("a", version="8")])
        samples.add_predictions([live("a", model="tone"), shadow("a", model="tone")])
        samples.add_labels([truth("a")])
        assert (evidence(samples).pairs_agreed, len(evidence(samples).pairs)) == (1, 1)
        assert samples.since("intent", "6", "8", START).pairs_agreed == 1
        assert samples.since("intent", "7", "8", START).pairs_agreed == 0
        assert evidence(samples).stable_labels == LabelCounts(labelled=1, wrong=0)

    @pytest.mark.parametrize("order", ["LSt", "LtS", "SLt", "StL", "tLS", "tSL"])
    def test_a_label_finds_its_pair_whichever_comes_last(self, samples: SampleStore, order: str) -> None:
        """Labels come before, between and long after the predictions they belong to."""
        for step in order:
            if step == "t":
                samples.add_labels([truth("a", "invoice", directed=True)])
            else:
                samples.add_predictions([live("a") if step == "L" else shadow("a", "invoice")])
        (pair,) = evidence(samples).pairs
        assert (pair.truth, pair.directed) == ("invoice", True)
        assert (pair.stable.label, pair.candidate.label) == ("refund", "invoice")
        assert evidence(samples).pairs_disagreed == 1

    def test_a_label_tells_how_long_it_was_waited_for(self, samples: SampleStore) -> None:
        """From the later of the two answers until it came here, whatever time its source gives it; never less than
        nothing, where clocks differ."""
        samples.add_predictions([live("a"), shadow("a", at_s=52.0), live("b"), shadow("b"), live("c"), shadow("c")])
        samples.add_labels([truth("a", received_at_s=90.0), truth("b"), truth("c", received_at_s=49.0)])
        assert [pair.waited_s for pair in evidence(samples).pairs] == [38.0, 10.0, 0.0]

    def test_all_pairs_are_counted_by_stables_class_and_both_confidences(self, samples: SampleStore) -> None:
        """Labelled or not, whichever version was live, and a text once: labels that were chosen are found by them. A
        confidence at an edge belongs above it."""
        samples.add_predictions([live("a", confidence=0.9), shadow("a", "invoice", confidence=0.29)])
        cursor = evidence(samples).cursor
        samples.add_predictions([live("b", confidence=0.996), shadow("b", confidence=0.3)])
        samples.add_predictions([live("c", version="7", confidence=0.65), shadow("c", "invoice", version="6")])
        samples.add_predictions(
            [live("d", text_digest="digest of b"), shadow("d", text_digest="digest of b"), live("e")]
        )
        expected = PairCounts(
            {"refund": (0, 0, 0, 0, 0, 0, 0, 0, 0, 1), "invoice": (0, 0, 0, 0, 1, 0, 0, 0, 0, 0)},
            {"refund": (0, 1, 0, 0, 0, 0, 0, 0, 0, 0), "invoice": (0, 0, 0, 1, 0, 0, 0, 0, 0, 0)},
            {"refund": 1, "invoice": 0},
        )
        assert samples.since("intent", "6", "7", replace(cursor, first_pair=0)).pair_counts == expected
        assert evidence(samples, evidence(samples).cursor).pair_counts == PairCounts({}, {}, {})

    def test_an_answer_is_scored_against_the_truth(self, samples: SampleStore) -> None:
        """Brier's multiclass score, 0 to 2; where the classes are not told, also of a truth that is none."""
        thirds: Mapping[str, float] = {"refund": 0.5, "invoice": 0.25, "other": 0.25}
        sure = {"refund": 1.0, "invoice": 0.0}
        samples.add_predictions([live("a", confidence=0.5, probabilities=thirds), shadow("a", probabilities=sure)])
        samples.add_predictions([live("b", probabilities=thirds), shadow("b", probabilities=sure)])
        samples.add_labels([truth("a", "invoice"), truth("b", "nobody knew")])
        first, second = evidence(samples).pairs
        assert first.stable.confidence == 0.5
        assert first.stable.brier == pytest.approx(0.25 + 0.5625 + 0.0625)
        assert first.candidate.brier == 2.0
        assert second.stable.brier == pytest.approx(0.25 + 0.0625 + 0.0625 + 1)

    def test_live_labels_are_counted_for_each_version(self, samples: SampleStore) -> None:
        """Wrong labels among labelled live answers; a shadow answer is nobody's."""
        samples.add_predictions([live("a"), live("b"), live("c", version="7"), shadow("d")])
        samples.add_labels([truth("a"), truth("b", "invoice"), truth("c"), truth("d"), truth("e")])
        found = evidence(samples)
        assert found.stable_labels == LabelCounts(labelled=2, wrong=1)
        assert found.candidate_labels == LabelCounts(labelled=1, wrong=0)

    def test_live_labels_are_counted_by_how_likely_they_were(self, samples: SampleStore) -> None:
        """The chance of being captured times that of being labelled; a count of its own for each, in order."""
        samples.add_predictions([live("a", inclusion_probability=0.5), live("b"), live("c"), live("d"), live("e")])
        samples.add_labels([truth("a", inclusion_probability=0.5), truth("b", "invoice", inclusion_probability=0.25)])
        samples.add_labels([truth("c", inclusion_probability=0.5), truth("d", directed=True), truth("e")])
        chances = (LabelChance(0.25, 2, 1), LabelChance(0.5, 1, 0), LabelChance(1.0, 1, 0))
        assert evidence(samples).stable_labels == LabelCounts(labelled=4, wrong=1, chances=chances)
        assert evidence(samples).candidate_labels == LabelCounts(labelled=0, wrong=0)

    def test_directed_labels_never_count_as_chosen_by_chance(self, samples: SampleStore) -> None:
        """They were asked for where the versions disagree: as a sample of live traffic they would be biased."""
        samples.add_predictions([live("a"), shadow("a", "invoice")])
        samples.add_labels([truth("a", directed=True)])
        assert evidence(samples).stable_labels == LabelCounts(labelled=0, wrong=0)
        assert [pair.directed for pair in evidence(samples).pairs] == [True]

    def test_one_text_counts_once(self, samples: SampleStore) -> None:
        """Duplicate texts make pairs dependent: the first pair stands for all, with its label and without."""
        for request in ("a", "b", "c"):
            samples.add_predictions([live(request, text_digest="same"), shadow(request, text_digest="same")])
        samples.add_labels([truth("a"), truth("b")])
        assert (evidence(samples).pairs_agreed, len(evidence(samples).pairs)) == (1, 1)
        assert requests(samples) == []
        samples.add_predictions([live("d", text_digest="same"), shadow("d", text_digest="same", version="8")])
        assert samples.since("intent", "6", "8", START).pairs_agreed == 1

    def test_one_text_counts_once_whoever_was_live(self, samples: SampleStore) -> None:
        """A user repeats a text and is served by the other version: it is still one text."""
        samples.add_predictions([live("a", text_digest="same"), shadow("a", text_digest="same")])
        first = evidence(samples)
        again = {"text_digest": "same"}
        samples.add_predictions([live("b", version="7", **again), shadow("b", version="6", **again)])
        samples.add_labels([truth("a"), truth("b")])
        second = evidence(samples, first.cursor)
        assert (first.pairs_agreed, second.pairs_agreed, len(second.pairs)) == (1, 0, 1)

    def test_a_text_counts_again_in_the_next_release(self, samples: SampleStore) -> None:
        """A second attempt of the same two versions gets its evidence from the same traffic, and only its own: the
        labels of the first attempt's pairs come too late, since nothing of what agreed beside them counts."""
        same = {"text_digest": "same"}
        samples.add_predictions([live("a", **same), shadow("a", "invoice", **same)])
        start = samples.latest()
        assert evidence(samples, start).pairs_disagreed == 0
        for request in ("b", "c"):
            samples.add_predictions([live(request, **same), shadow(request, "invoice", **same)])
        asked_about = [one.request_id for one in asked(samples, first_pair=start.first_pair)]
        samples.add_labels([truth(request, directed=True) for request in "abc"])
        found = evidence(samples, start)
        assert (asked_about, found.pairs_disagreed, len(found.pairs)) == (["b"], 1, 1)
        assert found.cursor.first_pair == start.first_pair
        assert evidence(samples, found.cursor).pairs == ()

    def test_the_smaller_inclusion_probability_is_the_pairs(self, samples: SampleStore) -> None:
        """Consistent samples lie within each other, so the pair is as rare as its rarer half."""
        samples.add_predictions([live("a", inclusion_probability=0.5), shadow("a", inclusion_probability=0.125)])
        samples.add_labels([truth("a")])
        assert evidence(samples).pairs[0].inclusion_probability == 0.125

    def test_a_labels_probability_is_part_of_the_pairs(self, samples: SampleStore) -> None:
        """A pair is evidence if it was captured and labelled: as rare as both together."""
        samples.add_predictions([live("a", inclusion_probability=0.5), shadow("a"), live("b"), shadow("b")])
        samples.add_labels([truth("a", inclusion_probability=0.25), truth("b")])
        assert [pair.inclusion_probability for pair in evidence(samples).pairs] == [0.125, 1.0]

    def test_the_same_again_changes_nothing(self, samples: SampleStore) -> None:
        """Replicas and label sources may send a batch twice, whole, in part, or twice within itself."""
        batch = [live("a"), shadow("a")]
        assert samples.add_predictions([*batch, *batch]) == 2
        assert samples.add_predictions([*batch, live("b")]) == 1
        assert samples.add_labels([truth("a"), truth("a")]).taken == 1
        assert samples.add_labels([truth("a"), truth("b")]).taken == 1
        found = evidence(samples)
        assert (found.pairs_agreed, len(found.pairs)) == (1, 1)
        assert found.stable_labels == LabelCounts(labelled=2, wrong=0)

    def test_nothing_sent_is_nothing_new(self, samples: SampleStore) -> None:
        """An empty batch is no error."""
        assert samples.add_predictions([]) == 0
        assert samples.add_labels([]) == LabelsTaken()

    @pytest.mark.parametrize("before", [[truth("a")], []], ids=["stored", "in the batch"])
    def test_a_label_that_contradicts_its_source_is_refused_alone(
        self, samples: SampleStore, before: list[Label]
    ) -> None:
        """It is told with both names; what came with it is taken, and what was said first stays the truth."""
        samples.add_predictions([live("a"), live("b")])
        samples.add_labels(before)
        answer = samples.add_labels([truth("b"), truth("a"), truth("a", "invoice")])
        assert answer.refused == (RefusedLabel(2, "a", "people", "refund", "invoice"),)
        assert (answer.taken, answer.repeated) == (2 - len(before), len(before))
        assert evidence(samples).stable_labels == LabelCounts(labelled=2, wrong=0)

    @pytest.mark.parametrize("first", ["label first", "samples first"])
    def test_a_correction_counts_before_it_was_judged(self, samples: SampleStore, first: str) -> None:
        """The corrected label is the truth, once, whichever came first; to say it again changes nothing."""
        both = [live("a"), shadow("a", "invoice")]
        samples.add_predictions(both if first == "samples first" else [])
        samples.add_labels([truth("a")])
        correction = truth("a", "invoice", corrects=True)
        assert samples.add_labels([correction]).taken == 1
        assert samples.add_labels([correction]).repeated == 1
        samples.add_predictions(both if first == "label first" else [])
        found = evidence(samples)
        assert [pair.truth for pair in found.pairs] == ["invoice"]
        assert found.stable_labels == LabelCounts(labelled=1, wrong=1)
        assert sources(samples)["people"].corrected_late == 0

    def test_a_correction_within_its_batch_counts(self, samples: SampleStore) -> None:
        """Nothing of a batch is judged yet; the last word of its source counts."""
        samples.add_predictions([live("a")])
        answer = samples.add_labels([truth("a"), truth("a", "other", corrects=True), truth("a", corrects=True)])
        assert (answer.taken, answer.refused) == (3, ())
        assert evidence(samples).stable_labels == LabelCounts(labelled=1, wrong=0)

    def test_a_correction_of_what_was_judged_is_kept_on_record(self, samples: SampleStore) -> None:
        """It changes no evidence that a look has read, and is counted for its source, once."""
        samples.add_predictions([live("a"), shadow("a")])
        samples.add_labels([truth("a")])
        first = evidence(samples)
        for _ in range(2):
            answer = samples.add_labels([truth("a", "invoice", corrects=True)])
            assert (answer.taken, answer.corrected_late, answer.refused) == (0, 1, ())
        second = evidence(samples, first.cursor)
        assert (second.pairs, second.stable_labels) == ((), LabelCounts(0, 0))
        assert sources(samples)["people"].corrected_late == 1

    def test_a_correction_of_a_name_that_is_no_class_always_counts(self, samples: SampleStore) -> None:
        """A look has passed over the label, and it was evidence of nothing."""
        samples.add_predictions([live("a"), shadow("a")])
        samples.add_labels([truth("a", "Refund")])
        first = named(samples)
        assert (first.pairs, first.stable_labels) == ((), LabelCounts(0, 0))
        assert samples.add_labels([truth("a", corrects=True)]).taken == 1
        second = named(samples, first.cursor)
        assert [pair.truth for pair in second.pairs] == ["refund"]
        assert second.stable_labels == LabelCounts(labelled=1, wrong=0)

    def test_a_second_source_corrects_itself_only(self, samples: SampleStore) -> None:
        """The first source's word stays the truth and the evidence."""
        samples.add_predictions([live("a"), shadow("a")])
        samples.add_labels([truth("a"), truth("a", "invoice", source="late")])
        assert samples.add_labels([truth("a", "other", source="late", corrects=True)]).taken == 1
        found = evidence(samples)
        assert [pair.truth for pair in found.pairs] == ["refund"]
        assert found.stable_labels == LabelCounts(labelled=1, wrong=0)

    def test_contradictions_are_counted_for_who_came_later(self, samples: SampleStore) -> None:
        """Of itself and of other sources; what was said before a release began is none of its business."""
        samples.add_labels([truth("z"), truth("z", "other", source="crm")])
        start = samples.latest()
        samples.add_labels([truth("a"), truth("b"), truth("a", "other")])
        samples.add_labels([truth("a", source="crm"), truth("b", "other", source="crm")])
        told = sources(samples, start)
        assert (told["people"].contradicts_itself, told["people"].contradicts_others) == (1, 0)
        assert (told["crm"].contradicts_itself, told["crm"].contradicts_others) == (0, 1)

    def test_contradictions_end_once_enough_labels_came_after_them(self, samples: SampleStore) -> None:
        """One bad afternoon: what is held against the newest labels is what came since the oldest of them."""
        bad = [f"bad{n}" for n in range(30)]
        samples.add_labels([truth(request, received_at_s=10.0) for request in bad])
        samples.add_labels([truth(request, "other", received_at_s=10.0) for request in bad])
        samples.add_labels([truth(request, "other", source="crm", received_at_s=10.0) for request in bad])
        samples.add_labels([truth(f"good{n}", source="crm", received_at_s=20.0) for n in range(900)])
        told = sources(samples)
        assert (told["people"].contradicts_itself, told["crm"].contradicts_others) == (30, 30)
        samples.add_labels([truth(f"right{n}", received_at_s=30.0) for n in range(100)])
        samples.add_labels([truth("right0", "other", received_at_s=30.0)])
        told = sources(samples)
        assert (told["people"].contradicts_itself, told["people"].settled) == (1, 100)
        assert (told["crm"].contradicts_others, told["crm"].settled) == (0, 900)

    def test_a_truth_that_is_no_class_is_no_evidence(self, samples: SampleStore) -> None:
        """Neither version could be right: it is counted for its source, with its name, and goes no further."""
        samples.add_predictions([p for r in "abc" for p in (live(r), shadow(r, "invoice"))])
        samples.add_labels([truth("a", "Refund"), truth("b", "Refund"), truth("c")])
        found = named(samples)
        assert [pair.truth for pair in found.pairs] == ["refund"]
        assert found.stable_labels == LabelCounts(labelled=1, wrong=0)
        (source,) = found.label_sources
        assert (source.labelled, source.unknown) == (3, 2)
        assert source.unknown_names == (NameCount("Refund", 2),)

    def test_an_alias_turns_what_was_stored_into_evidence(self, samples: SampleStore) -> None:
        """Also what a look has passed over: each label once, scored by the class that it means, and never again."""
        samples.add_predictions([live("a"), shadow("a", "invoice"), live("b"), shadow("b")])
        samples.add_labels([truth("a", "Geld zurück"), truth("b")])
        first = named(samples)
        assert [pair.truth for pair in first.pairs] == ["refund"]
        aliases = {"Geld zurück": "refund", "Rechnung": "invoice"}
        second = named(samples, first.cursor, aliases)
        (pair,) = second.pairs
        assert (pair.truth, pair.stable.brier, pair.candidate.brier) == ("refund", 0.125, 1.125)
        assert second.stable_labels == LabelCounts(labelled=1, wrong=0)
        assert second.label_sources[0].unknown == 0
        samples.add_predictions([live("c"), shadow("c")])
        samples.add_labels([truth("c", "Rechnung")])
        third = named(samples, second.cursor, aliases)
        assert [pair.truth for pair in third.pairs] == ["invoice"]
        assert third.stable_labels == LabelCounts(labelled=1, wrong=1)
        assert named(samples, third.cursor, aliases).pairs == ()

    @pytest.mark.parametrize("back", ["refund", "invoice"])
    def test_an_alias_that_goes_and_comes_back_brings_nothing_in_twice(self, samples: SampleStore, back: str) -> None:
        """A typo and its undo, a policy that was moved away and back: also as another class, a label is read once."""
        samples.add_predictions([live("a"), shadow("a", "invoice")])
        samples.add_labels([truth("a", "Geld")])
        first = named(samples, START, {"Geld": "refund"})
        assert [pair.truth for pair in first.pairs] == ["refund"]
        cursor = first.cursor
        for aliases in ({}, {"Geld": back}, {"Geld": "typo"}, {}, {"Geld": back}):
            again = named(samples, cursor, aliases)
            assert (again.pairs, again.stable_labels) == ((), LabelCounts(0, 0)), aliases
            cursor = again.cursor
        samples.add_predictions([live("b"), shadow("b")])
        samples.add_labels([truth("b", "Geld")])
        assert [pair.truth for pair in named(samples, cursor, {"Geld": back}).pairs] == [back]

    def test_labels_that_come_while_an_alias_is_away_are_read_once_it_is_back(self, samples: SampleStore) -> None:
        """Those of the time that nobody knew the name, also of several such times; what was read before stays read."""
        requests = iter("abcdefgh")
        cursor, read = START, []
        for aliases in ({"Geld": "refund"}, {}, {}, {"Geld": "refund"}, {"Geld": "typo"}, {"Geld": "invoice"}, {}):
            request = next(requests)
            samples.add_predictions([live(request), shadow(request)])
            samples.add_labels([truth(request, "Geld")])
            found = named(samples, cursor, aliases)
            cursor = found.cursor
            read.append([pair.truth for pair in found.pairs])
            assert found.stable_labels.labelled == len(found.pairs)
        assert read == [["refund"], [], [], ["refund"] * 3, [], ["invoice"] * 2, []]

    def test_a_label_that_came_while_an_alias_was_away_may_be_corrected(self, samples: SampleStore) -> None:
        """No look has read it; what came before was read, and is judged."""
        samples.add_predictions([one for request in "ab" for one in (live(request), shadow(request))])
        samples.add_labels([truth("a", "Geld")])
        first = named(samples, START, {"Geld": "refund"})
        samples.add_labels([truth("b", "Geld")])
        without = named(samples, first.cursor)
        answer = samples.add_labels([truth(request, "invoice", corrects=True) for request in "ab"])
        assert (answer.taken, answer.corrected_late) == (1, 1)
        assert [pair.truth for pair in named(samples, without.cursor, {"Geld": "refund"}).pairs] == ["invoice"]

    def test_a_class_under_a_wrong_alias_is_read_once(self, samples: SampleStore) -> None:
        """Its own name means it again when the alias goes, and what was passed over meanwhile comes in, once."""
        samples.add_predictions([live("a"), shadow("a")])
        samples.add_labels([truth("a")])
        cursor, read = START, []
        for aliases in ({"refund": "typo"}, {}, {"refund": "typo"}, {"refund": "refund"}, {"refund": "invoice"}):
            found = named(samples, cursor, aliases)
            cursor = found.cursor
            read.append([pair.truth for pair in found.pairs])
        assert read == [[], ["refund"], [], [], []]

    def test_what_was_judged_by_an_alias_stays_judged_without_it(self, samples: SampleStore) -> None:
        """A correction comes too late although its name means nothing just now, and counts for nobody anew."""
        samples.add_predictions([live("a"), shadow("a")])
        samples.add_labels([truth("a", "Geld")])
        first = named(samples, START, {"Geld": "refund"})
        without = named(samples, first.cursor)
        assert samples.add_labels([truth("a", "invoice", corrects=True)]).corrected_late == 1
        second = named(samples, without.cursor, {"Geld": "refund"})
        assert (second.pairs, second.stable_labels) == ((), LabelCounts(0, 0))

    def test_the_least_likely_label_is_named(self, samples: SampleStore) -> None:
        """Whose it is, and of which request: of those that were read, through all looks; none where all are sure."""
        samples.add_predictions([live(request) for request in "abcde"])
        samples.add_labels([truth("a")])
        first = named(samples)
        assert first.cursor.least_likely is None
        unsure = {"b": 0.5, "c": 0.001, "d": 0.25}
        samples.add_labels([truth(r, source=f"desk/{r}", inclusion_probability=p) for r, p in unsure.items()])
        samples.add_labels([truth("e", "no class", inclusion_probability=1e-6)])
        second = named(samples, first.cursor)
        assert second.cursor.least_likely == LeastLikely("desk/c", "c", 0.001)
        samples.add_predictions([live("f"), live("g", model="tone")])
        samples.add_labels([truth("f", inclusion_probability=0.01), truth("g", inclusion_probability=1e-5)])
        assert named(samples, second.cursor).cursor.least_likely == LeastLikely("desk/c", "c", 0.001)

    def test_an_alias_to_no_class_helps_nobody(self, samples: SampleStore) -> None:
        samples.add_predictions([live("a"), shadow("a")])
        samples.add_labels([truth("a", "Geld")])
        found = named(samples, START, {"Geld": "Refund"})
        assert (found.pairs, found.label_sources[0].unknown) == ((), 1)
        assert found.label_sources[0].unknown_names == (NameCount("Geld", 1, "Refund"),)

    def test_a_batch_is_told_what_of_it_helps_nobody(self, samples: SampleStore) -> None:
        """Names that no version of the request's model has as a class, with the nearest one; requests without a
        sample."""
        samples.add_predictions([live("a"), live("b"), live("c")])
        answer = samples.add_labels([truth("a", "REFUND"), truth("b"), truth("c", "xyz"), truth("d", "REFUND")])
        assert (answer.taken, answer.unknown_classes, answer.unmatched_requests) == (4, 2, 1)
        assert answer.unmatched_ids == ("d",)
        assert set(answer.unknown_names) == {UnknownName("REFUND", 1, "refund"), UnknownName("xyz", 1)}
        known = samples.add_labels([truth("a", "REFUND")], aliases={"intent": {"REFUND": "refund"}})
        assert (known.repeated, known.unknown_classes) == (1, 0)

    def test_two_names_of_one_class_contradict_nobody(self, samples: SampleStore) -> None:
        """What an alias says is the same is the same, from one source or from two."""
        samples.add_predictions([live("a")])
        aliases = {"intent": {"REFUND": "refund"}}
        answer = samples.add_labels(
            [truth("a"), truth("a", "REFUND"), truth("a", "REFUND", source="b")], aliases=aliases
        )
        assert (answer.taken, answer.repeated, answer.refused) == (2, 1, ())
        assert sources(samples)["b"].contradicts_others == 0

    def test_how_labels_come_is_told_of_where_the_last_ones_came(self, samples: SampleStore) -> None:
        """Every fourth of the model's answers has one, 600 s later. Copies, directed labels and other models' answers
        are none of them, and nor are answers that came after the last label."""
        requests = [f"r{number}" for number in range(4 * ARRIVALS_MIN)]
        samples.add_predictions([live(one, at_s=1_000.0) for one in requests[:-4]])
        samples.add_predictions([shadow(one) for one in requests[:-4]])
        samples.add_predictions([live(f"other {one}", model="tone") for one in requests])
        truths = [truth(one, received_at_s=1_600.0) for one in requests[:-4:4]]
        samples.add_labels([*truths[:-1], truth(requests[1], directed=True, received_at_s=9_000.0)])
        assert samples.labelled("intent") is None
        samples.add_predictions([live(one, at_s=1_000.0) for one in requests[-4:]])
        samples.add_labels([truths[-1], truth(requests[-4], received_at_s=1_600.0)])
        found = samples.labelled("intent")
        assert found is not None
        assert found.ratio == pytest.approx(0.25, rel=0.05)
        assert found.delay_s == 600.0
        assert samples.labelled("tone") is None
        assert samples.labelled("nothing") is None

    def test_only_the_last_labels_tell_how_labels_come(self, samples: SampleStore) -> None:
        many = [f"r{number}" for number in range(2 * ARRIVALS_MAX)]
        samples.add_predictions([live(one, at_s=1_000.0) for one in many])
        samples.add_labels([truth(one, received_at_s=9_000.0) for one in many[:ARRIVALS_MAX]])
        samples.add_labels([truth(one, received_at_s=1_060.0) for one in many[ARRIVALS_MAX:]])
        found = samples.labelled("intent")
        assert found is not None
        assert (found.ratio, found.delay_s) == (1.0, 60.0)

    def test_labels_of_requests_that_nobody_sampled_are_counted(self, samples: SampleStore) -> None:
        """Once they have had time to meet their sample; those of other models' requests have met theirs."""
        samples.add_predictions([live("a", inclusion_probability=0.5), live("m", model="tone")])
        samples.add_labels([truth(request, received_at_s=90.0) for request in ("a", "m", "x", "y")])
        samples.add_labels([truth("later", received_at_s=101.0)])
        (source,) = samples.since("intent", "6", "7", START, settled_before_s=100.0).label_sources
        assert (source.settled, source.unmatched, source.expected_matched) == (4, 2, 2.0)
        samples.add_predictions([shadow("x")])
        (source,) = samples.since("intent", "6", "7", START, settled_before_s=100.0).label_sources
        assert source.unmatched == 1

    @pytest.mark.parametrize("together", [False, True])
    def test_a_label_that_names_no_class_gives_way_to_one_that_does(self, samples: SampleStore, together: bool) -> None:
        """Whoever says it then disputes nothing: nothing had been said. It does so once a look was made, too."""
        samples.add_predictions([live("a"), shadow("a", "invoice")])
        first, second = truth("a", "unsure", source="bot"), truth("a")
        start = START
        if together:
            samples.add_labels([first, second])
        else:
            samples.add_labels([first])
            start = named(samples).cursor
            samples.add_labels([second])
        found = named(samples, start)
        assert [pair.truth for pair in found.pairs] == ["refund"]
        assert found.stable_labels == LabelCounts(1, 0)
        by_name = {one.source: one for one in found.label_sources}
        assert (by_name["people"].labelled, by_name["people"].contradicts_others) == (1, 0)
        assert all(one.unknown == 0 for one in found.label_sources)

    def test_a_label_that_was_judged_by_an_alias_gives_way_to_none(self, samples: SampleStore) -> None:
        """What a look has read as a class stays the truth, whatever its name means later."""
        samples.add_predictions([live("a"), shadow("a", "invoice")])
        samples.add_labels([truth("a", "REFUND", source="bot")])
        first = named(samples, aliases={"REFUND": "refund"})
        samples.add_labels([truth("a", "invoice")])
        assert sources(samples)["people"].contradicts_others == 1
        assert named(samples, first.cursor).pairs == ()

    def test_sources_beyond_the_twentieth_are_summed_by_token(self, samples: SampleStore) -> None:
        """Those that name no class are told before the busiest; each label counts in exactly one of what is told."""
        requests = [f"r{n}" for n in range(61)]
        samples.add_predictions([live(request) for request in requests])
        said = [truth(request, source=f"desk/agent{n // 2:02d}") for n, request in enumerate(requests)]
        samples.add_labels([*said[:60], truth("r60", "REFUND", source="team")])
        found = named(samples).label_sources
        by_name = {one.source: one for one in found}
        assert (by_name["team"].unknown, by_name["desk/(others)"].labelled, len(found)) == (1, 22, 21)
        assert sum(one.labelled for one in found) == sum(one.settled for one in found) == 61

    def test_whom_a_source_contradicts_is_counted_with_it(self, samples: SampleStore) -> None:
        """Few labels of one who corrects are held against all labels of those that it corrects."""
        samples.add_predictions([live(f"r{n}") for n in range(9)])
        samples.add_labels([truth(f"r{n}", source="bot") for n in range(9)])
        samples.add_labels([truth("r1", "invoice"), truth("r2", "invoice")])
        found = sources(samples)
        assert (found["people"].contradicts_others, found["people"].others_labels) == (2, 9)
        assert (found["bot"].contradicts_others, found["bot"].others_labels) == (0, 0)

    def test_a_tag_that_no_request_carries_is_told(self, samples: SampleStore) -> None:
        """With the slice that is there and written otherwise; a value that is only rare is no mistake."""
        names = ("lang:EN", "lang:xh", "channel:app", "region:eu", "class:refund")
        samples.add_predictions([live(f"r{n}", tags={"lang": "en", "chanel": "app"}) for n in range(199)])
        assert samples.since("intent", "6", "7", START, slices=names).unseen_slices == ()
        samples.add_predictions([live("last", tags={"lang": "en"})])
        assert samples.since("intent", "6", "7", START, slices=names).unseen_slices == (
            UnseenSlice("lang:EN", 200, "lang:en"),
            UnseenSlice("channel:app", 200, "chanel:app"),
            UnseenSlice("region:eu", 200),
        )

    def test_the_first_source_says_the_truth(self, samples: SampleStore) -> None:
        """A second source that sees it otherwise is kept, and changes no evidence: none is ever counted twice."""
        samples.add_labels([truth("a")])
        assert samples.add_labels([truth("a", "invoice", source="a second look")]).taken == 1
        samples.add_predictions([live("a"), shadow("a")])
        assert [pair.truth for pair in evidence(samples).pairs] == ["refund"]
        assert evidence(samples).stable_labels == LabelCounts(labelled=1, wrong=0)

    def test_a_cursor_reads_each_thing_once(self, samples: SampleStore) -> None:
        """Looks follow each other without a gap and without an overlap, also when labels come late."""
        samples.add_predictions([live("a"), shadow("a"), live("b"), shadow("b", "invoice")])
        first = evidence(samples)
        assert (first.pairs_agreed, first.pairs_disagreed, len(first.pairs)) == (1, 1, 0)
        samples.add_labels([truth("b")])
        second = evidence(samples, first.cursor)
        assert (second.pairs_agreed, second.pairs_disagreed, len(second.pairs)) == (0, 0, 1)
        assert second.stable_labels == LabelCounts(labelled=1, wrong=0)
        third = evidence(samples, second.cursor)
        assert (third.pairs, third.stable_labels, third.cursor) == ((), LabelCounts(0, 0), second.cursor)
        assert evidence(samples, first.cursor) == second

    def test_a_release_that_starts_now_begins_where_things_stand(self, samples: SampleStore) -> None:
        """What happened before a release is no evidence for it."""
        samples.add_predictions([live("a"), shadow("a")])
        samples.add_labels([truth("a")])
        start = samples.latest()
        samples.add_predictions([live("b"), shadow("b")])
        samples.add_labels([truth("b", "invoice")])
        found = evidence(samples, start)
        assert (found.pairs_agreed, [pair.truth for pair in found.pairs]) == (1, ["invoice"])
        assert found.stable_labels == LabelCounts(labelled=1, wrong=1)

    def test_disagreements_and_some_by_chance_are_asked_about_in_turn(self, samples: SampleStore) -> None:
        """The newest disagreements; and of all pairs one in ten by their texts' digests, whether they agree or not, for
        calibration cannot be told from agreeing ones alone. Never a labelled one."""
        digests = ["0c", "f1", "0a", "f3", "f4", "0b", "f6"]
        labels = ["refund", "invoice", "refund", "invoice", "invoice", "invoice", "refund"]
        for number, (digest, label) in enumerate(zip(digests, labels, strict=True)):
            request = f"r{number}"
            samples.add_predictions([live(request, text_digest=digest), shadow(request, label, text_digest=digest)])
        samples.add_labels([truth("r3")])
        assert requests(samples) == ["r4", "r2", "r1", "r5", "r0"]
        assert requests(samples, limit=1) == ["r4"]
        assert requests(samples, limit=3) == ["r4", "r2", "r1"]
        kinds = [(one.disagree, one.directed) for one in asked(samples)]
        assert kinds == [(True, True), (False, False), (True, True), (True, False), (False, False)]
        first = asked(samples, 1)[0]
        assert (first.answers, first.text) == ({"6": "refund", "7": "invoice"}, None)
        assert list(samples.label_requests("tone", "6", "7", first_pair=0, limit=5)) == []

    def test_a_request_carries_its_text_where_one_was_kept(self, samples: SampleStore) -> None:
        """Without the text a person needs the request id to find it; with it, the task is complete."""
        samples.add_predictions([live("a"), shadow("a", "invoice", text="where is my money")])
        assert asked(samples)[0].text == "where is my money"

    def test_what_the_candidate_served_is_asked_about_too(self, samples: SampleStore) -> None:
        """The newest disagreement first, whoever was live."""
        samples.add_predictions([live("a"), shadow("a", "invoice")])
        samples.add_predictions([live("b", version="7"), shadow("b", "invoice", version="6")])
        assert [(one.request_id, one.answers) for one in asked(samples)] == [
            ("b", {"6": "invoice", "7": "refund"}),
            ("a", {"6": "refund", "7": "invoice"}),
        ]

    def test_only_the_versions_that_are_compared_now_are_asked_about(self, samples: SampleStore) -> None:
        """Labels for another release help nobody."""
        samples.add_predictions([live("old", version="5"), shadow("old", "invoice", version="6")])
        samples.add_predictions([live("a"), shadow("a", "invoice")])
        samples.add_predictions([live("new", version="7"), shadow("new", "invoice", version="8")])
        assert requests(samples) == ["a"]

    def test_a_label_that_came_first_is_not_asked_for(self, samples: SampleStore) -> None:
        """A pair that completes after its label is labelled from the start."""
        samples.add_labels([truth("a")])
        samples.add_predictions([live("a"), shadow("a", "invoice")])
        assert requests(samples) == []

    def test_a_pair_belongs_to_the_slices_that_stable_and_the_client_say(self, samples: SampleStore) -> None:
        """By the class that stable predicted, the text's tokens, and what the client said of its request; whoever was
        live."""
        tags = {"lang": "en", "channel": "app"}
        samples.add_predictions([live("a", tokens=5, tags=tags), shadow("a", "invoice", tokens=9, tags=tags)])
        samples.add_predictions([live("b", "invoice", version="7", tokens=50), shadow("b", version="6", tokens=40)])
        samples.add_predictions([live("c", "invoice"), shadow("c", "invoice")])
        samples.add_labels([truth("a"), truth("b")])
        names = ("class:refund", "tokens:1-40", "tokens:41-", "lang:en", "lang:de")
        found = samples.since("intent", "6", "7", START, slices=names)
        assert found.slice_pairs == (
            SlicePairs("class:refund", 0, 2),
            SlicePairs("tokens:1-40", 0, 2),
            SlicePairs("tokens:41-", 0, 0),
            SlicePairs("lang:en", 0, 1),
            SlicePairs("lang:de", 0, 0),
        )
        assert [pair.slices for pair in found.pairs] == [
            ("class:refund", "tokens:1-40", "lang:en"),
            ("class:refund", "tokens:1-40"),
        ]
        turned = samples.since("intent", "7", "6", START, slices=("class:refund", "tokens:41-"))
        assert turned.slice_pairs == (SlicePairs("class:refund", 0, 0), SlicePairs("tokens:41-", 0, 1))
        assert (evidence(samples).slice_pairs, evidence(samples).pairs[0].slices) == ((), ())

    def test_many_pairs_are_counted_by_slice_whatever_they_have(self, samples: SampleStore) -> None:
        """Lengths at each bound and between them, none, and tags in several spellings of the same two."""
        for number, tokens in enumerate((1, 40, 41, 80, 81, 500, None)):
            for tag in ({"lang": "en"}, {"lang": "en", "channel": "app"}, {}):
                request, agrees = f"{number}-{len(tag)}", tokens is not None and tokens < 81
                answer = "refund" if agrees else "invoice"
                samples.add_predictions(
                    [live(request, tokens=tokens, tags=tag), shadow(request, answer, tokens=tokens, tags=tag)]
                )
        names = ("tokens:1-40", "tokens:41-80", "tokens:81-", "tokens:40-41", "lang:en", "channel:app", "class:refund")
        assert samples.since("intent", "6", "7", START, slices=names).slice_pairs == (
            SlicePairs("tokens:1-40", 6, 0),
            SlicePairs("tokens:41-80", 6, 0),
            SlicePairs("tokens:81-", 0, 6),
            SlicePairs("tokens:40-41", 6, 0),
            SlicePairs("lang:en", 8, 6),
            SlicePairs("channel:app", 4, 3),
            SlicePairs("class:refund", 12, 9),
        )

    def test_the_last_answers_tell_what_slices_are_told_by(self, samples: SampleStore) -> None:
        """Of the version's live answers, the newest first."""
        samples.add_predictions([live("a", tokens=5, tags={"lang": "en"}), shadow("a", "invoice")])
        samples.add_predictions([live("b", "invoice"), live("c", version="7")])
        found = [(one.stable_label, one.tokens, dict(one.tags)) for one in samples.last_answers("intent", "6")]
        assert found == [("invoice", None, {}), ("refund", 5, {"lang": "en"})]
        assert list(samples.last_answers("other", "6")) == []

    def test_live_answers_are_counted_by_class_and_confidence(self, samples: SampleStore) -> None:
        """Of each version apart, each once; what was mirrored is nobody's traffic."""
        samples.add_predictions([live("a", confidence=0.0), live("b", confidence=0.75), shadow("a"), shadow("b")])
        first = evidence(samples)
        samples.add_predictions([live("c", "invoice", confidence=1.0), live("d", version="7", confidence=0.3)])
        samples.add_predictions([live("e", model="tone")])
        second = evidence(samples, first.cursor)
        assert dict(first.stable_answers.classes) == {"refund": 2}
        assert first.stable_answers.confidence_counts == (1, 0, 0, 0, 0, 0, 0, 1, 0, 0)
        assert (dict(first.candidate_answers.classes), sum(first.candidate_answers.confidence_counts)) == ({}, 0)
        assert dict(second.stable_answers.classes) == {"invoice": 1}
        assert second.stable_answers.confidence_counts == (0, 0, 0, 0, 0, 0, 0, 0, 0, 1)
        assert second.candidate_answers.confidence_counts[3] == 1
        assert evidence(samples, second.cursor).stable_answers.classes == {}

    def test_a_reference_is_what_the_version_answered_before(self, samples: SampleStore) -> None:
        """Its own answers to users, from the time asked for up to the cursor, whatever blocks they come in."""
        samples.add_predictions([live("old", at_s=10.0)])
        samples.add_predictions([live(f"r{number}", tokens=number, at_s=50.0) for number in range(20)])
        samples.add_predictions([live("i", "invoice"), live("c", version="7"), shadow("a"), live("m", model="tone")])
        cursor = samples.latest()
        samples.add_predictions([live("later")])
        blocks = samples.reference("intent", "6", cursor, since_s=40.0, token_edges=(4, 16))
        assert sum(block.classes.get("refund", 0) for block in blocks) == 20
        assert sum(block.classes.get("invoice", 0) for block in blocks) == 1
        assert sum(block.confidence_counts[7] for block in blocks) == 21
        tokens = [sum(block.token_counts[place] for block in blocks) for place in range(3)]
        assert tokens == [5, 12, 3]
        assert samples.reference("intent", "6", cursor, since_s=60.0, token_edges=()) == ()
        assert samples.reference("intent", "9", cursor, since_s=0.0, token_edges=()) == ()
