"""More answers than anybody asked for are no evidence: the release waits, and nobody is blamed."""

from dataclasses import replace
from pathlib import Path

import pytest

from controller.core.commands import Ask
from controller.core.release import Phase
from gates.evidence import Answer, LabelledPair
from tests.controller.service import GOOD, LESS_ACCURATE
from tests.controller.world import POLICY, World

IMPATIENT = replace(POLICY, deadline_s=400.0)
RIGHT = Answer("refund", 0.9, 0.02)


def forge(world: World, pairs: int) -> None:
    """Pairs that speak for the candidate, with labels, as somebody may send who can write predictions."""
    samples = world.service.samples
    samples.pairs += [("6", "7", True)] * pairs
    samples.labelled_pairs += [("6", "7", LabelledPair("refund", RIGHT, RIGHT))] * pairs
    samples.answers += [("6", RIGHT)] * pairs


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, policy=IMPATIENT)


def test_made_up_answers_hold_a_release_and_promote_nothing(world: World) -> None:
    """A worse candidate, for which somebody sends more pairs than requests were mirrored, look after look."""
    world.given(candidate=LESS_ACCURATE).when_phase(Phase.SHADOW)
    for _ in range(3):
        forge(world, 6_000)
        world.when_time_passes(10)
    said = world.release.faults["predictions"]
    assert "somebody sends answers that nobody asked for" in said
    assert "the gateway counted" in said
    world.when_settled()
    assert (world.weights, world.release.blamed) == ({"v6": 100}, ())


def test_true_answers_are_no_fault_however_late_their_counts_come(world: World) -> None:
    """The metrics are away for a while, and what was sampled meanwhile is held against nothing old."""
    world.given(candidate=GOOD).when_phase(Phase.CANARY)
    world.service.metrics.away = "connection refused"
    world.when_time_passes(60)
    assert "predictions" not in world.release.faults
    world.service.metrics.away = None
    world.when_settled()
    noted = [it.entry for it in world.journal.entries(world.release.id) if it.entry.kind == "FaultNoted"]
    assert noted
    assert not [entry for entry in noted if entry.payload["source"] == "predictions"]


def test_what_was_sampled_while_we_started_versions_again_is_held_against_nothing(world: World) -> None:
    """The gateway's counts of that time are left out, so the answers of it have none: after a power cut in a canary
    "1,234 pairs came in and the gateway counted 781 requests for them" held a good release for minutes."""
    world.given(candidate=GOOD).when_phase(Phase.CANARY).when_time_passes(20)
    world.deployments.restart()
    world.when_time_passes(10)
    assert "Serin restarted versions" in world.release.faults["gateway"]
    forge(world, 60_000)
    world.when_time_passes(10)
    world.when_settled()
    assert (world.weights, contradictions(world)) == ({"v7": 100}, [])


def contradictions(world: World) -> list[object]:
    noted = [it.entry for it in world.journal.entries(world.release.id) if it.entry.kind == "FaultNoted"]
    return [entry.payload["reason"] for entry in noted if "the gateway counted" in str(entry.payload["reason"])]


def test_a_gateway_that_cannot_be_read_at_first_contradicts_nobody(world: World) -> None:
    """The replicas' counts and the samples began before it: the sums begin with the first look that all told."""

    def away_from_its_first_reading_on(call: str) -> None:
        if call.endswith("metrics.gateway"):
            world.service.metrics.gateway_away = "connection refused"

    world.interrupt = away_from_its_first_reading_on
    world.given(candidate=GOOD).when_phase(Phase.SHADOW).when_time_passes(100)
    assert world.release.looks > 3
    assert world.release.cursors.gateway is None
    world.interrupt = lambda _: None
    world.service.metrics.gateway_away = None
    world.when_time_passes(60)
    assert contradictions(world) == []
    assert world.release.faults == {}


def held_for_a_minute(world: World) -> None:
    """No label comes, so that nothing is settled by the deadline."""
    world.service.labelled = 0.0
    world.given(candidate=GOOD).when_settled()
    assert world.release.phase is Phase.HELD
    world.when_time_passes(60)


def test_answers_of_a_hold_are_held_against_no_requests_that_a_new_gateway_did_not_see(world: World) -> None:
    """Users were served all along, and Envoy began anew meanwhile: their samples are no made-up ones."""
    held_for_a_minute(world)
    world.service.samples.answers += [("6", RIGHT)] * 40_000
    world.when_asked(Ask.RESUME).when_time_passes(60)
    assert world.release.phase is Phase.SHADOW
    assert contradictions(world) == []


def test_pairs_made_up_during_a_hold_are_found(world: World) -> None:
    """Nothing is mirrored meanwhile, so none can have come in."""
    held_for_a_minute(world)
    forge(world, 40_000)
    world.when_asked(Ask.RESUME).when_time_passes(60)
    assert any("pairs of answers came in" in str(reason) for reason in contradictions(world))
