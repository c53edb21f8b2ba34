"""Recorded requests are asked again while a release is in shadow, and nothing waits for them."""

import json
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from controller.adapters.local.known_texts import SuiteTexts
from controller.adapters.sql.store import Store, open_store
from controller.adapters.sql.upgrade import upgrade_store
from controller.core.events import Looked
from controller.core.policy import ReplayPolicy
from controller.core.release import Phase
from controller.journal.codec import event_of
from controller.loop.replay import Asked, RecordedReplays, is_in_shadow
from controller.ports.recordings import ReplayOrder
from controller.ports.samples import SampleCursor, SampleEvidence
from gates.evidence import LabelledPair
from tests.controller.service import CLASSES, GOOD, LESS_ACCURATE
from tests.controller.world import POLICY, World

REPLAY = ReplayPolicy(requests_max=500)


@dataclass
class Noted:
    """Implements ``Replays``: notes what it is asked for, and has so many stretches to go."""

    world: World
    stretches: int = 1_000
    broken: bool = False
    orders: list[ReplayOrder] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)
    lengths: set[float] = field(default_factory=set)

    def go_on(self, order: ReplayOrder, asked: Asked, *, for_s: float, inclusion_probability: float) -> bool:
        self.orders.append(order)
        self.asked.append(asked)
        self.phases.append(self.world.release.phase)
        self.lengths.add(for_s * inclusion_probability)
        if self.broken:
            raise RuntimeError("a defect of ours")
        return len(self.orders) < self.stretches


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, policy=replace(POLICY, shadow_replay=REPLAY))


def noted(world: World, **changes: object) -> Noted:
    world.replays = Noted(world, **changes)  # type: ignore[arg-type]
    world.restart()
    return world.replays


def test_recorded_requests_are_asked_again_in_shadow_only_where_nobody_waits(world: World) -> None:
    """At the ports for copies of both versions, by stretches of a look, once the release knows which pairs are its own;
    none after shadow."""
    replays = noted(world)
    world.given(candidate=GOOD).when_settled()
    assert set(replays.phases) == {Phase.SHADOW}
    asked = Asked(("http://intent-v6-shadow.test",), ("http://intent-v7-shadow.test",))
    assert replays.asked == [asked] * len(replays.asked)
    (order,) = set(replays.orders)
    assert (order.stable, order.candidate, order.policy) == ("6", "7", REPLAY)
    assert order.began_at_s == world.release.started_at_s
    assert replays.lengths == {POLICY.look_every_s}
    assert world.report.phases[-1] is Phase.PROBATION


def test_a_replay_that_is_over_is_not_begun_again(world: World) -> None:
    replays = noted(world, stretches=1)
    world.given(candidate=GOOD).when_settled()
    assert len(replays.orders) == 1


def test_a_replay_that_breaks_holds_nothing_up(world: World) -> None:
    """It is no source of the release's: what can be judged on live requests is."""
    replays = noted(world, broken=True)
    world.given(candidate=GOOD).when_settled()
    assert replays.orders
    assert (world.report.phases[-1], world.release.faults) == (Phase.PROBATION, {})


def test_without_a_number_of_requests_nothing_is_asked_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    replays = noted(world)
    world.given(candidate=GOOD).when_settled()
    assert replays.orders == []


class Beside:
    """Implements ``Samples``: what the service's users make, and what a store holds of questions that were asked
    again."""

    def __init__(self, users: Any, store: Store) -> None:
        self._users, self._store, self._cursor = users, store, SampleCursor()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._users, name)

    def since(self, model: str, stable: str, candidate: str, cursor: SampleCursor, **asked: Any) -> SampleEvidence:
        found: SampleEvidence = self._users.since(model, stable, candidate, cursor, **asked)
        again = self._store.samples.since(model, stable, candidate, self._cursor)
        self._cursor = again.cursor
        return replace(
            found,
            pairs=found.pairs + again.pairs,
            pairs_agreed=found.pairs_agreed + again.pairs_agreed,
            pairs_disagreed=found.pairs_disagreed + again.pairs_disagreed,
            replayed=again.replayed,
        )


CASES = 1_200


def with_suite(directory: Path, store: Store) -> World:
    """No user's request is ever labelled; ``CASES`` texts of production are."""
    suite = directory / "september.jsonl"
    lines = [{"id": f"c{number}", "text": f"{CLASSES[0]} {number}", "label": CLASSES[0]} for number in range(CASES)]
    suite.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    replay = ReplayPolicy(requests_per_s_max=60.0, suites=(str(suite),))
    world = World(directory, policy=replace(POLICY, shadow_replay=replay))
    world.service.labelled = 0.0
    world.service.samples = Beside(world.service.samples, store)  # type: ignore[assignment]
    in_shadow = partial(is_in_shadow, world.journal)
    world.replays = RecordedReplays(
        store.recordings, world.replicas, world.clock, lambda _: None, in_shadow=in_shadow, fence=lambda: None
    )
    world.restart()
    return world


def labelled_pairs(world: World) -> list[LabelledPair]:
    events = (event_of(recorded.entry) for recorded in world.journal.entries(world.release.id))
    return [pair for event in events if isinstance(event, Looked) for pair in event.look.pairs]


def test_labelled_texts_of_production_settle_accuracy_and_each_counts_once(tmp_path: Path) -> None:
    """A candidate that loses six points is found though nobody labels what users ask today; and the next release, whose
    texts were asked before, waits for labels of its own."""
    url = f"sqlite:///{tmp_path}/store.db"
    upgrade_store(url)
    store = open_store(url, known_texts=SuiteTexts())
    world = with_suite(tmp_path, store).given(candidate=LESS_ACCURATE).when_settled()
    assert (world.release.phase, world.release.blamed[0]) == (Phase.ROLLED_BACK, "accuracy.shadow")
    pairs = labelled_pairs(world)
    assert all(pair.of_suite and pair.replayed for pair in pairs)
    assert 0 < len(pairs) <= CASES
    progress = store.recordings.progress(world.release.id)
    assert progress is not None
    assert progress.answered >= len(pairs)
    left = CASES - progress.answered
    world.given_candidate("v8", LESS_ACCURATE).when(
        lambda: world.release.candidate.number == "8" and world.release.looks > 40
    )
    assert len(labelled_pairs(world)) == left
    store.close()
