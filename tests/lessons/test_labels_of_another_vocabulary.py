"""Labels that call classes by other names tell nothing of the versions, until a policy says what the names mean.

Counted as "both wrong", they let a candidate that takes two classes for each other through with flying colours.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from controller.core.events import Looked
from controller.core.release import Phase
from controller.journal.codec import event_of
from controller.offline.evidence_file import RecordedLook, line_of, looks_of, parse_line
from controller.offline.replay import judge
from gates.outcome import Outcome
from tests.controller.service import CLASSES, GOOD
from tests.controller.world import POLICY, World
from tests.lessons.labelled import LabelledService
from tests.stores import new_store

pytestmark = pytest.mark.integration

OF_LABELS = ("accuracy.shadow", "calibration.shadow")
VOCABULARIES: dict[str, Callable[[str], str]] = {
    "Title": str.title,
    "numbers": lambda name: str(10 + CLASSES.index(name)),
}


@pytest.fixture
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    """Its deadline, in seconds, may be a test's parameter."""
    store = new_store(f"sqlite:///{tmp_path}/serin.db")
    policy = replace(POLICY, deadline_s=getattr(request, "param", 900.0))
    world = World(tmp_path, policy=policy, service=partial(LabelledService, store))
    world.service.requests_per_s = 30
    world.service.labelled = 0.5
    yield world.given(candidate=GOOD)
    store.close()


@pytest.mark.parametrize("world", [200.0], indirect=True)
@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_they_never_promote_a_candidate_that_swaps_two_classes(world: World, vocabulary: str) -> None:
    """Every gate that reads labels is an error from the first label on; no user meets the candidate; it is held."""
    world.service.says = VOCABULARIES[vocabulary]
    world.service.swapped = {"7"}
    world.when_settled()
    assert (world.release.phase, world.weights) == (Phase.HELD, {"v6": 100})
    assert Phase.CANARY not in world.report.phases
    for gate in OF_LABELS:
        verdict = world.release.verdicts[gate]
        assert verdict.outcome is Outcome.ERROR
        assert "'helpdesk' names no class of either version" in verdict.reason
    if vocabulary != "numbers":
        assert f"{VOCABULARIES[vocabulary](CLASSES[0])!r}" in world.release.verdicts["accuracy.shadow"].reason
        assert f"(perhaps {CLASSES[0]!r})" in world.release.verdicts["accuracy.shadow"].reason


@pytest.mark.parametrize("world", [200.0], indirect=True)
def test_they_never_blame_a_good_candidate(world: World) -> None:
    """And the recorded looks say why: judged again they are the same errors."""
    world.service.says = str.upper
    world.when_settled()
    assert (world.release.phase, world.release.blamed) == (Phase.HELD, ())
    looks = [parse_line(line_of(look)) for look in looks_of(world.journal.entries(world.release.id))]
    *_, last = judge(world.policy, [look for look in looks if isinstance(look, RecordedLook)])
    assert {verdict.gate: verdict for verdict in last.verdicts} == {
        gate: world.release.verdicts[gate] for gate in (verdict.gate for verdict in last.verdicts)
    }
    assert last.outcome is Outcome.ERROR


def test_with_label_names_a_candidate_that_swaps_two_classes_is_rolled_back(world: World) -> None:
    """Once the names mean something, so do the labels."""
    world.service.says = str.upper
    world.service.swapped = {"7"}
    world.policy = replace(world.policy, label_names={name.upper(): name for name in CLASSES})
    world.controller = world._start_controller()
    world.when_settled()
    assert (world.release.phase, world.weights) == (Phase.ROLLED_BACK, {"v6": 100})
    assert world.report.blames("accuracy")


@pytest.mark.parametrize("swapped", [True, False], ids=["swapped", "good"])
def test_names_that_are_given_on_the_way_judge_what_came_before(world: World, *, swapped: bool) -> None:
    """The error ends with the look that knows the names, and the labels of all looks before count, once."""
    world.service.says = str.upper
    world.service.swapped = {"7"} if swapped else set()
    world.when_phase(Phase.SHADOW).when(lambda: world.release.looks > 8)
    assert world.release.verdicts["accuracy.shadow"].outcome is Outcome.ERROR
    world.service.labelled = 0.0  # all that counts has come, but for what is on its way
    world.policy = replace(world.policy, label_names={name.upper(): name for name in CLASSES})
    world.controller = world._start_controller()
    world.when_time_passes(20)
    judged = world.release.verdicts["accuracy.shadow"]
    assert judged.outcome is (Outcome.FAIL if swapped else judged.outcome)
    assert judged.outcome is not Outcome.ERROR
    assert judged.samples > 100
    looks = [event_of(one.entry) for one in world.journal.entries(world.release.id) if one.entry.kind == "Looked"]
    assert sum(len(event.look.pairs) for event in looks if isinstance(event, Looked)) == judged.samples


def test_names_that_go_and_come_back_count_nothing_twice(world: World) -> None:
    """A policy file that was moved away for a few looks, and back: what was read stays read."""
    world.service.says = str.upper
    known = replace(world.policy, label_names={name.upper(): name for name in CLASSES})
    without = world.policy
    world.policy = known
    world.controller = world._start_controller()
    world.when_phase(Phase.SHADOW).when(lambda: world.release.looks > 5)
    world.service.labelled = 0.0
    world.when_time_passes(20)  # all that is on its way has come
    read = world.release.verdicts["accuracy.shadow"].samples
    for policy in (without, known):
        world.policy = policy
        world.controller = world._start_controller()
        world.when_time_passes(20)
    assert world.release.verdicts["accuracy.shadow"].samples == read > 0


def test_labels_that_come_while_the_names_are_away_count_once_they_are_back(world: World) -> None:
    """No look could read them, and none has judged them: a policy file that is moved away for a while loses nothing."""
    world.service.says = str.upper
    known = replace(world.policy, label_names={name.upper(): name for name in CLASSES})
    without = replace(world.policy, label_names={})
    world.policy = known
    world.controller = world._start_controller()
    world.when_phase(Phase.SHADOW).when(lambda: world.release.looks > 5)
    read = world.release.verdicts["accuracy.shadow"].samples
    world.policy = without
    world.controller = world._start_controller()
    world.when_time_passes(20)
    away = world.release.label_sources[0].labelled
    world.service.labelled = 0.0
    world.policy = known
    world.controller = world._start_controller()
    world.when_time_passes(20)
    judged = world.release.verdicts["accuracy.shadow"].samples
    assert judged >= away > read + 60 > 60


def test_the_error_ends_once_the_source_says_it_right(world: World) -> None:
    """A feed that was mended needs nothing else; a good candidate goes its way."""
    world.service.says = str.upper
    world.when_phase(Phase.SHADOW).when(lambda: world.release.looks > 5)
    assert world.release.verdicts["accuracy.shadow"].outcome is Outcome.ERROR
    world.service.says = str
    world.when_settled()
    assert world.report.phases[-1] is Phase.PROBATION


def test_a_few_slips_of_the_pen_stop_nothing(world: World) -> None:
    """They are no evidence, and they are counted; the rest is judged."""
    slips = iter(range(10**6))
    world.service.says = lambda name: name.upper() if next(slips) % 300 == 150 else name
    world.when_settled()
    assert world.report.phases[-1] is Phase.PROBATION
    (source,) = world.release.label_sources
    assert 0 < source.unknown <= 0.005 * source.labelled
