"""Releases as objects: behaviours 4, 5 and 6 of what must hold on Kubernetes; what to create and to delete one does."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.connection import Connection
from controller.adapters.kubernetes.refusals import NoSuchObjectError
from controller.adapters.kubernetes.releases import made
from controller.adapters.kubernetes.releases.status import ENDS, status_of
from controller.adapters.kubernetes.releases.views import EVERY_S, ReleaseObjects
from controller.adapters.kubernetes.releases.wishes import Wishes
from controller.adapters.kubernetes.resources import MODEL_RELEASES, Object
from controller.core.release import Pause, Phase
from controller.errors import PermanentError, Source, TransientError
from controller.journal.codec import record_of, release_of
from controller.ports.journal import Entry
from controller.ports.registry import CANDIDATE
from controller.service import Service
from tests.contracts.kubernetes_api import CRDS
from tests.contracts.leadership import Monotonic
from tests.controller.releases import release_in
from tests.controller.service import GOOD, LESS_ACCURATE, MODEL
from tests.controller.world import POLICY, World
from tests.fakes.kubernetes import Account, ApiError, FakeCluster, writes
from tests.fakes.site import FakeSite
from tests.kubernetes.roles import role_of

NAME = "intent-seven"
QUICK = replace(POLICY, probation_s=60.0)
RULES = role_of("releases")
BUSY = ApiError(429, "TooManyRequests", "the server has received too many requests", retry_after_s=1)


class Installation:
    """A controller with its objects in a cluster; what it did there stands in ``account``."""

    def __init__(self, world: World, person: KubernetesClient, own: KubernetesClient, account: Account) -> None:
        self.world, self.person, self.account = world, person, account
        self.survived = True
        self.later_s = 0.0  # than it is
        self._own = own
        self._monotonic = Monotonic()
        self.objects = self.restarted()

    def restarted(self) -> ReleaseObjects:
        """What the next controller process has: nothing but the journal and the cluster."""
        world = self.world
        service = Service(world.journal, world.inbox, world.freezes, world.clock, world.policies, FakeSite())
        wishes = Wishes(service, world.inbox, lambda _: self.survived, lambda: time.time() + self.later_s)
        self.objects = ReleaseObjects(self._own, world.journal, wishes, self._monotonic)
        return self.objects

    def create(self, model: str = MODEL, version: str = "7", name: str = NAME) -> Object:
        body = {"apiVersion": "serin.dev/v1", "kind": "ModelRelease", "metadata": {"name": name}}
        return self.person.create(MODEL_RELEASES, {**body, "spec": {"model": model, "version": version}})

    def look(self) -> None:
        self._monotonic.at_s += EVERY_S
        self.objects.catch_up()

    def when(self, reached: Callable[[], bool]) -> None:
        """Time passes, and the objects follow, until what is waited for is reached."""
        for _ in range(1_000):
            self.world.when_time_passes(10.0)
            self.look()
            conditions = self.conditions()
            assert sum(conditions.get(end) == "True" for end in ENDS) <= 1
            if reached():
                return
        pytest.fail(f"not reached: {self.status()}")

    def when_phase(self, phase: Phase) -> None:
        journal = self.world.journal
        self.when(lambda: bool(journal.releases()) and self.world.release.phase is phase)

    def found(self, name: str = NAME) -> Object:
        found = self.person.get(MODEL_RELEASES, name)
        assert found is not None
        return found

    def status(self, name: str = NAME) -> dict[str, Any]:
        return dict(self.found(name).get("status", {}))

    def conditions(self, name: str = NAME) -> dict[str, str]:
        return {one["type"]: one["status"] for one in self.status(name).get("conditions", [])}

    @property
    def writes(self) -> int:
        return sum(one.verb in ("create", "patch", "update", "delete") for one in self.account.done)


@pytest.fixture
def installation(tmp_path: Path, cluster: FakeCluster, connected: Callable[..., Connection]) -> Installation:
    account = cluster.add_account("controller", RULES, namespace="default")
    person = KubernetesClient(connected(), manager="kubectl-create", source=Source.DEPLOYMENTS)
    own = KubernetesClient(connected("controller"), manager="serin", source=Source.DEPLOYMENTS)
    return Installation(World(tmp_path, policy=QUICK).given(stable=GOOD), person, own, account)


def test_5_creating_one_starts_a_release_that_can_be_waited_for(installation: Installation) -> None:
    """Its conditions carry the generation that they are of, and exactly one end is True."""
    installation.world.register("v7", GOOD)
    made = installation.create()
    installation.when(lambda: installation.conditions().get("Promoted") == "True")
    release = installation.world.release
    assert release.phase is Phase.PROMOTED
    assert release.started_by == f"ModelRelease {NAME} ({made['metadata']['uid']})"
    conditions = installation.status()["conditions"]
    assert [one["type"] for one in conditions if one["status"] == "True"] == ["Promoted"]
    assert {one["observedGeneration"] for one in conditions} == {made["metadata"]["generation"]}
    assert installation.status()["weightPct"] == 100
    assert len(installation.world.journal.releases()) == 1


def test_5_who_waits_for_one_never_hits_the_former_of_its_name(installation: Installation) -> None:
    """`kubectl wait --for=condition=Promoted` on an object made anew is not answered by what the one before came to."""
    for version in ("7", "8"):
        installation.world.register(f"v{version}", GOOD)
    installation.create()
    installation.when(lambda: installation.conditions().get("Promoted") == "True")
    former = installation.found()["metadata"]["uid"]
    installation.person.delete(MODEL_RELEASES, NAME)
    installation.create(version="8")
    assert installation.conditions() == {}
    installation.look()
    seen = installation.conditions()
    assert {seen[end] for end in ENDS} == {"False"}
    installation.when(lambda: installation.conditions().get("Promoted") == "True")
    assert installation.found()["metadata"]["uid"] != former
    assert installation.world.release.candidate.number == "8"


def test_4_status_tells_numbers_and_the_journals_sentence(installation: Installation) -> None:
    """Of each gate the value, the bound, the outcome and the size of its sample."""
    installation.world.register("v7", LESS_ACCURATE)
    installation.create()
    installation.when(lambda: "True" in {installation.conditions().get(end) for end in ENDS})
    status, release = installation.status(), installation.world.release
    assert status["reason"] == release.reason
    assert {one["name"] for one in status["gates"]} == set(release.verdicts)
    gates = {one["name"]: one for one in status["gates"]}
    blamed = release.verdicts[release.blamed[0]]
    told = gates[blamed.gate]
    assert (told["outcome"], told["value"], told["samples"]) == ("fail", blamed.value, blamed.samples)
    assert blamed.interval is not None
    assert (told["low"], told["high"], told["bound"]) == (
        blamed.interval.low,
        blamed.interval.high,
        blamed.threshold,
    )
    assert told["reason"] == blamed.reason
    assert installation.conditions()["Promoted"] == "False"


def test_21_what_cannot_be_read_is_a_condition_with_the_journals_sentence(installation: Installation) -> None:
    """Behaviours 2, 17 and 21. A fault names the broken link, and is written once; the condition goes with it, and its
    time is the journal's."""
    world = installation.world
    world.register("v7", GOOD)
    installation.create()
    installation.when_phase(Phase.SHADOW)
    installation.when(lambda: installation.conditions().get("PairsReady") == "True")
    ready = {"MetricsReady": "True", "PairsReady": "True", "RouteServed": "True"}
    assert ready.items() <= installation.conditions().items()
    world.service.metrics.away = "version 7 has no samples; version 7: no target"
    world.service.samples.away = "PairsNotReady: copies do not carry the x-request-id of their live request"
    world.service.dealt_by = world.traffic.read(MODEL)  # the edit is seen before anybody is dealt by it
    world.traffic.edit(MODEL, {"6": 50.0, "7": 50.0})
    installation.when(lambda: installation.conditions().get("MetricsReady") == "False")
    told = {one["type"]: one for one in installation.status()["conditions"]}
    assert {name: told[name]["status"] for name in ready} == dict.fromkeys(ready, "False")
    assert (told["MetricsReady"]["reason"], told["RouteServed"]["reason"]) == ("MetricsNotReady", "RouteNotServed")
    assert told["PairsReady"]["reason"] == "PairsNotReady"
    assert "version 7: no target" in told["MetricsReady"]["message"]
    assert "x-request-id" in told["PairsReady"]["message"]
    assert "the table of intent is not as Serin wrote it" in told["RouteServed"]["message"]
    writes, before = installation.writes, installation.status()["conditions"]
    for _ in range(10):
        world.when_time_passes(10.0)
        installation.look()
    assert (installation.status()["conditions"], installation.writes) == (before, writes)
    world.service.metrics.away = world.service.samples.away = None
    world.traffic.edit(MODEL, {"6": 100.0})
    world.service.dealt_by = None
    installation.when(lambda: ready.items() <= installation.conditions().items())
    installation.when(lambda: installation.conditions().get("Promoted") == "True")
    assert {installation.conditions()[name] for name in ready} == {"Unknown"}


def test_a_pause_is_a_condition_that_says_who_and_why() -> None:
    """It goes on being judged: it progresses. Once resumed, it is paused no more."""
    canary = release_in(Phase.CANARY)
    paused = replace(canary, pause=Pause("ana", "the launch", canary.started_at_s + 60.0))
    told = {one["type"]: one for one in status_of(paused, 1)["conditions"]}
    assert (told["Paused"]["status"], told["Paused"]["message"]) == ("True", "Paused by ana: the launch")
    assert told["Paused"]["lastTransitionTime"] > told["Held"]["lastTransitionTime"]
    assert told["Progressing"]["status"] == "True"
    resumed = {one["type"]: one for one in status_of(canary, 1)["conditions"]}
    assert (resumed["Paused"]["status"], resumed["Paused"]["message"]) == ("False", "")


def test_6_nothing_is_written_when_nothing_changed(installation: Installation) -> None:
    """A hundred idle rounds, and not one write; also after a restart."""
    installation.world.register("v7", GOOD)
    installation.create()
    installation.when(lambda: installation.conditions().get("Promoted") == "True")
    writes = installation.writes
    for _ in range(100):
        installation.look()
    installation.restarted()
    installation.look()
    assert installation.writes == writes


def test_6_a_status_that_was_lost_comes_back_as_it_was_and_changes_no_decision(installation: Installation) -> None:
    """Also where somebody wrote another, and after a restart."""
    installation.world.register("v7", GOOD)
    installation.create()
    installation.when_phase(Phase.CANARY)
    before = installation.status()
    for wrong in ({}, {"phase": "promoted", "release": "another"}):
        installation.person.replace(
            MODEL_RELEASES, NAME, {**installation.found(), "status": wrong}, subresource="status"
        )
        installation.restarted()
        installation.look()
        assert installation.status() == before
    installation.when(lambda: installation.conditions().get("Promoted") == "True")


def test_6_a_view_that_was_deleted_is_made_anew(installation: Installation) -> None:
    """A release that was started otherwise is shown, too; who deletes what shows it aborts nothing."""
    installation.world.given_candidate("v7", GOOD)
    installation.world.when_phase(Phase.CANARY)
    installation.look()
    installation.look()
    (view,) = installation.person.list(MODEL_RELEASES).items
    assert view["status"]["release"] == installation.world.release.id
    name = view["metadata"]["name"]
    installation.person.delete(MODEL_RELEASES, name)
    installation.look()
    installation.look()
    assert installation.status(name) == view["status"]
    assert not installation.world.inbox.waiting()
    assert len(installation.world.journal.releases()) == 1


def test_a_release_that_cannot_be_read_keeps_no_other_from_being_shown(installation: Installation) -> None:
    journal = installation.world.journal
    other = replace(release_in(Phase.CANARY), id="tone-v7-1", model="tone")
    installation.world.register("v7", GOOD)
    installation.create()
    installation.when_phase(Phase.SHADOW)
    journal.append(replace(record_of(other, 1), state="{}"), [Entry("event", 0.0, {})])
    installation.when(lambda: installation.status()["phase"] == "canary")


@pytest.mark.parametrize("wished", [True, False])
def test_an_end_is_shown_though_the_next_release_began_at_once(installation: Installation, wished: bool) -> None:
    """The next candidate ends a probation and begins between two looks: the former view said `probation` for good."""
    world = installation.world
    if wished:
        world.register("v7", GOOD)
        installation.create()
        installation.look()
    else:
        world.given_candidate("v7", GOOD)
    world.when_phase(Phase.PROBATION)
    installation.look()
    installation.look()
    (view,) = installation.person.list(MODEL_RELEASES).items
    assert view["status"]["phase"] == "probation"
    world.given_candidate("v8", LESS_ACCURATE)
    world.when(lambda: world.release.candidate.number == "8")
    installation.look()
    assert installation.conditions(view["metadata"]["name"])["Promoted"] == "True"
    former = world.journal.release(view["status"]["release"])
    assert former is not None
    assert installation.status(view["metadata"]["name"])["reason"] == release_of(former).reason


def test_a_release_that_begins_and_ends_between_two_looks_is_shown(installation: Installation) -> None:
    """By the journal's order, also after a restart: only what stood there at a look had a view."""
    world = installation.world
    for number in ("7", "8"):
        world.given_candidate(f"v{number}", LESS_ACCURATE)
        world.when_settled()
    world.given_candidate("v9", GOOD)
    world.when_phase(Phase.CANARY)
    installation.restarted()
    installation.look()
    installation.look()
    views = {found["spec"]["version"]: found["status"] for found in installation.person.list(MODEL_RELEASES).items}
    assert {version: status["phase"] for version, status in views.items()} == {
        "7": "rolled_back",
        "8": "rolled_back",
        "9": "canary",
    }
    assert all(status["release"] for status in views.values())


def test_a_short_release_is_shown_once_the_cluster_answers_and_not_again_once_it_was_deleted(
    cluster: FakeCluster, installation: Installation
) -> None:
    """The place in the journal is kept where a view could not be made."""
    installation.world.given_candidate("v7", LESS_ACCURATE)
    installation.world.when_settled()
    installation.world.given_candidate("v8", LESS_ACCURATE)
    installation.world.when_settled()
    cluster.faults.answer(BUSY, times=4, concerns=writes)
    for _ in range(2):
        with suppress(TransientError):
            installation.look()
    assert installation.person.list(MODEL_RELEASES).items == []
    installation.look()
    views = {found["spec"]["version"]: found for found in installation.person.list(MODEL_RELEASES).items}
    assert set(views) == {"7", "8"}
    installation.person.delete(MODEL_RELEASES, views["7"]["metadata"]["name"])
    installation.restarted()
    installation.look()
    assert [one["spec"]["version"] for one in installation.person.list(MODEL_RELEASES).items] == ["8"]


def test_of_many_releases_of_before_the_newest_are_shown_and_stay(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All objects are made in one second: which are the oldest, the journal says."""
    monkeypatch.setattr(made, "VIEWS_KEPT", 2)

    def release(*numbers: int) -> set[int]:
        for number in numbers:
            installation.world.given_candidate(f"v{number}", LESS_ACCURATE)
            installation.world.when_settled()
        for _ in range(3):
            installation.look()
        return {int(found["spec"]["version"]) for found in installation.person.list(MODEL_RELEASES).items}

    assert release(7, 8, 9) == {8, 9}
    writes = installation.writes
    assert release(10) == {9, 10}
    assert installation.writes - writes == 3  # made, told of, and an older one deleted


def test_deleting_one_aborts_its_release(installation: Installation) -> None:
    """All traffic at stable; nothing comes back."""
    installation.world.register("v7", GOOD)
    installation.create()
    installation.when_phase(Phase.CANARY)
    installation.person.delete(MODEL_RELEASES, NAME)
    installation.look()
    installation.world.when_settled()
    assert installation.world.release.phase is Phase.ABORTED
    assert installation.world.weights == {"v6": 100.0}
    assert f"ModelRelease {NAME} was deleted" in installation.world.release.reason
    installation.look()
    assert installation.person.list(MODEL_RELEASES).items == []


def test_one_that_is_deleted_before_it_was_taken_up_starts_nothing(installation: Installation) -> None:
    """The command is taken back."""
    installation.world.register("v7", GOOD)
    installation.create()
    installation.look()
    assert len(installation.world.inbox.waiting()) == 1
    installation.person.delete(MODEL_RELEASES, NAME)
    installation.look()
    assert not installation.world.inbox.waiting()


def test_what_was_deleted_while_no_controller_ran_is_aborted_and_a_rebuilt_cluster_aborts_nothing(
    installation: Installation,
) -> None:
    """Behaviour 25. A cluster that has nothing at all of the model has lost the object, nobody deleted it."""
    installation.world.register("v7", GOOD)
    installation.create()
    installation.when_phase(Phase.CANARY)
    installation.person.delete(MODEL_RELEASES, NAME)
    installation.restarted()
    installation.survived = False
    installation.look()
    assert not installation.world.inbox.waiting()
    installation.survived = True
    installation.look()
    assert [one.by for one in installation.world.inbox.waiting()] == ["kubernetes"]


def test_a_wish_that_cannot_be_met_says_why(installation: Installation) -> None:
    """One of a name that no model has is rejected; one without a policy waits for it."""
    installation.create(model="no/model", name="wrong")
    installation.create(model="other", version="1", name="early")
    installation.look()
    assert installation.conditions("wrong")["Rejected"] == "True"
    assert "cannot name a model" in installation.status("wrong")["reason"]
    assert "True" not in installation.conditions("early").values()
    assert "there is no policy for model 'other'" in installation.status("early")["reason"]
    writes = installation.writes
    installation.look()
    assert installation.writes == writes


def test_a_version_that_is_refused_says_why(installation: Installation) -> None:
    """As everyone is told who asks for it."""
    installation.create(version="6")
    installation.look()
    installation.world.tick()
    installation.look()
    assert installation.conditions()["Rejected"] == "True"
    assert "version 6 serves all traffic already" in installation.status()["reason"]


def test_a_release_is_of_one_version(installation: Installation) -> None:
    """Whoever edits the object is told what to do."""
    installation.create()
    with pytest.raises(PermanentError, match="create another ModelRelease"):
        installation.person.merge(MODEL_RELEASES, NAME, {"spec": {"version": "8"}})


def test_a_cluster_that_does_not_answer_stops_no_decision(cluster: FakeCluster, installation: Installation) -> None:
    """It is told, and what was missed is shown afterwards."""
    installation.world.register("v7", GOOD)
    installation.create()
    installation.when_phase(Phase.CANARY)
    with cluster.away():
        with pytest.raises(TransientError):
            installation.look()
        installation.world.when_settled()
    installation.when(lambda: installation.conditions().get("Promoted") == "True")


def test_only_so_many_views_are_kept_and_each_verb_is_used(installation: Installation) -> None:
    """The journal keeps the rest. Behaviour 23, of what objects of releases need: no right too many."""
    for number in range(7, 20):
        installation.world.register(f"v{number}", LESS_ACCURATE)
        installation.world.registry.aliases_of[MODEL][CANDIDATE] = str(number)
        installation.world.when_time_passes(20.0)
        installation.look()
    installation.look()
    views = installation.person.list(MODEL_RELEASES).items
    assert len(views) == 10
    assert "19" in {view["spec"]["version"] for view in views}
    assert installation.account.unused() == []
    assert installation.account.refused == []


def test_deleting_the_definitions_stops_nothing_and_no_finalizer_hangs(
    cluster: FakeCluster, installation: Installation
) -> None:
    """Behaviour 24. What is gone with its kind was not deleted by anybody: the release goes on."""
    installation.world.register("v7", GOOD)
    installation.create()
    installation.when_phase(Phase.CANARY)
    assert "finalizers" not in installation.found()["metadata"]
    installation.person.delete(CRDS, "modelreleases.serin.dev")
    with pytest.raises(NoSuchObjectError):
        installation.look()
    assert not installation.world.inbox.waiting()
    installation.world.when_settled()
    assert installation.world.release.phase is Phase.PROBATION


def test_what_nobody_took_up_for_a_day_starts_nothing_any_more(installation: Installation) -> None:
    """An old object, in a cluster whose controller comes back or has forgotten what it answered."""
    installation.world.register("v7", GOOD)
    installation.create()
    installation.later_s = 86_401.0
    installation.look()
    assert installation.conditions()["Rejected"] == "True"
    assert "create another ModelRelease" in installation.status()["reason"]
    assert not installation.world.inbox.waiting()


def test_an_old_object_keeps_what_its_release_came_to(installation: Installation) -> None:
    """However many came after it, and however old it is."""
    installation.world.register("v7", LESS_ACCURATE)
    installation.create()
    installation.when(lambda: not installation.world.release.active if installation.world.journal.releases() else False)
    before = installation.status()
    installation.world.given_candidate("v8", LESS_ACCURATE)
    installation.when(lambda: installation.world.ends[-1][0] == "v8")
    installation.later_s = 86_401.0
    installation.restarted()
    installation.look()
    assert installation.status() == before
