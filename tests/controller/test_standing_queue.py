"""The standing queue: how texts are chosen, and when it is what the interface hands out."""

import random

import pytest

from controller.core.release import Cursors, Phase
from controller.journal.codec import record_of
from controller.ports.journal import Entry
from controller.ports.standing import Answered, chosen
from serving.contract import LABEL_REQUESTS_ROUTE
from tests.contracts.samples import live
from tests.controller.api_support import World, error_of
from tests.controller.releases import release_in


def answers(number: int) -> list[Answered]:
    """The last fifth is what the version is least sure of."""
    numbers = random.Random(7)
    sure = [0.9 if place < number * 0.8 else 0.4 for place in range(number)]
    return [
        Answered(str(i), f"{numbers.getrandbits(64):016x}", "refund", sure[i], labelled=False) for i in range(number)
    ]


def test_each_kind_is_chosen_as_likely_as_it_says() -> None:
    """One of ten of the sure texts, every second of the unsure ones."""
    found = chosen(answers(5_000), 5_000)
    unsure = [one for one, probability in found if probability == 0.5]
    assert {one.confidence for one in unsure} == {0.4}
    assert len(unsure) == pytest.approx(500, abs=70)
    assert len(found) - len(unsure) == pytest.approx(4_000 * 26 / 256, abs=80)


def test_any_first_part_holds_both_in_proportion() -> None:
    """Weighted by what they say, the texts that were labelled first tell of all texts."""
    first = chosen(answers(5_000), 300)
    weights = [1 / probability for _, probability in first]
    unsure = sum(1 / probability for one, probability in first if one.confidence == 0.4)
    assert len(first) == 300
    assert unsure / sum(weights) == pytest.approx(0.2, abs=0.05)


@pytest.fixture
def world() -> World:
    found = World()
    found.samples.add_predictions([live("a", text="help", text_digest="05aa")])
    return found


def begun(world: World, phase: Phase, **changes: object) -> None:
    release = release_in(phase, **changes)  # type: ignore[arg-type]
    world.journal.append(record_of(release, 1), [Entry("Started", 1.0, {})])


def handed_out(world: World, **query: object) -> object:
    return world.client("labels").get(LABEL_REQUESTS_ROUTE, params={"model": "intent", **query}).json()


@pytest.mark.parametrize("phase", [Phase.ROLLED_BACK, Phase.SUITE])
def test_the_version_that_serves_is_asked_about_without_a_release(world: World, phase: Phase) -> None:
    """After it, and while it does not yet look at samples."""
    begun(world, phase)
    (one,) = handed_out(world)["label_requests"]  # type: ignore[index]
    assert (one["request_id"], one["answers"], one["inclusion_probability"]) == ("a", {"6": "refund"}, 26 / 256)


def test_a_release_that_reads_samples_asks_for_its_own(world: World) -> None:
    """So that nothing is asked for twice."""
    begun(world, Phase.SHADOW, cursors=Cursors(first_pair=0))
    assert handed_out(world)["label_requests"] == []  # type: ignore[index]


def test_nothing_is_asked_for_where_nothing_serves(world: World) -> None:
    """No release ever began, or the model's first version was turned down."""
    assert handed_out(world)["label_requests"] == []  # type: ignore[index]
    begun(world, Phase.REJECTED, stable=None)
    assert handed_out(world)["label_requests"] == []  # type: ignore[index]


def test_it_comes_as_label_studio_imports_it(world: World) -> None:
    """A list of tasks, and an unknown format is refused."""
    begun(world, Phase.ROLLED_BACK)
    (task,) = handed_out(world, format="label-studio")  # type: ignore[misc]
    assert (task["data"], task["meta"]["serin_request_id"]) == ({"text": "help"}, "a")
    refused = world.client("labels").get(LABEL_REQUESTS_ROUTE, params={"model": "intent", "format": "csv"})
    assert error_of(refused)["field"] == "format"
