"""Judging beside deciding: what cannot be judged or remembered keeps no deadline, abort or other gate waiting."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.core.commands import Ask
from controller.core.events import GatesRestarted, Looked
from controller.core.judging import gate_set_of, judge
from controller.core.release import GateState, Phase, Release
from controller.journal.codec import event_of
from gates.gate_set import GateSet, state_to_json
from gates.policy import GatePolicy
from tests.controller.releases import POLICY, after, look, release_in, taken
from tests.controller.service import GOOD
from tests.controller.world import POLICY as WORLD_POLICY
from tests.controller.world import World

IMPATIENT = replace(WORLD_POLICY, deadline_s=240.0)


def broken(*_: object, **__: object) -> Any:
    raise ZeroDivisionError("float division by zero")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, policy=IMPATIENT)


@pytest.mark.parametrize("what", ["look", "start", "__init__"])
def test_with_every_gate_raising_an_abort_and_the_deadline_are_decided(
    world: World, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One field more in a gate, and neither was decided any more."""
    world.given(candidate=GOOD).when_phase(Phase.SHADOW).when_time_passes(20)
    with monkeypatch.context() as patch:
        patch.setattr(GateSet, what, broken)
        world.restart()  # what was made and read before is not there any more
        gate_set_of.cache_clear()
        world.when_time_passes(20)
        assert "float division by zero" in world.release.faults["gates"]
        world.when_asked(Ask.ABORT).when_time_passes(20)
    assert (world.release.phase, world.weights) == (Phase.ABORTED, {"v6": 100})
    world.given_candidate("v8", GOOD).when(lambda: world.release.candidate.number == "8")
    with monkeypatch.context() as patch:
        patch.setattr(GateSet, what, broken)
        gate_set_of.cache_clear()
        world.when(lambda: world.release.phase is Phase.HELD, within_s=400)
    assert world.champion == "v6"


def test_judged_again_the_release_goes_on_where_it_was(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that could not be judged moved no cursor: what it read is read again."""
    world.given(candidate=GOOD).when_phase(Phase.SHADOW).when_time_passes(20)
    looks, cursors = world.release.looks, world.release.cursors
    with monkeypatch.context() as patch:
        patch.setattr(GateSet, "look", broken)
        world.when_time_passes(30)
        assert (world.release.looks, world.release.cursors) == (looks, cursors)
    world.when_settled()
    assert (world.release.phase, world.release.faults) == (Phase.PROBATION, {})


def remembering(**changes: Any) -> Release:
    """A release in canary after one look, with the gates' memory as another version of Serin may have left it."""
    release = release_in(Phase.CANARY, routed=True, verdicts={}, policy=replace(POLICY, gates=GatePolicy()))
    release = after(release, taken(release, look(1)))
    assert release.gate_state is not None
    document = json.loads(json.dumps(state_to_json(release.gate_state.document))) | changes
    return replace(release, gate_state=GateState(release.gate_state.schema, document))


def test_one_gates_memory_that_cannot_be_read_begins_anew_and_the_others_go_on() -> None:
    """And the journal says so, with the level that is spent twice."""
    release = remembering()
    assert release.gate_state is not None
    gates = release.gate_state.document["gates"]
    gates["errors.live"]["state"] = {"more": 1}
    del gates["latency.p99"]
    found = judge(release, look(2, at_s=release.looked_at_s or 0))
    assert set(found.restarted) == {"errors.live", "latency.p99"}
    assert {one.gate for one in found.verdicts} == set(GateSet(GatePolicy()).names)
    assert not found.fault
    before, now = (judge(one, look(2)).state for one in (remembering(), release))
    assert before is not None
    assert now is not None
    assert dict(before.document.gates)["latency.p95"] == dict(now.document.gates)["latency.p95"]


@pytest.mark.parametrize("document", [{}, {"gates": {}}, {"sequence": "one"}, {"gates": {"errors.live": 3}}])
def test_a_memory_of_which_nothing_can_be_read_begins_anew(document: dict[str, Any]) -> None:
    release = replace(remembering(), gate_state=GateState(99, document))
    found = judge(release, look(2))
    assert found.restarted
    assert not found.fault
    assert found.verdicts


def test_it_is_an_event_of_the_release(world: World) -> None:
    """What an older release of the software remembered goes on; what it spent twice is told."""
    world.policy = WORLD_POLICY
    world.given(candidate=GOOD).when_phase(Phase.CANARY).when_time_passes(20)
    record = world.journal.releases(limit=1)[0]
    state = json.loads(record.state)
    state["gate_state"]["document"]["gates"]["errors.live"]["state"] = {"of": "before"}
    world.journal.rewrite(replace(record, state=json.dumps(state)))
    world.restart()
    world.when_settled()
    events = [event_of(one) for one in world.journal.entries(record.release_id)]
    restarted = [event for event in events if isinstance(event, GatesRestarted)]
    assert [set(event.reasons) for event in restarted] == [{"errors.live"}]
    assert [event.look.sequence for event in events if isinstance(event, Looked)] == list(
        range(1, world.release.looks + 1)
    )
    assert world.release.phase is Phase.PROBATION
