"""An installation whose versions run on a cluster of this machine: the API server is ours, all else is real."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.connection import connect
from controller.adapters.kubernetes.rights import RIGHTS, STICKY_RIGHTS, rules
from controller.errors import Source
from serving.package.shared import UNTOUCHED_S
from suites.intents.demo.installation import installation
from tests.e2e.conftest import WITHIN_S, Site
from tests.fakes.kubernetes import Account, FakeCluster
from tests.fakes.kubernetes.kinds import CRDS
from tests.kubernetes.gateway import Gateway, serving
from tests.kubernetes.machine import Machine
from tests.patience import eventually

TOKEN = "serin_0123456789ab_" + "x" * 43
DEFINITIONS = Path(__file__).parents[2] / "deploy" / "crds"
FORMER = "0" * 64
FEATURES = ("HTTPRoutePathRewrite", "HTTPRouteRequestMirror", "HTTPRouteRequestPercentageMirror")


@dataclass(frozen=True, slots=True)
class Place:
    """An installation, its cluster, an admin there, and what its controller did."""

    site: Site
    cluster: FakeCluster
    client: KubernetesClient
    account: Account
    packages: Path  # the cache that pods share, of this namespace
    machine: Machine


@contextmanager
def place(folder: Path, policy: Path, sticky_header: str | None = None) -> Iterator[Place]:
    """An installation whose controller runs by a cluster's settings, with the rights of the chart's Role, and whose
    version 1 is in production. Envoy, Prometheus and MLflow are those of `serin up`; that Envoy is led by the routes of
    the cluster. At the end it is said how all of it stood. ``sticky_header``: by which users keep their version."""
    home, nodes, kubeconfig = folder / "home", folder / "nodes", folder / "kubeconfig.yaml"
    capture = nodes / "secrets" / "capture"
    capture.mkdir(parents=True)
    (capture / "token").write_text(TOKEN)
    (capture / "digest-key").write_text("0" * 64)
    _left_of_former_versions(nodes / "cache" / "default")
    with FakeCluster() as cluster:
        for definition in sorted(DEFINITIONS.glob("*.yaml")):
            cluster.add(CRDS, "", yaml.safe_load(definition.read_text()))
        account = cluster.add_account(
            "controller", rules([*RIGHTS, *(STICKY_RIGHTS if sticky_header else ())]), namespace="default"
        )
        admin = folder / "admin.yaml"
        admin.write_text(yaml.safe_dump(cluster.kubeconfig()))
        kubeconfig.write_text(yaml.safe_dump(cluster.kubeconfig("controller")))
        with closing(connect(admin)) as connection, installation(home, policy, lambda _: None) as serin:
            client = KubernetesClient(connection, manager="cluster", source=Source.DEPLOYMENTS)
            site = Site(serin)
            with serving(Gateway(client), steps=False) as gateway:
                _moved_to(site, gateway.url, kubeconfig, capture, sticky_header)
                with closing(Machine(client, gateway, home, nodes)) as machine:
                    site.register("v1")
                    try:
                        eventually(lambda: site.phase("1") == "promoted", within_s=WITHIN_S, what="version 1")
                        yield Place(site, cluster, client, account, nodes / "cache" / "default", machine)
                    finally:
                        print(site.serin.status(), *machine.faults[-5:], sep="\n")
                        print(*(f"{log.name}: {log.read_text()[-500:]}" for log in nodes.glob("*.log")), sep="\n")
                        print((home / "logs" / "controller.log").read_text()[-3000:])


def _left_of_former_versions(packages: Path) -> None:
    """A package that nothing needs any more, and that nobody has touched for two days."""
    (packages / FORMER).mkdir(parents=True)
    os.utime(packages / FORMER, (time.time() - 2 * UNTOUCHED_S,) * 2)


def _moved_to(site: Site, gateway_url: str, kubeconfig: Path, capture: Path, sticky_header: str | None) -> None:
    """The controller starts again by settings that name a cluster."""
    file = site.serin.home / "settings.json"
    settings = json.loads(file.read_text())
    settings["runtime"] = {
        "kind": "kubernetes",
        "kubeconfig": str(kubeconfig),
        "gateway_url": gateway_url,
        "controller_url": site.serin.api,
        "capture_token_file": str(capture / "token"),
        "gateway": {"name": "shop", "features": [*FEATURES, "HTTPRouteResponseHeaderModification"]},
        "pods": {"image": "serin:test", "capture_secret": "serin-capture", "cache": {"claim": "packages"}},
    }
    if sticky_header is not None:
        settings["sticky_header"] = sticky_header
        settings["runtime"]["gateway"]["sticky_by"] = "envoy-gateway"
    file.write_text(json.dumps(settings))
    before = site.pid("controller")
    os.kill(before, signal.SIGTERM)
    eventually(lambda: site.pid("controller") != before and site.serin.releases() == [], what="the controller again")
