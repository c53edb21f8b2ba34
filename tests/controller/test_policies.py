"""The policies of a home as they stand: what is broken or gone stops nobody else, and nothing that is under way."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from controller.bootstrap.policies import CurrentPolicies
from controller.bootstrap.stores import policies_of
from controller.config.settings import Home
from controller.core.commands import Ask
from controller.core.release import Phase
from tests.controller.service import GOOD
from tests.controller.world import POLICY, World

TEXT = "apiVersion: serin/v1\nkind: ReleasePolicy\nmodel: {}\n"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    place = Home(tmp_path)
    place.policies.mkdir()
    write(place, "intent")
    return place


def write(home: Home, model: str, more: str = "", *, file: str = "") -> None:
    (home.policies / (file or f"{model}.yaml")).write_text(TEXT.format(model) + more, encoding="utf-8")


def test_a_change_is_followed_at_once(home: Home) -> None:
    """Written while a controller runs: a changed policy, a new one, and one that is taken away."""
    policies = CurrentPolicies(home, math.inf)
    assert (list(policies()), policies.label_names_of("intent"), policies.label_names_of("tone")) == (
        ["intent"],
        {},
        {},
    )
    write(home, "intent", "label_names: {Login: login}\n")
    assert policies.label_names() == {"intent": {"Login": "login"}}
    write(home, "tone")
    assert list(policies()) == ["intent", "tone"]
    (home.policies / "tone.yaml").unlink()
    assert list(policies()) == ["intent"]


@pytest.mark.parametrize(
    "broken",
    ["label_names: [", TEXT.format("intent") + "label_names: {yes: login}\n", "\x00", TEXT.format("../x"), ""],
)
def test_a_policy_that_became_invalid_changes_nothing(
    home: Home, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither for its own model, that goes on by what it had, nor for any other; and it is said which, and why."""
    write(home, "intent", "label_names: {Login: login}\n")
    policies = CurrentPolicies(home, math.inf)
    policies()
    (home.policies / "intent.yaml").write_text(broken, encoding="utf-8")
    write(home, "tone")
    assert list(policies()) == ["intent", "tone"]
    assert policies.label_names_of("intent") == {"Login": "login"}
    assert list(policies.faults) == ["intent.yaml"]
    assert "policy intent.yaml is not followed" in caplog.text
    write(home, "intent")
    assert (policies()["intent"].label_names, policies.faults) == ({}, {})


def test_what_other_programs_leave_in_the_folder_is_no_policy(home: Home) -> None:
    """An editor's lock on a file, and what another system notes of it: neither a policy nor a fault, to anybody."""
    (home.policies / ".#intent.yaml").symlink_to("ada@desk.4711:1795000000")
    (home.policies / "._intent.yaml").write_bytes(b"\x00\x05\x16\x07\xff")
    write(home, "intent", "label_names: {Login: old}\n", file=".intent.yaml")
    policies = CurrentPolicies(home, math.inf)
    assert (list(policies()), policies.label_names_of("intent"), policies.faults) == (["intent"], {}, {})
    assert list(policies_of(home)) == ["intent"]


def test_a_copy_beside_a_policy_takes_not_its_place(home: Home) -> None:
    """It comes first by name; the file that is called after the model is the one that is followed, and kept so."""
    write(home, "intent", "label_names: {Login: old}\n", file="intent (copy).yaml")
    policies = CurrentPolicies(home, math.inf)
    assert policies()["intent"].label_names == {}
    assert list(policies.faults) == ["intent (copy).yaml"]


def test_a_policy_that_is_broken_at_the_start_stops_no_other(home: Home) -> None:
    """Of two files for one model the first counts, and the other is told."""
    write(home, "tone")
    write(home, "tone", file="zz.yaml")
    (home.policies / "broken.yaml").write_text("kind: [", encoding="utf-8")
    policies = CurrentPolicies(home, math.inf)
    assert list(policies()) == ["intent", "tone"]
    assert sorted(policies.faults) == ["broken.yaml", "zz.yaml"]
    assert "another policy for model 'tone'" in policies.faults["zz.yaml"]


# --- what becomes of releases -----------------------------------------------------------------------------------------
@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize("again", [False, True], ids=["while it runs", "at a start"])
def test_a_release_whose_policy_is_gone_goes_on_by_the_one_that_it_began_with(world: World, again: bool) -> None:
    world.given(candidate=GOOD).when_phase(Phase.CANARY)
    world.policies.clear()
    if again:
        world.restart()
    world.when_settled()
    assert (world.release.phase, world.weights, world.champion) == (Phase.PROBATION, {"v7": 100}, "v7")


def test_without_a_policy_nothing_new_begins_and_what_serves_is_kept_running(world: World) -> None:
    """A start is answered; a rollback is carried out."""
    world.given(candidate=GOOD).when_phase(Phase.PROMOTED)
    world.policies.clear()
    world.restart()
    world.given_candidate("v8", GOOD)
    world.deployments.remove("intent", "7")
    world.when_asked(Ask.START, version="v8").when_time_passes(60)
    assert [version for version, _ in world.ends] == ["v7"]
    assert "there is no policy for model 'intent'" in next(iter(world.inbox.answered.values()))
    assert world.deployments.status("intent")["7"].ready
    world.when_asked(Ask.ROLLBACK).when_time_passes(60)
    assert world.weights == {"v6": 100}


def test_a_changed_policy_holds_from_the_next_release_on(world: World) -> None:
    """What was promised when a release began stays."""
    world.given(candidate=GOOD).when_phase(Phase.CANARY)
    world.policy = replace(POLICY, probation_s=77.0)
    world.when_settled()
    assert world.release.policy.probation_s == POLICY.probation_s
    world.when_phase(Phase.PROMOTED).given_candidate("v8", GOOD).when(lambda: world.release.candidate.number == "8")
    assert world.release.policy.probation_s == 77.0
