"""What users got at other gateways fires the same alerts: the cases of Serin's own Envoy, in each gateway's words."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from controller.adapters.kubernetes.names import model_name, resource_name
from controller.bootstrap.kubernetes import KubernetesRuntime, runtime_of
from controller.bootstrap.user_series import installed_users, users_of
from controller.config.policy_file import load_policy
from controller.config.settings import Settings
from controller.core.policy import ReleasePolicy
from controller.monitoring.rule import rule_file
from controller.monitoring.rules import groups_of
from controller.monitoring.users import OWN
from tests.deploy.rendered import ROOT
from tests.deploy.rule_cases import CASES
from tests.deploy.test_rules import promtool, scenario

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not on PATH: make setup brings it"
)
POLICY: Final = load_policy(ROOT / "deploy/prometheus/policy.yaml")
JOB: Final = "infra/shop"
_TOLD: Final = re.compile(
    r'(?P<metric>envoy_cluster_upstream_rq_(xx|time_bucket))\{.*envoy_cluster_name="intent-v(?P<version>\d+)(?P<copies>-shadow)?"'
    r'(, (?P<label>envoy_response_code_class|le)="(?P<value>[^"]+)")?\}'
)
OF_USERS: Final = (
    "all is well",
    "a fast burn pages, the slow rows with it",
    "a slow burn is a ticket",
    "too few errors are none",
    "a small canary spends little of the budget and pages by itself",
)
OF_TIMES: Final = ("half of the requests beyond the objective of P95", "two of a hundred beyond the objective of P99")


def runtime(kind: str) -> KubernetesRuntime:
    document = {
        "kind": "kubernetes",
        "namespace": "prod",
        "gateway_url": "http://shop",
        "pods": {"image": "registry.invalid/serin:1"},
        "gateway": {"name": "shop", "class_name": "any"},
        "gateway_metrics": {"kind": kind, "job": JOB},
    }
    found = runtime_of(Settings(registry_url="http://mlflow:5000", runtime=document))
    assert found is not None
    return found


@dataclass(frozen=True, slots=True)
class Words:
    """How a gateway would tell what our Envoy told: its metrics, and its labels of a version and of a status class."""

    requests: str
    status: str
    backend: str
    times: str = ""
    unit_ms: int = 1

    def told(self, series: str) -> str | None:
        found = _TOLD.fullmatch(series)
        if found is None:
            return series.replace('job="serin-gateway"', f'job="{JOB}"')
        if found["copies"]:
            return None
        name, version = resource_name("intent", found["version"]), found["version"]
        backend = self.backend.format(name=name, version=version, route=model_name("intent"))
        if found["label"] == "le":
            edge = found["value"] if found["value"] == "+Inf" else f"{int(found['value']) / self.unit_ms:g}"
            return f'{self.times}_bucket{{job="{JOB}", {backend}, le="{edge}"}}' if self.times else None
        return f'{self.requests}{{job="{JOB}", {backend}, {self.status.format(found["value"])}}}'


WORDS: Final = {
    "istio": Words(
        "istio_requests_total",
        'response_code="{}03"',
        'reporter="source", destination_service_name="{name}", destination_service_namespace="prod"',
        "istio_request_duration_milliseconds",
    ),
    "cilium": Words(
        "envoy_cluster_upstream_rq_xx",
        'envoy_response_code_class="{}"',
        'envoy_cluster_name="gateways/cilium-gateway-shop/prod:{name}:8000"',
        "envoy_cluster_upstream_rq_time",
    ),
    "hubble": Words(
        "hubble_http_requests_total",
        'status="{}00"',
        'reporter="client", destination_namespace="prod", destination_pod="{name}-7d9f6c5b4-x2x9q"',
        "hubble_http_request_duration_seconds",
        1000,
    ),
    "nginx": Words(
        "nginx_http_upstream_peer_responses_total",
        'nginx_status_range="{}xx"',
        'nginx_upstream_name="prod_{name}_8000"',
    ),
    "envoy-gateway": Words(
        "envoy_cluster_upstream_rq_xx",
        'envoy_response_code_class="{}"',
        'envoy_cluster_name="httproute/prod/{route}/rule/0"',
    ),
}


def played(kind: str, cases: tuple[str, ...], folder: Path) -> str:
    """What promtool says of these cases; empty where exactly their alerts fire."""
    tests = []
    for name in cases:
        case = dict(scenario(name))
        told = ((WORDS[kind].told(one["series"]), one["values"]) for one in case["input_series"])
        case["input_series"] = [{"series": series, "values": values} for series, values in told if series is not None]
        tests.append(case)
    rules = rule_file(groups_of({"intent": POLICY}, users_of(runtime(kind))))
    document = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": tests}
    done = promtool(folder, "test", "rules", "cases.yml", rules=rules, cases=document)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def _cases(kind: str) -> Iterator[str]:
    yield from OF_USERS if kind != "envoy-gateway" else OF_USERS[:4]
    if WORDS[kind].times:
        yield from OF_TIMES


@needs_promtool
@pytest.mark.parametrize("kind", WORDS)
def test_users_errors_and_times_fire_the_same_alerts_at_every_gateway(kind: str, tmp_path: Path) -> None:
    assert set(OF_USERS + OF_TIMES) <= CASES.keys()
    assert played(kind, tuple(_cases(kind)), tmp_path) == ""


@needs_promtool
@pytest.mark.parametrize("models", [(), ("Mood_2.0", "m" * 60, "über-7")], ids=["none", "names"])
@pytest.mark.parametrize("kind", WORDS)
def test_prometheus_takes_the_rules_of_any_gateway(kind: str, models: tuple[str, ...], tmp_path: Path) -> None:
    """Also those of an installation that has no policy yet."""
    rules = rule_file(groups_of({model: ReleasePolicy(model) for model in models}, users_of(runtime(kind))))
    done = promtool(tmp_path, "check", "rules", "rules.yml", rules=rules)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_gateway_without_a_histogram_has_no_percentiles() -> None:
    recorded = {
        rule.document().get("record")
        for group in groups_of({"intent": POLICY}, users_of(runtime("nginx")))
        for rule in group.rules
    }
    assert "serin:user_requests:rate5m" in recorded
    assert not [name for name in recorded if name is not None and ":user_latency_ms:" in name]


def test_an_installation_on_this_machine_asks_its_own_envoy() -> None:
    assert installed_users(Settings(registry_url="http://mlflow:5000")) is OWN
