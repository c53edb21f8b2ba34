"""Whatever the API server answers, and whatever becomes of pods, of the route and of the controller: a release ends as
it does without, every user is answered, and what is wrong is said. `make bench-reliability` plays these, too."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from controller.adapters.kubernetes.names import model_name, resource_name
from controller.adapters.kubernetes.resources import HTTP_ROUTES, PODS, Object
from controller.core.commands import Ask
from controller.core.policy import ReleasePolicy
from controller.core.release import Phase
from controller.core.serving import ServingPolicy
from controller.errors import Source, TransientError
from tests.controller.service import GOOD, MODEL
from tests.controller.test_reconcile_crash import (
    QUICK,
    assert_same_end,
    play_late_rollback,
    play_promotion,
    play_rollback,
)
from tests.fakes.kubernetes import Access, ApiError, FakeCluster, writes
from tests.kubernetes.kubelet import conditions
from tests.kubernetes.world import ClusterWorld, KilledError

OUTAGE_S = 180.0
HANGS_S = 10.0  # until the client gives up
ROUTE = f"httproutes/{model_name(MODEL)}"
WRITES = ("api.POST", "api.PUT", "api.PATCH", "api.DELETE")
CONFLICT = ApiError(409, "Conflict", "the object has been modified; please apply your changes to the latest version")
THROTTLED = ApiError(429, "TooManyRequests", "the server has received too many requests", retry_after_s=1)
BROKEN = ApiError(500, "InternalError", "etcdserver: request timed out")
EXPIRED = ApiError(410, "Expired", "too old resource version")
GATEWAY_TIMEOUT = ApiError(504, "Timeout", "request did not complete within the allotted timeout")

Play = Callable[[ClusterWorld], ClusterWorld]
Opened = Callable[..., ClusterWorld]


@pytest.fixture
def opened(cluster: FakeCluster, tmp_path: Path) -> Iterator[Opened]:
    """A world in which version 6 serves, and no gate asks for samples; closed afterwards."""
    worlds: list[ClusterWorld] = []

    def world(policy: ReleasePolicy = QUICK) -> ClusterWorld:
        found = ClusterWorld(tmp_path, cluster, policy=policy)
        worlds.append(found)
        found.service.captured = 0.0
        return found.given()

    yield world
    for one in worlds:
        one.__exit__()


@pytest.mark.parametrize("play", [play_promotion, play_rollback, play_late_rollback])
def test_killed_before_and_after_every_write_the_same_end_is_reached_once(play: Play, opened: Opened) -> None:
    """Each write is met twice: the first try is never sent, of the second nobody hears the answer. The route is written
    several times."""
    world = opened()
    tries: Counter[str] = Counter()
    killed: set[tuple[str, str]] = set()

    def kill(point: str) -> None:
        when, what = point.split(" ", 1)
        if not what.startswith(WRITES):
            return
        tries[what] += when == "before"
        turn = tries[what] % 3 if what.endswith(ROUTE) else tries[what]
        if (when, turn) in (("before", 1), ("after", 2)):
            killed.add((when, what))
            raise KilledError

    world.interrupt = kill
    play(world).when_time_passes(120)  # what was removed is removed
    world.interrupt = lambda _: None
    assert_same_end(world, play)
    assert world.service.unanswered == 0
    assert {("before", f"api.PATCH {ROUTE}"), ("after", f"api.PATCH {ROUTE}")} <= killed
    assert {what for when, what in killed if when == "before"} == {what for when, what in killed if when == "after"}


@pytest.mark.parametrize(("seed", "play"), [(0, play_promotion), (1, play_rollback)])
def test_refusals_and_lost_answers_change_nothing_of_the_end(
    seed: int, play: Play, opened: Opened, cluster: FakeCluster
) -> None:
    """A fifth of all requests: overloaded, broken, expired, in conflict, or done without an answer."""
    world, luck = opened(), random.Random(seed)

    def by_chance(only: Callable[[Access], bool], ratio: float) -> Callable[[Access], bool]:
        return lambda access: only(access) and luck.random() < ratio

    for error in (THROTTLED, BROKEN, GATEWAY_TIMEOUT):
        cluster.faults.answer(error, times=10_000, concerns=by_chance(lambda _: True, 0.04))
    cluster.faults.answer(EXPIRED, times=10_000, concerns=by_chance(lambda access: access.verb == "list", 0.04))
    cluster.faults.answer(CONFLICT, times=10_000, concerns=by_chance(writes, 0.2))

    def lose(point: str) -> None:
        if point.startswith("after api.") and luck.random() < 0.05:
            raise TransientError(Source.TRAFFIC, "the API server broke the connection off")

    world.interrupt = lose
    play(world)
    world.interrupt = lambda _: None
    cluster.faults.clear()
    assert_same_end(world, play)
    assert world.service.unanswered == 0


@contextmanager
def hanging(world: ClusterWorld) -> Iterator[None]:
    """Every request waits for its time-out, as `tests/kubernetes/test_client.py` has it of a server that hangs."""

    def hang(point: str) -> None:
        if point.startswith("before api."):
            world.clock.pass_s(HANGS_S)
            raise TransientError(Source.TRAFFIC, f"the API server did not answer within {HANGS_S:g} s")

    world.interrupt = hang
    try:
        yield
    finally:
        world.interrupt = lambda _: None


@contextmanager
def refusing(world: ClusterWorld, error: ApiError, concerns: Callable[[Access], bool]) -> Iterator[None]:
    world.cluster.faults.answer(error, times=100_000, concerns=concerns)
    try:
        yield
    finally:
        world.cluster.faults.clear()


OUTAGES: dict[str, tuple[Callable[[ClusterWorld], AbstractContextManager[None]], str]] = {
    "away": (lambda world: world.cluster.away(), "cannot be reached"),
    "hanging": (hanging, "did not answer within 10 s"),
    "overloaded": (lambda world: refusing(world, THROTTLED, lambda _: True), "too many requests"),
}


@pytest.mark.parametrize(
    ("outage", "phase"),
    [
        ("away", Phase.SHADOW),
        ("away", Phase.CANARY),
        ("hanging", Phase.CANARY),
        ("overloaded", Phase.CANARY),
    ],
)
def test_an_api_server_that_is_away_for_minutes_ends_nothing_and_is_told(
    outage: str, phase: Phase, opened: Opened
) -> None:
    """Users go on being answered as they were, the release stays where it was, and then goes on."""
    world = opened().given_candidate("v7", GOOD).when_phase(phase)
    world.when_time_passes(10)
    begin, said = OUTAGES[outage]
    answered = dict(world.service.answered)
    with begin(world):
        world.when_time_passes(OUTAGE_S)
        assert world.release.phase is phase
        assert said in " ".join(world.release.faults.values())
    assert sum(world.service.answered.values()) > sum(answered.values())
    world.when_phase(Phase.PROMOTED).when_time_passes(20)
    assert_same_end(world, play_promotion)
    assert world.service.unanswered == 0


def test_a_storm_of_conflicts_on_the_route_is_told_and_over_with_it(opened: Opened) -> None:
    """Every write of it is refused for minutes, though nobody else writes."""
    world = opened().given_candidate("v7", GOOD).when_phase(Phase.SHADOW)
    with refusing(world, CONFLICT, lambda access: access.resource == "httproutes" and writes(access)):
        world.when_time_passes(OUTAGE_S)
        assert "was changed 5 times while it was read" in " ".join(world.release.faults.values())
        assert world.weights == {"v6": 100.0}
    world.when_phase(Phase.PROMOTED).when_time_passes(20)
    assert_same_end(world, play_promotion)
    assert world.service.unanswered == 0


def test_git_that_applies_at_every_write_changes_nothing_of_the_end(opened: Opened) -> None:
    """Just before the first two tries of Serin's in each round: what Git may own moves the revision alone."""
    world, applied = opened(), 0
    git, rounds = world.by("argocd"), Counter[float]()

    def apply(point: str) -> None:
        nonlocal applied
        if point == f"before api.PATCH {ROUTE}" and rounds[world.clock.now_s()] < 2:
            rounds[world.clock.now_s()] += 1
            applied += 1
            spec = {"parentRefs": [{"name": "shop"}], "hostnames": [f"models-{applied}.test"]}
            git.apply(HTTP_ROUTES, model_name(MODEL), {"spec": spec}, force=True)

    world.interrupt = apply
    play_promotion(world)
    assert_same_end(world, play_promotion)
    assert applied == 2 * len(rounds) >= 6
    assert world.service.unanswered == 0


# --- pods ------------------------------------------------------------------------------------------------------------
TWO_REPLICAS = replace(QUICK, serving=ServingPolicy(replicas=2))


def evicted(world: ClusterWorld, pod: Object) -> None:
    world.within.delete(PODS, pod["metadata"]["name"])


def lost_with_its_node(world: ClusterWorld, pod: Object) -> None:
    """Nobody hears of its kubelet any more: that is seen, and minutes later the pod is taken away."""
    world.kubelet.becomes(pod, conditions(PodScheduled=True, Ready=False))
    world.when_time_passes(50)
    evicted(world, pod)


@pytest.mark.parametrize("happens", [evicted, lost_with_its_node])
def test_pods_that_are_taken_away_again_and_again_end_nothing(
    happens: Callable[[ClusterWorld, Object], None], opened: Opened
) -> None:
    """One of each version at a time, in shadow and in the canary: nobody blames the model."""
    world = opened(TWO_REPLICAS).given_candidate("v7", GOOD)
    for phase in (Phase.SHADOW, Phase.CANARY):
        world.when_phase(phase)
        for version in ("6", "7"):
            happens(world, world.pods(version)[0])
            world.when_time_passes(10)
    world.when_phase(Phase.PROMOTED).when_time_passes(20)
    assert_same_end(world, play_promotion)
    assert world.service.unanswered == 0


# --- the route -------------------------------------------------------------------------------------------------------
def deleted(world: ClusterWorld) -> None:
    world.by("kubectl").delete(HTTP_ROUTES, model_name(MODEL))


def edited(world: ClusterWorld) -> None:
    backend = {"group": "", "kind": "Service", "name": resource_name(MODEL, "6"), "port": 8000, "weight": 10_000}
    operations = [{"op": "replace", "path": f"/spec/rules/{n}/backendRefs", "value": [backend]} for n in (0, 1)]
    world.by("kubectl-edit").patch(HTTP_ROUTES, model_name(MODEL), operations)


@pytest.mark.parametrize(
    ("by_hand", "said"),
    [(deleted, "the route of intent was deleted"), (edited, "was changed by kubectl-edit past Serin")],
)
def test_a_route_that_is_deleted_or_edited_in_a_canary_is_told_and_waits_for_a_person(
    by_hand: Callable[[ClusterWorld], None], said: str, opened: Opened
) -> None:
    world = opened().given_candidate("v7", GOOD).when_phase(Phase.CANARY)
    world.when_time_passes(10)
    by_hand(world)
    world.when_time_passes(OUTAGE_S)
    assert world.release.phase is Phase.CANARY
    assert said in " ".join(world.release.faults.values())
    world.when_asked(Ask.ABORT).when_settled().when_time_passes(20)
    assert (world.ends, world.weights) == ([("v7", Phase.ABORTED)], {"v6": 100.0})
    assert world.served == {"6": 100.0}
