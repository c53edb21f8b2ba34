"""What one source tells is held against what another one does, without mistaking a delay for a contradiction."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from controller.core.release import Phase
from controller.loop.crosscheck import Arrived, contradictions, sampled, unpaired
from controller.ports.samples import AnswerCounts, SampleCursor, SampleEvidence
from gates.checks import GATEWAY, PREDICTIONS
from gates.evidence import Fault, LabelCounts
from tests.controller.service import GOOD, Service
from tests.controller.world import World

VERSIONS = ("6", "7")
FINE = {
    "asked 6": 5_000,
    "asked 7": 1_000,
    "answered 6": 5_000,
    "answered 7": 1_000,
    "copied 6": 1_000,
    "copied 7": 5_000,
}


def found(
    before: dict[str, int], now: dict[str, int] | None = None, captured: float = 1.0, copied: float = 1.0
) -> list[Fault]:
    latest = {**FINE, **before, **(now or {})}
    return list(contradictions(Arrived(before), Arrived(latest), VERSIONS, captured=captured, copied=copied))


def sources(faults: Iterable[Fault]) -> list[str]:
    return [fault.source for fault in faults]


def test_more_samples_than_requests_are_a_fault_of_the_predictions() -> None:
    """6,000 made-up pairs on a service of few requests: whose they are is named, and it says nothing of the model."""
    [fault] = found({"sampled 7": 6_000})
    assert fault.source == PREDICTIONS
    assert "6,000 live answers of version 7 came in, but the gateway counted 1,000 requests" in fault.reason
    assert "somebody sends answers that nobody asked for" in fault.reason
    assert sources(found({"paired": 9_000})) == [PREDICTIONS]


def test_pairs_are_held_against_copies_only_where_somebody_counts_these() -> None:
    """Istio counts no mirrored request where it is mirrored, and a replica that copies is no gateway."""
    untold = {name: more for name, more in FINE.items() if not name.startswith("copied ")}
    now = Arrived({**untold, "paired": 900})
    assert list(contradictions(Arrived({"paired": 900}), now, VERSIONS, captured=1.0)) == []


def test_the_share_that_is_sampled_counts() -> None:
    """At a tenth, 1,000 requests make about 100 samples: 400 are made up, 130 are chance."""
    assert sources(found({"sampled 7": 400}, captured=0.1)) == [PREDICTIONS]
    assert found({"sampled 7": 130}, captured=0.1) == []


def test_what_came_in_is_compared_with_requests_that_are_counted_later() -> None:
    """All samples are there and half of their requests are not counted yet: the next look counts them."""
    late = Arrived({**FINE, "sampled 6": 9_900, "asked 6": 5_000})
    assert list(contradictions(Arrived({"sampled 6": 5_000}), late, VERSIONS, captured=1.0)) == []


def test_a_request_with_many_texts_has_many_answers() -> None:
    """Each is a sample, and the replicas tell how many texts a request has."""
    assert found({"sampled 6": 20_000, "texts 6": 20_000, "answered 6": 5_000}) == []


def test_ids_that_no_request_had_never_pair() -> None:
    """Everything is mirrored and the other version never answered: only then."""
    assert sources(found({"to pair": 1_000}, {"to pair": 1_200, "of those paired": 100})) == [PREDICTIONS]
    assert found({"to pair": 1_000}, {"to pair": 1_200, "of those paired": 950}) == []
    assert found({"to pair": 100}, {"to pair": 150, "of those paired": 0}) == []


def test_only_what_was_sampled_while_everything_was_mirrored_has_to_pair() -> None:
    """The look in which mirroring began, and one after a hold, say nothing."""
    first = Arrived({"sampled 6": 500, "paired": 0}).on_pairs(Arrived({}), mirrored=True)
    assert first.of("to pair") == 0
    second = first.plus({"sampled 6": 400, "paired": 390}).on_pairs(first, mirrored=True)
    assert (second.of("to pair"), second.of("of those paired")) == (400, 390)
    held = second.plus({"sampled 6": 9_000}).on_pairs(second, mirrored=False)
    assert held.of("to pair") == 400
    again = held.plus({"sampled 6": 70, "paired": 60}).on_pairs(held, mirrored=True)
    assert again.of("to pair") == 400


def test_requests_that_the_gateway_never_saw_are_a_fault_of_the_gateway() -> None:
    """Another Envoy is scraped, or users come past it: its counts are not those of the users."""
    [fault] = found({"answered 6": 5_000}, {"asked 6": 10})
    assert fault.source == GATEWAY
    assert "another gateway is being scraped, or users bypass it" in fault.reason
    assert found({"answered 6": 5_000}, {"asked 6": 4_000}) == []


def test_texts_that_come_again_pair_like_any_others() -> None:
    """They are no further evidence, and were answered twice all the same: no ids that no request had."""
    answers = AnswerCounts({"refund": 400}, (400, *(0,) * 9))
    none = LabelCounts(0, 0)
    found = SampleEvidence((), 12, 0, none, none, SampleCursor(), (), answers, AnswerCounts({}, ()), paired=398)
    arrived = Arrived({"mirrored": 1, "paired": 0})
    for _ in range(3):
        arrived = arrived.plus(sampled(found, *VERSIONS)).on_pairs(arrived, mirrored=True)
    assert (arrived.of("to pair"), arrived.of("of those paired")) == (1_200, 1_194)
    assert list(contradictions(arrived, Arrived({**arrived.sums, **FINE}), VERSIONS, captured=1.0)) == []
    unknown = Arrived({"mirrored": 1})
    assert (
        unknown.plus(sampled(replace(found, paired=None), *VERSIONS)).on_pairs(unknown, mirrored=True).of("to pair")
        == 0
    )


def test_few_long_lists_make_more_of_chance() -> None:
    """A tenth of the requests is sampled, each with all of its texts: 2,000 requests, of which 20 hold 256 texts.

    Two of those are expected among the samples; seven come now and then, and make no contradiction.
    """
    texts = 1_980 + 20 * 256
    told = {"asked 6": 2_000, "answered 6": 2_000, "texts 6": texts}
    by_chance = 198 + 7 * 256
    assert found({**told, "sampled 6": by_chance}, captured=0.1) == []
    assert sources(found({**told, "sampled 6": 6_000}, captured=0.1)) == [PREDICTIONS]


def test_long_lists_hide_nothing_where_there_are_many_requests() -> None:
    """Chance grows with the root of what was asked: three times as many samples as can be are seen."""
    told = {"asked 6": 100_000, "answered 6": 100_000, "texts 6": 110_000}
    assert sources(found({**told, "sampled 6": 33_000}, captured=0.1)) == [PREDICTIONS]
    assert found({**told, "sampled 6": 12_000}, captured=0.1) == []


def test_the_version_that_stands_in_for_another_is_no_second_gateway() -> None:
    """In probation version 6 has no share; while 7 is away it answers what 7 was asked, and no more than that."""
    probation = {"asked 6": 0, "asked 7": 6_000, "answered 7": 5_000}
    assert found({**probation, "answered 6": 1_000, "sampled 6": 1_000}) == []
    assert sources(found({**probation, "answered 6": 3_000})) == [GATEWAY]
    assert sources(found({**probation, "answered 6": 1_000, "sampled 6": 3_000})) == [PREDICTIONS]


def test_copies_may_be_chosen_as_samples_are() -> None:
    """A half is copied, a quarter sampled, both by the request's id: all that is sampled is among the copies."""
    told = {"asked 6": 100_000, "copied 6": 0, "copied 7": 50_000}
    assert found({**told, "paired": 25_000}, captured=0.25, copied=0.5) == []
    assert sources(found({**told, "paired": 33_000}, captured=0.25, copied=0.5)) == [PREDICTIONS]
    assert found({**told, "copied 7": 10_000, "paired": 10_000}, captured=0.25, copied=0.1) == []
    assert sources(found({**told, "copied 7": 100_000, "paired": 33_000}, captured=0.25)) == [PREDICTIONS]


def pairs_missing(copies: int, pairs: int, sampled: int = 1_000) -> list[Fault]:
    """Of a service that answered 1,000 live requests."""
    before = {"answered 6": 1_000, "texts 6": 1_000, "sampled 6": sampled, "copies answered 7": copies, "paired": 0}
    return list(unpaired(Arrived(before), Arrived({**before, "paired": pairs}), VERSIONS))


def test_21_the_first_hundred_copies_share_their_request_id_with_a_live_answer() -> None:
    """Behaviour 21 of what must hold on Kubernetes: else the missing header is named, and it says nothing of the
    model."""
    [fault] = pairs_missing(100, 0)
    assert fault.source == PREDICTIONS
    assert fault.reason.startswith("PairsNotReady: 100 copies were answered")
    assert "x-request-id" in fault.reason
    assert pairs_missing(100, 96) == []
    assert pairs_missing(99, 0) == []


def test_21_as_many_copies_are_sampled_as_live_answers() -> None:
    """At a tenth, 500 copies make 50 samples: too few to say anything. 1,000 make 100."""
    assert pairs_missing(500, 0, sampled=100) == []
    assert sources(pairs_missing(1_000, 0, sampled=100)) == [PREDICTIONS]
    assert pairs_missing(1_000, 100, sampled=100) == []


class OtherIds(Service):
    """Copies get an id of their own, so that no answer of one meets that of its live request."""

    def _sample(self, live: str, shadow: str | None, difficulty: np.ndarray) -> None:  # noqa: ARG002 - it meets nobody
        super()._sample(live, None, difficulty)


def test_21_a_release_whose_copies_bear_other_ids_says_so(tmp_path: Path) -> None:
    """It waits in shadow, and nobody is blamed."""
    world = World(tmp_path, service=OtherIds).given(candidate=GOOD).when_phase(Phase.SHADOW)
    world.when(lambda: "x-request-id" in world.release.faults.get("predictions", ""), within_s=300.0)
    assert (world.release.phase, world.weights) == (Phase.SHADOW, {"v6": 100.0})
