"""The benchmark's promotion rule is the controller's: the same releases, look by look, through ``decide`` itself."""

from dataclasses import replace

import numpy as np
import pytest

from controller.core.decide import after_events, decide
from controller.core.facts import Routed
from controller.core.policy import ReleasePolicy
from controller.core.release import Phase, Purpose, Release, Version
from gates.gate_set import GateSet
from tests.bench.world.release import Progress, play
from tests.bench.world.scenarios import FAILING, LOSES_FIVE, RELEASED, SLOWER_20, Scenario, released
from tests.bench.world.traffic import Traffic
from tests.controller.releases import taken


def in_shadow(scenario: Scenario) -> Release:
    policy = ReleasePolicy(
        "any",
        look_every_s=scenario.look_s,
        steps=scenario.steps,
        warm_up_s=scenario.warm_up_s,
        gates=scenario.policy,
    )
    return Release(
        id="r",
        model="any",
        purpose=Purpose.PROMOTE,
        candidate=Version("2"),
        stable=Version("1"),
        fallback=None,
        policy=policy,
        started_at_s=0.0,
        started_by="test",
        phase=Phase.SHADOW,
        deadline_at_s=scenario.looks * scenario.look_s,
    )


def decided(scenario: Scenario, seed: int) -> tuple[int | None, int | None, int | None]:
    """The looks at which the controller exposes users, promotes, and rolls back."""
    traffic, release = Traffic(scenario, np.random.default_rng(seed)), in_shadow(scenario)
    exposed_at = None
    for number in range(1, scenario.looks + 1):
        share = release.canary_step.weight_pct / 100 if release.phase is Phase.CANARY else 0.0
        look, _ = traffic.look(number, share)
        warm_at_s = release.warm_at_s
        look = replace(look, warming=warm_at_s is not None and look.window.start_s < warm_at_s)
        now_s = look.window.end_s
        facts = (taken(release, look),)
        release = after_events(release, decide(release, facts, now_s), facts, now_s)
        if release.phase is Phase.CANARY and not release.routed:  # users are answered by a table once it is written
            facts = (Routed({}, 1),)
            release = after_events(release, decide(release, facts, now_s), facts, now_s)
        if release.phase is Phase.CANARY and exposed_at is None:
            exposed_at = number
        if release.phase is Phase.PROMOTING:
            return exposed_at, number, None
        if release.phase is Phase.ROLLING_BACK:
            failed = release.ending is Phase.ROLLED_BACK  # else held, for time was up
            return exposed_at, None, number if failed else None
    return exposed_at, None, None


@pytest.mark.parametrize(
    ("scenario", "seed"),
    [
        (RELEASED, 1),
        (RELEASED, 2),
        (released("slower", SLOWER_20), 3),
        (released("failing", FAILING), 4),
        (released("less accurate", LOSES_FIVE), 5),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_the_world_promotes_and_rolls_back_when_the_controller_does(scenario, seed):
    ended, _ = play(scenario, np.random.default_rng(seed))
    assert decided(scenario, seed) == (ended.exposed_at, ended.promoted_at, ended.failed_at)


def test_users_are_not_exposed_while_a_gate_on_shadow_traffic_has_not_passed():
    traffic, gate_set, progress = (
        Traffic(RELEASED, np.random.default_rng(6)),
        GateSet(RELEASED.policy),
        Progress(RELEASED),
    )
    look, _ = traffic.look(1, progress.share)
    _, verdicts = gate_set.look(gate_set.start(), look)
    progress.judge(look, verdicts)
    assert progress.share == 0
