"""The policies of a home as they stand: what is broken or gone stops nobody else, and nothing that is under way."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from controller.adapters.policy_files import PolicyFiles
from controller.bootstrap.policies import current_policies
from controller.config.settings import Home
from controller.core.commands import Ask
from controller.core.policy import ReleasePolicy
from controller.core.release import Phase
from controller.loop.policies import CurrentPolicies
from controller.ports.policies import NotFollowed, PolicySource
from tests.contracts.policies import PolicyPlace, PolicySourceContract
from tests.controller.service import GOOD
from tests.controller.world import POLICY, World
from tests.fakes.policies import FakePolicySource

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
    policies = current_policies(home, math.inf)
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
    policies = current_policies(home, math.inf)
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
    """An editor's lock on a file, and what another system notes of it: neither a policy nor a fault."""
    (home.policies / ".#intent.yaml").symlink_to("ada@desk.4711:1795000000")
    (home.policies / "._intent.yaml").write_bytes(b"\x00\x05\x16\x07\xff")
    write(home, "intent", "label_names: {Login: old}\n", file=".intent.yaml")
    policies = current_policies(home, math.inf)
    assert (list(policies()), policies.label_names_of("intent"), policies.faults) == (["intent"], {}, {})


def test_a_copy_beside_a_policy_takes_not_its_place(home: Home) -> None:
    """It comes first by name; the file that is called after the model is the one that is followed, and kept so."""
    write(home, "intent", "label_names: {Login: old}\n", file="intent (copy).yaml")
    policies = current_policies(home, math.inf)
    assert policies()["intent"].label_names == {}
    assert list(policies.faults) == ["intent (copy).yaml"]


def test_a_policy_that_is_broken_at_the_start_stops_no_other(home: Home) -> None:
    """Of two files for one model the first counts, and the other is told."""
    write(home, "tone")
    write(home, "tone", file="zz.yaml")
    (home.policies / "broken.yaml").write_text("kind: [", encoding="utf-8")
    policies = current_policies(home, math.inf)
    assert list(policies()) == ["intent", "tone"]
    assert sorted(policies.faults) == ["broken.yaml", "zz.yaml"]
    assert "another policy for model 'tone'" in policies.faults["zz.yaml"]


# --- where they are kept ----------------------------------------------------------------------------------------------
class _Files:
    """A home's folder."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self.source: PolicySource = PolicyFiles(lambda: home.policy_files)

    def write(self, name: str, model: str, *, probation_s: float = 3_600.0) -> str:
        write(self._home, model, f"probation_s: {probation_s}\n", file=f"{name}.yaml")
        return f"{name}.yaml"

    def spoil(self, name: str) -> None:
        (self._home.policies / f"{name}.yaml").write_text("kind: [", encoding="utf-8")

    def remove(self, name: str) -> None:
        (self._home.policies / f"{name}.yaml").unlink()


class _Memory:
    def __init__(self) -> None:
        self.source = FakePolicySource()

    def write(self, name: str, model: str, *, probation_s: float = 3_600.0) -> str:
        self.source.put(name, replace(ReleasePolicy(model), probation_s=probation_s))
        return name

    def spoil(self, name: str) -> None:
        self.source.put(name, NotFollowed(f"{name}: is no policy"))

    def remove(self, name: str) -> None:
        self.source.drop(name)


class TestSources(PolicySourceContract):
    @pytest.fixture(params=["files", "memory"])
    def place(self, request: pytest.FixtureRequest, tmp_path: Path) -> PolicyPlace:
        home = Home(tmp_path)
        home.policies.mkdir()
        return _Files(home) if request.param == "files" else _Memory()


def test_a_source_that_is_away_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """What it said before holds, and the other source goes on."""
    here, there = FakePolicySource(), FakePolicySource()
    policies = CurrentPolicies([here, there], math.inf)
    there.put("intent", ReleasePolicy("intent"))
    assert list(policies()) == ["intent"]
    there.away = True
    here.put("tone", ReleasePolicy("tone"))
    assert sorted(policies()) == ["intent", "tone"]
    assert "policies stay as they were: nobody answers" in caplog.text


def test_of_two_sources_the_earlier_one_counts() -> None:
    """And the other one is told, until the first has none for the model any more."""
    here, there = FakePolicySource(), FakePolicySource()
    policies = CurrentPolicies([here, there], math.inf)
    there.put("intent", replace(ReleasePolicy("intent"), probation_s=1.0))
    here.put("mine", replace(ReleasePolicy("intent"), probation_s=2.0))
    assert (policies()["intent"].probation_s, list(policies.faults)) == (2.0, ["intent"])
    here.drop("mine")
    assert (policies()["intent"].probation_s, policies.faults) == (1.0, {})


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
    assert "model 'intent' has no policy that can be read" in next(iter(world.inbox.answered.values()))
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
