"""The on-call rollback on a cluster: `serin rollback --kubeconfig`, a process of its own each time, beside an API
server of ours whose gateway says nothing, so that the command waits for its word as long as it ever does."""

import resource
import statistics
import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Final

import yaml

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.connection import connect
from controller.adapters.kubernetes.names import model_name, resource_name
from controller.adapters.kubernetes.objects.route import RouteOptions, annotations_of, rules_of
from controller.adapters.kubernetes.resources import HTTP_ROUTES
from controller.core.traffic import TrafficTable
from controller.errors import Source
from suites.intents.demo.installation import SERIN
from tests.bench._table import Bar
from tests.fakes.kubernetes import FakeCluster

MODEL: Final = "intent"
ROUNDS: Final = 10
WHOLE_MS_MAX: Final = 1_000.0
CPU_S_MAX: Final = 0.35  # beside half a second for the gateway's word
RIGHTS: Final = {
    "apiGroups": ["gateway.networking.k8s.io"],
    "resources": ["httproutes"],
    "resourceNames": [model_name(MODEL)],
    "verbs": ["get", "patch"],
}


def rows() -> list[Bar]:
    """Medians, for the machine may be shared; what a process costs in CPU does not depend on that."""
    whole_ms, cpu_s = [], []
    with tempfile.TemporaryDirectory() as folder, FakeCluster() as cluster:
        admin, on_call = Path(folder) / "admin.yaml", Path(folder) / "on-call.yaml"
        cluster.add_account("on-call", [RIGHTS], namespace="default")
        admin.write_text(yaml.safe_dump(cluster.kubeconfig()), encoding="utf-8")
        on_call.write_text(yaml.safe_dump(cluster.kubeconfig("on-call")), encoding="utf-8")
        with closing(connect(admin)) as connection:
            _routed(KubernetesClient(connection, manager="serin", source=Source.TRAFFIC))
        for _ in range(ROUNDS):
            began_s, before_s = time.monotonic(), _children_s()
            command = [SERIN, "rollback", MODEL, "--kubeconfig", str(on_call), "--reason", "a benchmark"]
            subprocess.run(command, check=True, capture_output=True)
            whole_ms.append((time.monotonic() - began_s) * 1_000)
            cpu_s.append(_children_s() - before_s)
    what = "serin rollback --kubeconfig"
    return [
        Bar(
            f"{what}, without a word of the gateway: the whole process, median",
            statistics.median(whole_ms),
            "ms",
            at_most=WHOLE_MS_MAX,
        ),
        Bar(f"{what}: CPU of the process, median", statistics.median(cpu_s), "s", at_most=CPU_S_MAX),
    ]


def _routed(client: KubernetesClient) -> None:
    """A canary, as a controller left it."""
    table = TrafficTable(MODEL, {"1": 90.0, "2": 10.0}, known_good="1", generation=3)
    rules = rules_of(table, RouteOptions(), resource_name)
    metadata = {"name": model_name(MODEL), "annotations": annotations_of(table, rules, resource_name)}
    spec = {"parentRefs": [{"name": "shop"}], "rules": rules}
    kind = {"apiVersion": HTTP_ROUTES.api_version, "kind": HTTP_ROUTES.kind}
    client.create(HTTP_ROUTES, {**kind, "metadata": metadata, "spec": spec})


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
