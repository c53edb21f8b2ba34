"""Labels of requests that nobody sampled are no labels: a source that uses ids of its own is told so."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from controller.core.release import Phase
from gates.outcome import Outcome
from tests.controller.service import GOOD
from tests.controller.world import POLICY, World
from tests.lessons.labelled import LabelledService
from tests.stores import new_store

pytestmark = pytest.mark.integration


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    store = new_store(f"sqlite:///{tmp_path}/serin.db")
    world = World(tmp_path, policy=replace(POLICY, deadline_s=200.0), service=partial(LabelledService, store))
    world.service.requests_per_s = 30
    world.service.labelled = 0.5
    yield world.given(candidate=GOOD)
    store.close()


def test_a_source_with_ids_of_its_own_is_an_error_that_says_so(world: World) -> None:
    """After a grace, since samples may come later than labels; it holds, and neither promotes nor blames."""
    world.service.asks = lambda request: f"ticket {request}"
    world.when_phase(Phase.SHADOW).when(lambda: world.release.looks > 2)
    assert world.release.verdicts["accuracy.shadow"].outcome is Outcome.INCONCLUSIVE
    world.when_settled()
    assert (world.release.phase, world.release.blamed) == (Phase.HELD, ())
    verdict = world.release.verdicts["accuracy.shadow"]
    assert verdict.outcome is Outcome.ERROR
    assert "'helpdesk' names no request that was sampled" in verdict.reason
    assert "x-request-id" in verdict.reason


def test_labels_of_requests_that_were_not_sampled_are_normal(world: World) -> None:
    """One answer in five is sampled, and every request is labelled: four labels of five match nothing."""
    numbers = iter(range(10**6))
    world.service.asks = lambda request: request if next(numbers) % 5 == 0 else f"unsampled {request}"
    world.when_time_passes(200)
    assert world.release.verdicts["accuracy.shadow"].outcome is not Outcome.ERROR
    (source,) = world.release.label_sources
    assert source.unmatched > 0.7 * source.settled > 0
