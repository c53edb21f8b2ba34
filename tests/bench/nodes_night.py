"""A night of nodes: pods evicted, a node lost, the route edited and deleted by hand, Git and others who write, all
while a better version is in its canary; then a worse one, which is taken from its users meanwhile.

    python -m tests.bench.nodes_night

Real processes, under a steady load: replicas, Envoy, Prometheus, MLflow and the controller; the API server is that of
the tests, and what nodes and a gateway do with its objects is done by `tests/kubernetes/machine.py`: an evicted pod
drains and is ended, the processes of a lost node are killed and nobody says so. Users keep their version by a header.
Takes some seven minutes, and ends by itself.
"""

import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import httpx

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.names import model_name, resource_name
from controller.adapters.kubernetes.resources import HTTP_ROUTES, PODS, Object
from controller.errors import Source
from serving.contract import MODEL_VERSION_HEADER
from tests.bench._table import Bar, machine, report
from tests.bench.cluster_night import PHASE_WITHIN_S, out_of_turn, shown
from tests.bench.night import RATE_PER_S, SHADOW_OF_A_KILL_S
from tests.fakes.kubernetes import Access, ApiError, writes
from tests.kubernetes.place import Place, place
from tests.patience import eventually

POLICY: Final = Path(__file__).parents[1] / "e2e" / "policy-nodes.yaml"
LOAD_S: Final = 2_400.0
GIT_APPLIES: Final = 100
BURST_S: Final = 10.0
ASKED_EVERY_S: Final = 0.3
USER: Final = "x-user"  # users keep their version by it
USERS: Final = 100
ROUTE: Final = model_name("intent")
CONFLICT: Final = ApiError(
    409, "Conflict", "the object has been modified; please apply your changes to the latest version"
)
EXPIRED: Final = ApiError(410, "Expired", "too old resource version")


@dataclass
class Night:
    """A place, what its releases said was wrong, and when something was done that a request may have been lost by."""

    place: Place
    said: list[tuple[float, str]] = field(default_factory=list)
    lost: dict[str, list[tuple[float, float]]] = field(default_factory=dict)  # by cause: from when to when
    bars: list[Bar] = field(default_factory=list)

    @contextmanager
    def listening(self, version: str) -> Iterator[None]:
        """What the version's release says is remembered while the block lasts."""
        over = threading.Event()

        def listen() -> None:
            while not over.wait(ASKED_EVERY_S):
                try:
                    faults = self.place.site.release(version)["state"]["faults"]
                except (httpx.HTTPError, AssertionError, StopIteration):  # it has not begun, or nobody answers
                    continue
                self.said += [(time.monotonic(), str(one)) for one in dict(faults).values()]

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def told(self, what: str, said: str, since_s: float) -> None:
        """Wait for the sentence that people are shown of it."""

        def found() -> tuple[float, str] | None:
            return next(((at_s, text) for at_s, text in self.said if at_s >= since_s and said in text), None)

        at_s, text = eventually(found, within_s=PHASE_WITHIN_S, what=f"people to be told of it: {what}: {said}")
        took_s = at_s - since_s
        print(f"  {what}: told after {took_s:.1f} s: {text}")
        self.bars.append(Bar(f"{what}; shown: “{text}”: until it is", took_s, "s"))

    def quiet(self) -> None:
        """Wait until nothing of the route is wrong any more."""

        def is_quiet() -> bool:
            recent = [text for at_s, text in self.said if time.monotonic() - at_s < 5 * ASKED_EVERY_S]
            return not [text for text in recent if "route" in text]

        eventually(is_quiet, within_s=PHASE_WITHIN_S, what="nothing to be wrong with the route")

    def by(self, manager: str) -> KubernetesClient:
        return KubernetesClient(self.place.client._connection, manager=manager, source=Source.TRAFFIC)

    def pods(self, version: str) -> list[Object]:
        return list(self.place.machine.pods(resource_name("intent", version)))

    def full(self, version: str) -> bool:
        """Whether two pods of the version are ready."""
        return sum(_is_ready(pod) for pod in self.pods(version)) >= 2


def run() -> list[Bar]:
    with TemporaryDirectory() as folder, place(Path(folder), POLICY, USER) as it:
        night = Night(it)
        with it.site.load("--turn-at", "3", rate_per_s=RATE_PER_S, for_s=LOAD_S) as load:
            it.site.register("v2")
            with night.listening("2"):
                _better(night)
            it.site.register("v3")
            with night.listening("3"):
                _worse(night)
            eventually(lambda: it.site.serin.serving_version() == "2", what="version 2 to serve")
            stayed = sum(found != {"2"} for found in _users(it).values())
            eventually(lambda: shown(it) == {"1": "promoted", "2": "promoted", "3": "rolled_back"}, what="the views")
        moved = {
            version: [entry["kind"] for entry in it.site.entries(f"intent-v{version}-1")].count("ChampionMoved")
            for version in ("2", "3")
        }
        releases = len(it.site.serin.releases())
        beyond_turn = out_of_turn(it.cluster)
    print(f"  {load['failed']} of {load['sent']} requests failed: {load['failures']}; {load['by_version']}")
    return [
        *night.bars,
        Bar("releases beyond one a version", releases - 3, "", at_most=0),
        Bar("traffic tables written twice or out of turn", beyond_turn, "", at_most=0),
        Bar("times that the champion moved for the promotion", moved["2"], "", at_least=1, at_most=1),
        Bar("times that it moved for the version that was rolled back", moved["3"], "", at_most=0),
        Bar("answers by the version that was rolled back", load["by_version"].get("3", 0), f"of {load['sent']}"),
        Bar("users answered by another version than stable once it was rolled back", stayed, f"of {USERS}", at_most=0),
        *_lost(night, load),
    ]


def _better(night: Night) -> None:
    """Version 2, until it is promoted."""
    it = night.place

    def in_phase(phase: str) -> None:
        eventually(lambda: it.site.phase("2") == phase, within_s=PHASE_WITHIN_S, what=f"version 2 in {phase}")

    in_phase("shadow")
    _storm(night, CONFLICT, "writes of the route in conflict (409)", "was changed 5 times while it was read")
    in_phase("canary")
    eventually(lambda: it.site.release("2")["state"]["routed_at_s"] is not None, what="the canary to be served")
    before = _users(it)
    for played in (_evictions, _lost_node, _edit, _deletion, _git):
        played(night)
        assert it.site.phase("2") == "canary", f"{played.__name__}: {it.site.phase('2')}"
    after = _users(it)
    moved = sum(len(found | after[user]) > 1 for user, found in before.items())
    few = sum(found == {"2"} for found in before.values())
    night.bars.append(Bar("users whom the canary answered, by a sticky header", few, f"of {USERS}", at_least=5))
    night.bars.append(Bar("users who met both versions, before all of it or after", moved, f"of {USERS}", at_most=0))
    _storm(night, EXPIRED, "lists of a revision that is gone (410)", "too old resource version")
    in_phase("probation")
    eventually(lambda: it.site.serin.serving_version() == "2", what="version 2 to serve")


def _worse(night: Night) -> None:
    """Version 3, which turns bad once it answers users: taken from them while pods of both versions are evicted and
    every second write of the route is in conflict."""
    it, turns = night.place, iter(range(1_000_000))
    eventually(lambda: it.site.phase("3") == "canary", within_s=PHASE_WITHIN_S, what="version 3 in its canary")
    since_s = time.monotonic()
    it.cluster.faults.answer(CONFLICT, times=1_000, concerns=lambda one: _of_route(one) and next(turns) % 2 == 0)
    names = [night.pods(version)[0]["metadata"]["name"] for version in ("2", "3")]
    for name in names:  # at once: it is decided within seconds
        it.client.delete(PODS, name)
    eventually(lambda: it.site.phase("3") == "rolled_back", within_s=PHASE_WITHIN_S, what="version 3 rolled back")
    took_s = time.monotonic() - since_s
    it.cluster.faults.clear()
    for name in names:
        eventually(lambda: it.machine.is_gone(name), what=f"pod {name} to have ended")  # noqa: B023
    blamed = it.site.release("3")["state"]["blamed"]
    print(f"  version 3 rolled back for {blamed}")
    what = "a worse version, pods of both evicted and writes in conflict (409): from its canary until it is rolled back"
    night.bars.append(Bar(what, took_s, "s", at_most=120.0))
    ours = [gate for gate in blamed if not gate.startswith(("accuracy.", "calibration."))]
    night.bars.append(
        Bar("gates that a worse version was rolled back by, other than of its answers", len(ours), "", at_most=0)
    )


# --- what happens to pods --------------------------------------------------------------------------------------------
def _evictions(night: Night) -> None:
    """One after the other, as `kubectl drain` waits for a disruption budget."""
    since_s, evicted = time.monotonic(), 0
    for version in ("1", "2"):
        for pod in night.pods(version):
            _evict(night, pod)
            evicted += 1
            eventually(lambda: night.full(version), what=f"two pods of version {version}")  # noqa: B023
    night.bars.append(Bar("pods evicted in a canary, one after the other, and started again", evicted, "", at_least=4))
    night.told("the pods of both versions evicted in a canary", "is being created", since_s)


def _evict(night: Night, pod: Object) -> None:
    """It is taken away, drains, and is gone before this returns."""
    name = pod["metadata"]["name"]
    night.place.client.delete(PODS, name)
    eventually(lambda: night.place.machine.is_gone(name), what=f"pod {name} to have ended")


def _lost_node(night: Night) -> None:
    """With one pod of each version."""
    names = [next(pod for pod in night.pods(version) if _is_ready(pod))["metadata"]["name"] for version in ("1", "2")]
    since_s = time.monotonic()
    night.place.machine.lose(names)
    night.lost["in flight on a node that is lost"] = [(since_s, since_s)]
    night.told("a node lost in a canary, with a pod of each version", "is on a node that does not report", since_s)
    for name in names:
        night.place.client.delete(PODS, name)
    for version in ("1", "2"):
        eventually(lambda: night.full(version), what=f"two pods of version {version}")  # noqa: B023


# --- what others do with the route -----------------------------------------------------------------------------------
def _edit(night: Night) -> None:
    before = _route(night)["spec"]["rules"]
    stable = [{"group": "", "kind": "Service", "name": resource_name("intent", "1"), "port": 8000, "weight": 10_000}]
    since_s, hand = time.monotonic(), night.by("kubectl-edit")
    edit = [{"op": "replace", "path": f"/spec/rules/{n}/backendRefs", "value": stable} for n in (0, 1)]
    hand.patch(HTTP_ROUTES, ROUTE, edit)
    night.told("the route edited by hand in a canary", "was changed by kubectl-edit past Serin", since_s)
    hand.patch(HTTP_ROUTES, ROUTE, [{"op": "replace", "path": "/spec/rules", "value": before}])
    night.quiet()


def _deletion(night: Night) -> None:
    found = _route(night)
    kept = {key: found["metadata"][key] for key in ("name", "labels", "annotations") if key in found["metadata"]}
    since_s, hand = time.monotonic(), night.by("kubectl-create")
    hand.delete(HTTP_ROUTES, ROUTE)
    night.told("the route deleted by hand in a canary", "the route of intent was deleted", since_s)
    hand.create(HTTP_ROUTES, {key: found[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": kept})
    night.lost["while the route was deleted"] = [(since_s, time.monotonic())]
    night.quiet()


def _git(night: Night) -> None:
    """What Git may own of the route, as often as it likes."""
    git, spec = night.by("argocd"), {"parentRefs": _route(night)["spec"]["parentRefs"]}
    rules, since_s = _route(night)["spec"]["rules"], time.monotonic()
    for _ in range(GIT_APPLIES):
        git.apply(HTTP_ROUTES, ROUTE, {"spec": spec}, force=True)
        threading.Event().wait(0.1)
    said = {text for at_s, text in night.said if at_s >= since_s and "route" in text}
    moved = int(_route(night)["spec"]["rules"] != rules)
    night.bars.append(Bar(f"Git applying {GIT_APPLIES} times in a canary: rules moved", moved, "", at_most=0))
    night.bars.append(Bar("Git applying: said to be wrong with the route", len(said), "", at_most=0))


# --- what the API server answers -------------------------------------------------------------------------------------
def _storm(night: Night, error: ApiError, what: str, said: str) -> None:
    """From the first request that it meets, for as long as a burst lasts and until it is told."""
    met_s: list[float] = []

    def meets(access: Access) -> bool:
        concerned = _of_route(access) if error is CONFLICT else access.verb == "list"
        if concerned:
            met_s.append(time.monotonic())
        return concerned

    night.place.cluster.faults.answer(error, times=100_000, concerns=meets)
    try:
        eventually(lambda: met_s, within_s=PHASE_WITHIN_S, what=what)
        night.told(what, said, met_s[0])
        threading.Event().wait(BURST_S)
    finally:
        night.place.cluster.faults.clear()


def _of_route(access: Access) -> bool:
    return access.resource == "httproutes" and writes(access)


# --- what became of requests -----------------------------------------------------------------------------------------
def _lost(night: Night, load: Mapping[str, Any]) -> list[Bar]:
    """How many failed by what was done, and how many otherwise."""
    left: Sequence[tuple[float, float, str]] = load["failed_requests"]
    bars = []
    for cause, spans in night.lost.items():
        own = [one for one in left if any(_meets(one, span) for span in spans)]
        left = [one for one in left if one not in own]
        bars.append(Bar(f"requests failed {cause}", len(own), f"of {load['sent']}"))
    return [*bars, Bar("requests failed otherwise", len(left), f"of {load['sent']}", at_most=0)]


def _meets(request: tuple[float, float, str], span: tuple[float, float]) -> bool:
    asked_s, ended_s, _ = request
    return asked_s - 1 <= span[1] + SHADOW_OF_A_KILL_S and ended_s >= span[0] - 1


def _users(it: Place) -> dict[str, set[str | None]]:
    """The versions that answer each of so many users, asked twice through Envoy."""
    url = f"{it.site.serin.gateway}/models/intent/predict"

    def answered(client: httpx.Client, user: str) -> set[str | None]:
        asked = [client.post(url, json={"text": "where is my order"}, headers={USER: user}) for _ in range(2)]
        return {answer.headers.get(MODEL_VERSION_HEADER) for answer in asked}

    with httpx.Client(trust_env=False, timeout=30) as client:
        return {user: answered(client, user) for user in (f"user-{number}" for number in range(USERS))}


def _route(night: Night) -> Object:
    found = night.place.client.get(HTTP_ROUTES, ROUTE)
    assert found is not None
    return found


def _is_ready(pod: Object) -> bool:
    told = (pod.get("status") or {}).get("conditions") or ()  # it may have been made just now
    return any(one["type"] == "Ready" and one["status"] == "True" for one in told)


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends in order, with all that it started
    return report("night of nodes", machine() + run())


if __name__ == "__main__":
    sys.exit(main())
