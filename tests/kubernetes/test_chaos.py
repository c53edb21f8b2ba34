"""Whatever the API server answers, and whatever becomes of pods, of the route and of the controller: a release ends as
it does without, every user is answered, and what is wrong is said. `make bench-reliability` plays these, too."""

import itertools
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
from tests.bench.reliability import FAULT, SHOWN
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
from tests.kubernetes.world import TICK_S, ClusterWorld, KilledError

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
Played = Callable[..., None]
Opened = Callable[..., ClusterWorld]


@pytest.fixture
def played(request: pytest.FixtureRequest) -> Played:
    """Say which fault a test plays, and what people are shown of it; `tests/bench/reliability.py` makes rows of it."""

    def said(fault: str, shown: str = "") -> None:
        request.node.user_properties.extend([(FAULT, fault), (SHOWN, shown)])

    return said


def shown_by(world: ClusterWorld) -> str:
    """What the release says is wrong, each once, without the port of the day."""
    said = "; ".join(dict.fromkeys(world.release.faults.values()))
    return said.replace(world.cluster.url, "https://cluster")


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
def test_killed_before_and_after_every_write_the_same_end_is_reached_once(
    play: Play, opened: Opened, played: Played
) -> None:
    """Each write is met twice: the first try is never sent, of the second nobody hears the answer. The route is written
    several times."""
    played("controller killed before and after each write to the API server")
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
    seed: int, play: Play, opened: Opened, cluster: FakeCluster, played: Played
) -> None:
    """A fifth of all requests: overloaded, broken, expired, in conflict, or done without an answer."""
    played("a fifth of all requests throttled, broken, expired (410), in conflict (409) or without an answer")
    world, luck = opened(), random.Random(seed)

    def by_chance(only: Callable[[Access], bool], ratio: float) -> Callable[[Access], bool]:
        return lambda access: only(access) and luck.random() < ratio

    for error in (THROTTLED, BROKEN, GATEWAY_TIMEOUT):
        cluster.faults.answer(error, times=10_000, concerns=by_chance(lambda _: True, 0.04))
    cluster.faults.answer(EXPIRED, times=10_000, concerns=by_chance(lambda access: access.verb == "list", 0.04))
    cluster.faults.answer(CONFLICT, times=10_000, concerns=by_chance(writes, 0.2))

    def lose(point: str) -> None:
        if point.startswith("after api.") and luck.random() < 0.05:
            raise TransientError(Source.TRAFFIC, "the API server broke off the connection")

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
    outage: str, phase: Phase, opened: Opened, played: Played
) -> None:
    """Users go on being answered as they were, the release stays where it was, and then goes on."""
    world = opened().given_candidate("v7", GOOD).when_phase(phase)
    world.when_time_passes(10)
    begin, said = OUTAGES[outage]
    answered = dict(world.service.answered)
    with begin(world):
        world.when_time_passes(OUTAGE_S)
        assert world.release.phase is phase
        assert said in shown_by(world)
        played(f"API server {outage} for {OUTAGE_S:g} s in {phase}", shown_by(world))
    assert sum(world.service.answered.values()) > sum(answered.values())
    world.when_phase(Phase.PROMOTED).when_time_passes(20)
    assert_same_end(world, play_promotion)
    assert world.service.unanswered == 0


def test_a_storm_of_conflicts_on_the_route_is_told_and_over_with_it(opened: Opened, played: Played) -> None:
    """Every write of it is refused for minutes, though nobody else writes."""
    world = opened().given_candidate("v7", GOOD).when_phase(Phase.SHADOW)
    with refusing(world, CONFLICT, lambda access: access.resource == "httproutes" and writes(access)):
        world.when_time_passes(OUTAGE_S)
        assert "was changed 5 times while it was read" in shown_by(world)
        played(f"each write of the route in conflict (409) for {OUTAGE_S:g} s", shown_by(world))
        assert world.weights == {"v6": 100.0}
    world.when_phase(Phase.PROMOTED).when_time_passes(20)
    assert_same_end(world, play_promotion)
    assert world.service.unanswered == 0


def test_git_that_applies_at_every_write_changes_nothing_of_the_end(opened: Opened, played: Played) -> None:
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
    played("Git applies another manifest before each try to write the route")


GIT_APPLIES = 100


def test_git_that_applies_a_hundred_times_in_a_canary_changes_nothing(opened: Opened, played: Played) -> None:
    """Behaviour 12, on the loop: between any two requests of the controller, for as long as that takes. No share moves
    but by the release's own steps, nothing is in conflict, and nothing is shown but that a step is being taken up."""
    world = opened().given_candidate("v7", GOOD).when_phase(Phase.CANARY)
    git, applied = world.by("argocd"), 0

    def apply(point: str) -> None:
        nonlocal applied
        if point.startswith("before api.") and applied < GIT_APPLIES:
            applied += 1
            spec = {"parentRefs": [{"name": "shop"}], "hostnames": ["models.test"]}
            git.apply(HTTP_ROUTES, model_name(MODEL), {"spec": spec}, force=True)

    world.interrupt = apply
    faults: set[str] = set()
    while applied < GIT_APPLIES:
        world.tick()
        world.clock.pass_s(TICK_S)
        faults |= set(world.release.faults.values())
    world.interrupt = lambda _: None
    assert not [one for one in faults if "answers in a row through the gateway" not in one]
    assert world.release.phase is Phase.CANARY
    world.when_phase(Phase.PROMOTED).when_time_passes(20)
    assert_same_end(world, play_promotion)
    assert world.service.unanswered == 0
    assert _dealt(world) == [("6",), ("6", "7"), ("7",)]
    played(f"Git applies its manifest {GIT_APPLIES} times in a canary")


def _dealt(world: ClusterWorld) -> list[tuple[str, ...]]:
    """Which versions had a share of users, one set after the other, as the API server saw the route."""
    versions = {resource_name(MODEL, number): number for number in ("6", "7")}
    store = world.cluster.store
    rules = [
        event.found["spec"]["rules"][0]
        for event in store.since(store.floor)
        if event.key.name == model_name(MODEL) and event.key.plural == "httproutes" and event.found["spec"].get("rules")
    ]
    sets = [tuple(sorted(versions[one["name"]] for one in rule["backendRefs"])) for rule in rules]
    return [found for found, _ in itertools.groupby(sets)]


# --- pods ------------------------------------------------------------------------------------------------------------
TWO_REPLICAS = replace(QUICK, serving=ServingPolicy(replicas=2))


def evicted(world: ClusterWorld, pod: Object) -> None:
    world.within.delete(PODS, pod["metadata"]["name"])


def lost_with_their_node(world: ClusterWorld, pod: Object) -> None:
    """Nobody hears of its kubelet any more: that is seen, and minutes later the pod is taken away."""
    world.kubelet.becomes(pod, conditions(PodScheduled=True, Ready=False))
    world.when_time_passes(50)
    evicted(world, pod)


@pytest.mark.parametrize(
    ("happens", "said"),
    [(evicted, "Serin restarted versions"), (lost_with_their_node, "is on a node that does not report")],
)
def test_pods_that_are_taken_away_again_and_again_end_nothing(
    happens: Callable[[ClusterWorld, Object], None], said: str, opened: Opened, played: Played
) -> None:
    """One of each version at a time, in shadow and in the canary: it is told, and nobody blames the model."""
    world = opened(TWO_REPLICAS).given_candidate("v7", GOOD)
    shown: list[str] = []
    for phase in (Phase.SHADOW, Phase.CANARY):
        world.when_phase(phase)
        for version in ("6", "7"):
            happens(world, world.pods(version)[0])
            shown += world.release.faults.values()
            world.when_time_passes(10)
    world.when_phase(Phase.PROMOTED).when_time_passes(20)
    assert_same_end(world, play_promotion)
    assert world.service.unanswered == 0
    told = next(one for one in shown if said in one)
    played(f"pods {happens.__name__.replace('_', ' ')}, one of each version in shadow and in the canary", told)


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
    by_hand: Callable[[ClusterWorld], None], said: str, opened: Opened, played: Played
) -> None:
    world = opened().given_candidate("v7", GOOD).when_phase(Phase.CANARY)
    world.when_time_passes(10)
    by_hand(world)
    world.when_time_passes(OUTAGE_S)
    assert world.release.phase is Phase.CANARY
    assert said in shown_by(world)
    played(f"the route is {by_hand.__name__} by hand in a canary", shown_by(world))
    world.when_asked(Ask.ABORT).when_settled().when_time_passes(20)
    assert (world.ends, world.weights) == ([("v7", Phase.ABORTED)], {"v6": 100.0})
    assert world.served == {"6": 100.0}
