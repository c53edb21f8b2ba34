"""A night on a cluster: its API server goes away for minutes in a canary, and hangs while a worse version is released.

    python -m tests.bench.cluster_night [--outage-s 120]

Real processes, under a steady load: replicas, Envoy, Prometheus, MLflow and the controller; the API server is that of
the tests, and what nodes and a gateway do with its objects is done by `tests/kubernetes/machine.py`. Takes some ten
minutes, and ends by itself.
"""

import argparse
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from controller.adapters.kubernetes.names import model_name
from controller.adapters.kubernetes.objects.route import GENERATION, edited
from controller.adapters.kubernetes.resources import MODEL_RELEASES
from tests.bench._table import Bar, machine, report
from tests.bench.night import POLICY, RATE_PER_S
from tests.fakes.kubernetes import FakeCluster
from tests.kubernetes.place import Place, place
from tests.patience import eventually

OUTAGE_S: Final = 120.0
LOAD_S: Final = 1_500.0
PHASE_WITHIN_S: Final = 400.0


@dataclass(frozen=True, slots=True)
class Outage:
    """One way in which an API server does not answer, what is said of it, and the phase in which it happens."""

    name: str
    begun: Callable[[FakeCluster], AbstractContextManager[None]]
    said: str
    version: str
    phase: str


OUTAGES: Final = (
    Outage("away", lambda cluster: cluster.away(), "cannot be reached", "2", "canary"),
    Outage("hangs", lambda cluster: cluster.faults.hanging(), "did not answer within", "3", "shadow"),
)


def run(outage_s: float = OUTAGE_S) -> list[Bar]:
    with TemporaryDirectory() as folder, place(Path(folder), POLICY) as it:
        with it.site.load(rate_per_s=RATE_PER_S, for_s=LOAD_S) as load:
            found = []
            for outage, end in zip(OUTAGES, ("probation", "rolled_back"), strict=True):
                it.site.register(f"v{outage.version}")
                found += _played(it, outage, outage_s)
                eventually(lambda: it.site.phase(outage.version) == end, within_s=PHASE_WITHIN_S, what=f"version {end}")  # noqa: B023
            eventually(lambda: it.site.serin.serving_version() == "2", what="version 2 to serve")
        moved = [entry["kind"] for entry in it.site.entries("intent-v2-1")].count("ChampionMoved")
        releases = len(it.site.serin.releases())
        eventually(lambda: shown(it) == {"1": "promoted", "2": "promoted", "3": "rolled_back"}, what="the views")
        beyond_turn = out_of_turn(it.cluster)
    return [
        *found,
        Bar("releases beyond one a version", releases - 3, "", at_most=0),
        Bar("traffic tables written twice or out of turn", beyond_turn, "", at_most=0),
        Bar("times that the champion moved for the promotion", moved, "", at_least=1, at_most=1),
        Bar("requests failed in the whole night", load["failed"], f"of {load['sent']}", at_most=0),
        Bar("answers by the version that was rolled back", load["by_version"].get("3", 0), "", at_most=0),
    ]


def _played(it: Place, outage: Outage, outage_s: float) -> list[Bar]:
    """Bars of the outage: nothing moves, and it is told, for as long as it lasts."""
    version = outage.version
    eventually(lambda: it.site.phase(version) == outage.phase, within_s=PHASE_WITHIN_S, what=f"a {outage.phase}")
    before = it.site.serin.serving_version(), it.site.pid("controller")
    what = f"API server {outage.name} for {outage_s:g} s in {outage.phase} of version {version}"
    with outage.begun(it.cluster):
        threading.Event().wait(outage_s)
        status = it.site.serin.status()
        state = it.site.release(version)["state"]
        after = it.site.phase(version), it.site.pid("controller")
        faults = " ".join(map(str, dict(state["faults"]).values()))
    print(f"  {what}: {after[0]}; faults: {faults}\n{status}")
    return [
        Bar(f"{what}: phases left meanwhile", int(after[0] != outage.phase), "", at_most=0),
        Bar(f"{what}: controllers ended by it", int(before[1] != after[1]), "", at_most=0),
        Bar(
            f"{what}: said by the release and by serin status",
            (outage.said in faults) + (outage.said in status),
            "of 2",
            at_least=2,
        ),
    ]


def out_of_turn(cluster: FakeCluster) -> int:
    """Of all that ever stood in the route, but for what others made of it: how often another table followed than the
    next one. One table stands there for as long as its generation does, whatever else changes."""
    events = cluster.store.since(cluster.store.floor)
    routes = [
        event.found
        for event in events
        if event.key.name == model_name("intent") and event.key.plural == "httproutes" and edited(event.found) is None
    ]
    stood = [(int(one["metadata"]["annotations"][GENERATION]), one["spec"]["rules"]) for one in routes]
    return sum(
        now != before and now[0] != before[0] + 1 for before, now in zip([(0, None), *stood], stood, strict=False)
    )


def shown(it: Place) -> dict[str, str]:
    found = it.client.list(MODEL_RELEASES).items
    return {one["spec"]["version"]: one.get("status", {}).get("phase", "") for one in found}


def main() -> int:
    flags = argparse.ArgumentParser(prog="python -m tests.bench.cluster_night", description=__doc__)
    flags.add_argument("--outage-s", type=float, default=OUTAGE_S)
    chosen = flags.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends in order, with all that it started
    return report("cluster night", machine() + run(chosen.outage_s))


if __name__ == "__main__":
    sys.exit(main())
