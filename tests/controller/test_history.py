"""What a promoted release found of how the service's events come is what the next one begins with."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest

from controller.core.events import Looked
from controller.core.release import TERMINAL, GateState, Phase, Release
from controller.errors import PermanentError
from controller.journal.codec import event_of, record_of, release_of
from controller.loop.history import History
from gates.codec import encode
from gates.evidence import Earlier, Look
from gates.stats.spread import Spread
from tests.controller.service import ERRORING, GOOD
from tests.controller.world import World

TOLD = Earlier("errors.live", 2.5)  # half of what was above 1


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path).given(candidate=GOOD)


def looks(world: World, release: str) -> list[Look]:
    events = (event_of(recorded.entry) for recorded in world.journal.entries(release))
    return [event.look for event in events if isinstance(event, Looked)]


def found_of(release: Release, effect: float) -> Release:
    """The release as if errors had come so many at a time in it."""
    assert release.gate_state is not None
    document = copy.deepcopy(release.gate_state.document)
    document["gates"]["errors.live"]["state"]["spread"] = encode(Spread().expecting(effect))
    return replace(release, gate_state=GateState(release.gate_state.schema, document))


def rewritten(world: World, effect: float) -> None:
    """As the release's last snapshot would be, had errors come so many at a time."""
    release = found_of(world.release, effect)
    record = world.journal.release(release.id)
    assert record is not None
    world.journal.rewrite(record_of(release, record.sequence))


def test_the_next_release_begins_with_what_the_promoted_one_found(world: World) -> None:
    first = world.when_phase(Phase.PROMOTED).release
    assert looks(world, first.id)[0].earlier == ()
    rewritten(world, 4.0)
    world.given_candidate("v8", GOOD).when(lambda: world.release.id != first.id and world.release.looks > 2)
    second = world.release
    told = [look.earlier for look in looks(world, second.id)]
    assert all(TOLD in one for one in told[:10])
    assert not any(told[10:])
    assert second.gate_state is not None
    assert second.gate_state.document["gates"]["errors.live"]["state"]["spread"]["known"] == 2.5


def test_an_incident_of_one_release_does_not_hold_those_that_follow(world: World) -> None:
    """Outages of stable in five looks count as hundreds of errors at a time."""
    world.when_phase(Phase.PROMOTED)
    rewritten(world, 389.0)
    assert Earlier("errors.live", 10.0) in History(world.journal).earlier("intent")
    rewritten(world, 1.08)
    assert not History(world.journal).earlier("intent")


def test_of_a_release_that_was_rolled_back_nothing_is_taken(tmp_path: Path) -> None:
    world = World(tmp_path).given(candidate=ERRORING).when_settled()
    assert world.release.phase in TERMINAL
    rewritten(world, 4.0)
    assert History(world.journal).earlier("intent") == ()


def test_a_snapshot_that_cannot_be_read_keeps_no_release_from_beginning(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.when_phase(Phase.PROMOTED)
    record = world.journal.release(world.release.id)
    assert record is not None
    world.journal.rewrite(replace(record, state='{"id": 3}'))
    with pytest.raises(PermanentError):
        release_of(replace(record, state='{"id": 3}'))
    assert History(world.journal).earlier("intent") == ()
    assert "begins without what earlier ones found" in caplog.text
