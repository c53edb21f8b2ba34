"""A slice that no request can belong to guards nothing: its gate says so, and names the one that was meant."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from controller.core.release import Phase
from gates.outcome import Outcome
from gates.policy import SliceAccuracyPolicy, SlicePolicy
from tests.controller.service import GOOD
from tests.controller.world import GATES, POLICY, World
from tests.lessons.labelled import LabelledService
from tests.stores import new_store

pytestmark = pytest.mark.integration

REQUIRED = SliceAccuracyPolicy(margin_points=9.0, required=True)


def started(tmp_path: Path, *slices: SlicePolicy) -> Iterator[World]:
    store = new_store(f"sqlite:///{tmp_path}/serin.db")
    policy = replace(POLICY, deadline_s=150.0, gates=replace(GATES, slices=slices))
    world = World(tmp_path, policy=policy, service=partial(LabelledService, store))
    world.service.requests_per_s = 30
    world.service.tags = {"lang": "en"}
    yield world.given(candidate=GOOD)
    store.close()


@pytest.fixture
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    yield from started(tmp_path, *request.param)


SLICES = [SlicePolicy("class:Refund"), SlicePolicy("lang:EN"), SlicePolicy("region:eu"), SlicePolicy("lang:xh")]


@pytest.mark.parametrize("world", [SLICES], indirect=True)
def test_each_is_an_error_of_its_gate_and_a_rare_one_is_not(world: World) -> None:
    """By class at the first look, by tag once enough requests have been seen; they stop nothing that needs them not."""
    world.when_phase(Phase.SHADOW).when(lambda: world.release.looks > 6)
    verdicts = {name: world.release.verdicts[f"accuracy.shadow[{name.name}]"] for name in SLICES}
    outcomes = {part.name: verdict.outcome for part, verdict in verdicts.items()}
    assert outcomes == {
        "class:Refund": Outcome.ERROR,
        "lang:EN": Outcome.ERROR,
        "region:eu": Outcome.ERROR,
        "lang:xh": Outcome.INCONCLUSIVE,
    }
    reasons = {part.name: verdict.reason for part, verdict in verdicts.items()}
    assert "did you mean 'class:refund'?" in reasons["class:Refund"]
    assert "did you mean 'lang:en'?" in reasons["lang:EN"]
    assert all(verdict.advisory for verdict in verdicts.values())


@pytest.mark.parametrize("world", [[SlicePolicy("class:Refund", REQUIRED)]], indirect=True)
def test_a_required_one_holds_the_release(world: World) -> None:
    """Whoever asked for the proof of a part does not get a promotion without it."""
    world.when_settled()
    assert (world.release.phase, world.release.blamed) == (Phase.HELD, ())
    assert "there is no slice 'class:Refund'" in world.release.reason


@pytest.mark.parametrize("world", [[SlicePolicy("class:refund")]], indirect=True)
def test_what_nobody_named_is_watched_from_when_enough_was_answered(world: World) -> None:
    """The classes that stable predicts, but for the one that the policy names; a tag that all requests carry is no part
    of them. Chosen once, by what was answered; their pairs are in the look that is recorded."""
    world.when_phase(Phase.SHADOW).when(lambda: world.release.looks > 6)
    chosen = world.release.cursors.watched_slices
    assert chosen is not None
    assert {name for name in chosen if name.startswith("class:")} == {"class:cancel", "class:track"}
    assert "lang:en" not in chosen
    reason = world.release.verdicts["accuracy.slices"].reason
    assert f"{len(chosen)} slices and 3 true classes are watched" in reason
