"""A release that this version of Serin cannot read concerns its own model alone: others are driven, shown, counted and
cleaned up after; of its own nothing is moved, ended or deleted, and people are told which it is and the way out."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from controller.adapters.local.packages import PackageStore, UnusedPackages
from controller.bootstrap.in_use import versions_in_use
from controller.bootstrap.plane import DataPlane
from controller.bootstrap.sight import LocalSight
from controller.config.settings import Home
from controller.core.commands import Ask, Command
from controller.core.policy import ReplicaPolicy
from controller.core.release import Phase, Release, Version
from controller.core.serving import ServingPolicy
from controller.core.traffic import TrafficTable
from controller.errors import UnreadableError
from controller.journal.codec import record_of, release_of
from controller.journal.sampled import last_set
from controller.loop.policy_log import PolicyLog
from controller.overview import unreadable
from controller.ports.journal import Entry, ReleaseRecord, model_stream
from controller.ports.runtime import DeploymentSpec
from controller.service import Service
from tests.controller.registered import PackagedRegistry
from tests.controller.releases import NOW_S, release_in
from tests.controller.service import GOOD, MODEL
from tests.controller.test_status import in_text
from tests.controller.world import POLICY, World
from tests.fakes.clock import FakeClock
from tests.fakes.freezes import FakeFreezes
from tests.fakes.inbox import FakeInbox
from tests.fakes.journal import FakeJournal
from tests.fakes.site import FakeSite

OTHER = "tone"
NOBODYS = "topic"


def of_a_later_version(release: Release) -> ReleaseRecord:
    """The release, recorded with a field that this version does not know the meaning of."""
    record = record_of(release, 1)
    state = json.loads(record.state) | {"phase": "teleported"}
    return replace(record, state=json.dumps(state))


def of(model: str, phase: Phase = Phase.CANARY) -> Release:
    return replace(release_in(phase, policy=replace(POLICY, model=model)), id=f"{model}-v7-1", model=model)


def recorded(journal: FakeJournal, record: ReleaseRecord) -> None:
    journal.append(record, [Entry("event", NOW_S, {})])


def test_what_is_wrong_is_one_sentence_that_names_the_release_and_the_way_out() -> None:
    with pytest.raises(UnreadableError) as raised:
        release_of(of_a_later_version(of(OTHER)))
    said = str(raised.value)
    assert "\n" not in said
    assert "release tone-v7-1 of tone was recorded by another version of Serin" in said
    assert "phase: Input should be" in said
    assert "`serin abort tone`" in said
    with pytest.raises(UnreadableError, match="It is over"):
        release_of(of_a_later_version(of(OTHER, Phase.PROMOTED)))


def test_the_status_shows_all_others_and_names_the_one() -> None:
    journal = FakeJournal()
    recorded(journal, record_of(of(MODEL), 1))
    recorded(journal, of_a_later_version(of(OTHER)))
    site = FakeSite()
    service = Service(journal, FakeInbox(), FakeFreezes(), FakeClock(), {MODEL, OTHER}, site)
    seen = service.overview()
    (said,) = seen.troubles
    assert "release tone-v7-1 of tone" in said
    shown = in_text(seen)
    assert "intent  release of version 7" in shown
    assert "tone  version 7  Canary for" in shown
    assert "release tone-v7-1 of tone was recorded by another version" in " ".join(shown.split())
    assert list(unreadable(journal)) == [said]
    assert list(unreadable(journal, MODEL)) == []
    # told to an older command, which reads less than the installation that it asks:
    assert "release tone-v7-1 of tone" in in_text(replace(seen, records=journal.releases(), troubles=()))


@pytest.fixture
def world(tmp_path: Path) -> World:
    """``intent`` is ready for a release; of ``tone`` and ``topic`` one is in its canary that cannot be read, and
    ``topic`` has no policy."""
    world = World(tmp_path).given()
    world.policies[OTHER] = replace(POLICY, model=OTHER)
    for model in (OTHER, NOBODYS):
        world.traffic.write(TrafficTable(model, {"6": 90.0, "7": 10.0}, known_good="6", generation=1))
        for number in ("6", "7"):
            world.deployments.ensure(DeploymentSpec(model, Version(number), (), ReplicaPolicy(), ServingPolicy(), 60.0))
        recorded(world.journal, of_a_later_version(of(model)))
    return world


def test_the_others_are_driven_and_of_its_own_nothing_is_moved_or_ended(world: World) -> None:
    world.restart()
    world.given_candidate("v7", GOOD).when(lambda: world_phase(world) is Phase.PROBATION)
    assert world.weights == {"v7": 100.0}
    for model in (OTHER, NOBODYS):
        table = world.traffic.read(model)
        assert table is not None
        assert dict(table.weights_pct) == {"6": 90.0, "7": 10.0}
        assert set(world.deployments.status(model)) == {"6", "7"}
    assert set(world.controller.unreadable()) == {OTHER, NOBODYS}


def test_what_serves_is_kept_running(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Its users have nobody else: what died of it was started again by nobody. Here the registry has neither."""
    world.restart()
    world.tick()
    tried = [said for said in caplog.messages if "cannot be kept running" in said]
    assert tried == [
        f"model tone: version {number} cannot be kept running: there is no tone version {number}"
        for number in ("6", "7")  # whoever has most of the traffic first
    ]


def world_phase(world: World) -> Phase:
    return Phase(next(one for one in world.journal.current(model=MODEL)).phase)


def test_one_without_a_policy_keeps_no_other_from_being_taken_in(world: World) -> None:
    recorded(world.journal, record_of(of("zeta", Phase.HELD), 1))
    world.traffic.write(TrafficTable("zeta", {"6": 100.0}, generation=1))
    world.restart()
    world.tick()
    assert "zeta" in world.controller.models
    assert NOBODYS not in world.controller.models


def test_whoever_asks_something_of_it_is_told_at_once(world: World) -> None:
    world.restart()
    world.tick()
    world.inbox.put(Command("a-1", Ask.ABORT, OTHER, None, "it is bad", "ana", world.clock.now_s()))
    world.tick()
    assert "release tone-v7-1 of tone" in (world.inbox.outcome("a-1") or "")


def test_once_it_can_be_read_again_it_goes_on(world: World) -> None:
    world.restart()
    world.tick()
    whole = record_of(of(OTHER, Phase.HELD), 1)
    world.journal.rewrite(whole)
    world.tick()
    assert set(world.controller.unreadable()) == {NOBODYS}
    gone_on = world.journal.summary("tone-v7-1")
    assert gone_on is not None
    assert gone_on.sequence > whole.sequence


def test_what_its_release_goes_back_to_is_kept(world: World, tmp_path: Path) -> None:
    """Of a release that can be read: the candidate, stable and fallback; of one that cannot: every version."""
    going_on = replace(of(MODEL), stable=Version("5", "m-5"), fallback=Version("4", "m-4"))
    recorded(world.journal, record_of(going_on, 1))
    plane = DataPlane(world.deployments, world.traffic, tuple, LocalSight(Home(tmp_path / "home")))
    in_use = versions_in_use(plane, world.journal, [])
    assert {(MODEL, "7"), (MODEL, "5"), (MODEL, "4")} <= in_use.versions
    assert (OTHER, "6") in in_use.versions  # it runs, though no table and no policy is asked of
    assert (MODEL, "3") not in in_use
    assert (OTHER, "3") in in_use
    registry, folder = PackagedRegistry(tmp_path / "other-registry"), tmp_path / "taken-in"
    packages = PackageStore(registry, folder)
    for model in (MODEL, OTHER):
        for number in ("3", "5"):
            registry.publish(model, number)
            packages.obtain(model, packages.identify(model, number))
    later_s = 4e9
    assert UnusedPackages(packages, lambda: in_use).prune(later_s) == 1
    assert not (folder / f"{MODEL}-v3").exists()


def test_notes_that_cannot_be_read_are_made_anew() -> None:
    """How much is sampled, and which policy was followed: known again from what is so now."""
    journal = FakeJournal()
    for kind in ("SamplingSet", "PolicyRead"):
        journal.note(model_stream(MODEL), [Entry(kind, NOW_S, {"teleported": True})])
    assert last_set(journal, MODEL) is None
    log = PolicyLog(lambda: {MODEL: POLICY}, journal, FakeClock())
    log()
    last = journal.last(model_stream(MODEL), ("PolicyRead",))
    assert last is not None
    assert '"teleported"' not in (last.text or "")
