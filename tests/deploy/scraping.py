"""What Prometheus scrapes by what the chart renders: its jobs as a real one relabels them, and the series they bear."""

import itertools
import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from controller.adapters.kubernetes.objects.pod import pod_template
from controller.adapters.kubernetes.objects.site import Site
from controller.bootstrap.alerting import as_yaml
from controller.core.release import Version
from controller.ports.runtime import DeploymentSpec
from tests.deploy.rendered import Object, of_kind, pods
from tests.patience import PATIENCE_S

Labels = Mapping[str, str]
_META: Final = "__meta_kubernetes_"
_PODS: Final = "podMetricsEndpoints"
_WAITS_S: Final = (1, 5, 30)  # promtool looks for as long as it is told, whatever it has found


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod as discovery finds it."""

    name: str
    namespace: str
    template: Object
    address: str
    phase: str = "Running"
    service: Object | None = None  # the one that selects it


@dataclass(frozen=True, slots=True)
class Target:
    """What is scraped: its labels after relabelling, and whether its series keep labels of the same names."""

    labels: Labels
    honors: bool

    def series(self, exposed: Labels) -> Labels:
        """The labels of a series that it tells."""
        taken = {
            name if self.honors or name not in self.labels else f"exported_{name}": exposed[name] for name in exposed
        }
        return {**self.labels, **taken}


# --- the pods of a cluster -------------------------------------------------------------------------------------------
def replica(model: str, version: str, address: str, phase: str = "Running") -> Pod:
    spec = DeploymentSpec(model, Version(version, "m-" + "a" * 32, "f" * 64))
    template = pod_template(f"{model}-v{version}", spec, Site("registry.invalid/serin:1"))
    return Pod(f"{model}-v{version}-{address[-1]}", "serving", template, address, phase)


def controllers(objects: Sequence[Object], *addresses: str) -> Iterator[Pod]:
    name, template = next((name, one) for name, one in pods(objects) if name == "models-serin")
    (service,) = of_kind(objects, "Service", "controller")
    for address in addresses:
        yield Pod(f"{name}-{address[-1]}", "serving", template, address, service=service)


def gateway(namespace: str, labels: Labels, port: str, address: str) -> Pod:
    ports = [{"name": port, "containerPort": 15020}, {"name": "http", "containerPort": 8080}]
    return Pod("gateway-0", namespace, {
        "metadata": {"labels": dict(labels)}, "spec": {"containers": [{"name": "proxy", "ports": ports}]}
    }, address)  # fmt: skip


# --- what discovery says of them -------------------------------------------------------------------------------------
def _of_object(kind: str, metadata: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for what in ("labels", "annotations"):
        for name, value in (metadata.get(what) or {}).items():
            yield f"{_META}{kind}_{what[:-1]}_{re.sub('[^A-Za-z0-9_]', '_', name)}", value


def _as_pod(pod: Pod) -> Iterator[Labels]:
    """One target for each port of a container, and for each container that has none."""
    own = {
        **dict(_of_object("pod", pod.template["metadata"])),
        f"{_META}namespace": pod.namespace,
        f"{_META}pod_name": pod.name,
        f"{_META}pod_phase": pod.phase,
        f"{_META}pod_ip": pod.address,
    }
    spec = pod.template["spec"]
    for container in (*spec.get("initContainers", ()), *spec["containers"]):
        more = {f"{_META}pod_container_name": container["name"]}
        for port in container.get("ports", ()):
            number = str(port["containerPort"])
            named = {f"{_META}pod_container_port_name": port["name"], f"{_META}pod_container_port_number": number}
            yield {"__address__": f"{pod.address}:{number}", **own, **more, **named}
        if not container.get("ports"):
            yield {"__address__": pod.address, **own, **more}


def _as_endpoint(pod: Pod) -> Iterator[Labels]:
    if pod.service is None:
        return
    for port in pod.service["spec"]["ports"]:
        yield {
            "__address__": f"{pod.address}:8443",
            **dict(_of_object("service", pod.service["metadata"])),
            f"{_META}namespace": pod.namespace,
            f"{_META}service_name": pod.service["metadata"]["name"],
            f"{_META}endpoint_port_name": port["name"],
            f"{_META}pod_name": pod.name,
            f"{_META}pod_container_name": "controller",
        }


# --- the jobs --------------------------------------------------------------------------------------------------------
def jobs_of(objects: Sequence[Object]) -> list[Object]:
    """The scrape jobs of what is rendered: of the ConfigMap, or those that an operator makes of its objects."""
    plain = [one for one in of_kind(objects, "ConfigMap", "monitoring") if "scrape.yml" in one["data"]]
    found = [job for one in plain for job in yaml.safe_load(one["data"]["scrape.yml"])["scrape_configs"]]
    monitors = [*of_kind(objects, "ServiceMonitor"), *of_kind(objects, "PodMonitor")]
    return [*found, *(_by_an_operator(monitor) for monitor in monitors)]


def _by_an_operator(monitor: Object) -> Object:
    """As the Prometheus operator documents it: what is selected is kept and named; then come the ``relabelings``."""
    spec, by_pod = monitor["spec"], _PODS in monitor["spec"]
    (endpoint,) = spec[_PODS] if by_pod else spec["endpoints"]
    name, namespace = monitor["metadata"]["name"], monitor["metadata"]["namespace"]
    selected, port = ("pod", "pod_container_port_name") if by_pod else ("service", "endpoint_port_name")
    rules: list[Object] = []
    for label, value in spec["selector"]["matchLabels"].items():
        kept = f"{_META}{selected}_label_{re.sub('[^A-Za-z0-9_]', '_', label)}"
        rules.append({"source_labels": [kept], "regex": re.escape(value), "action": "keep"})
    rules.append({"source_labels": [f"{_META}{port}"], "regex": endpoint["port"], "action": "keep"})
    named = {"namespace": "namespace", "container": "pod_container_name", "pod": "pod_name", "service": "service_name"}
    rules += [{"source_labels": [f"{_META}{of}"], "target_label": label} for label, of in named.items()]
    job: Object = {"replacement": f"{namespace}/{name}"} if by_pod else {"source_labels": [f"{_META}service_name"]}
    rules += [{**job, "target_label": "job"}, {"replacement": endpoint["port"], "target_label": "endpoint"}]
    words = {"sourceLabels": "source_labels", "targetLabel": "target_label"}
    rules += [{words.get(key, key): value for key, value in one.items()} for one in endpoint.get("relabelings", ())]
    namespaces = spec.get("namespaceSelector", {}).get("matchNames", [namespace])
    return {
        "job_name": f"{monitor['kind']}/{namespace}/{name}/0",
        "honor_labels": endpoint.get("honorLabels", False),
        "kubernetes_sd_configs": [{"role": "pod" if by_pod else "endpoints", "namespaces": {"names": namespaces}}],
        "relabel_configs": rules,
    }


def targets_of(folder: Path, jobs: Sequence[Object], cluster: Sequence[Pod]) -> list[Target]:
    """The targets that a Prometheus with these jobs finds among the pods, by its own relabelling."""
    with ThreadPoolExecutor(len(jobs)) as pool:
        found = pool.map(lambda job: _relabelled(folder, job, cluster), jobs)
        return list(itertools.chain.from_iterable(found))


def _relabelled(folder: Path, job: Object, cluster: Sequence[Pod]) -> list[Target]:
    (discovery,) = job["kubernetes_sd_configs"]
    seen = _as_pod if discovery["role"] == "pod" else _as_endpoint
    there = [one for pod in cluster if pod.namespace in discovery["namespaces"]["names"] for one in seen(pod)]
    static = [
        {"targets": [one["__address__"]], "labels": {k: v for k, v in one.items() if k != "__address__"}}
        for one in there
    ]
    known = ("job_name", "honor_labels", "relabel_configs")
    file = folder / f"{job['job_name'].replace('/', '_')}.yml"
    file.write_text(as_yaml({"scrape_configs": [{**{k: job[k] for k in known if k in job}, "static_configs": static}]}))
    for wait_s in _WAITS_S:
        command = ["promtool", "check", "service-discovery", f"--timeout={wait_s}s", str(file), job["job_name"]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        results = json.loads(done.stdout or "null") or []
        if len(results) == len(there):
            break
    assert len(results) == len(there), done.stdout
    visible = [{k: v for k, v in one["labels"].items() if not k.startswith("__")} for one in results if one["labels"]]
    distinct = {tuple(sorted(one.items())): one for one in visible}
    return [Target(one, job.get("honor_labels", False)) for one in distinct.values()]
