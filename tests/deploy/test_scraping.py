"""A cluster that is well has no alert that stands, whichever way Prometheus finds it; a part that is away has its own.

The jobs are those of the chart, relabelled by Prometheus's own program; the series are what its targets would tell.
"""

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from controller.adapters.prometheus.targets import RENAMED
from controller.config.policy_file import load_policy
from controller.monitoring.rule import rule_file
from controller.monitoring.rules import groups_of
from controller.monitoring.users import UserSeries
from serving import contract as names
from tests.deploy.rendered import ROOT, Object, rendered, values
from tests.deploy.rule_cases import WELL
from tests.deploy.scraping import Target, controllers, gateway, jobs_of, replica, targets_of
from tests.deploy.test_rules import promtool

pytestmark = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not on PATH: make setup brings it"
)
POLICY: Final = load_policy(ROOT / "deploy/prometheus/policy.yaml")
JOB: Final = "infra/shop"
KINDS: Final = ("operator", "annotations")
GATEWAY: Final = {"gateway.networking.k8s.io/gateway-name": "public"}
CASES: Final = {  # job away, job silent, alerts
    "well": ("", "", set[str]()),
    "the controllers do not answer": ("", names.CONTROLLER_JOB, {"SerinControllerDown"}),
    "the controllers are gone": (names.CONTROLLER_JOB, "", {"SerinControllerDown"}),
    "a replica does not answer": ("", names.REPLICA_JOB, {"SerinTargetMissing"}),
    "a version with users has no pod": (names.REPLICA_JOB, "", {"SerinVersionUnwatched"}),
    "the gateway is gone": (JOB, "", {"SerinGatewayUnwatched"}),
}
_LINE: Final = re.compile(r"(?P<metric>\w+)\{(?P<labels>.*)\} (?P<values>[^}]*)")
_LABEL: Final = re.compile(r'(\w+)="([^"]*)"')


def chart(kind: str) -> list[Object]:
    monitoring = {"kind": kind, "tokenSecret": "scrape", "gateway": {"podLabels": GATEWAY, "port": "metrics"}}
    return rendered(values({"monitoring": monitoring, "gateway": {"metrics": {"job": JOB}}}))


class Cluster:
    """Pods of every kind, what the chart's jobs find among them, and the series that these tell."""

    def __init__(self, folder: Path, objects: Sequence[Object], jobs: Sequence[Object]) -> None:
        self._folder = folder
        stranger = replica("other", "1", "10.0.0.9")
        del stranger.template["metadata"]["labels"]["serin.dev/part"]
        pods = [
            replica("intent", "6", "10.0.0.6"),
            replica("intent", "7", "10.0.0.7", phase="Pending"),  # its package is still being fetched
            stranger,
            *controllers(objects, "10.0.0.1", "10.0.0.2"),
            gateway("gateways", GATEWAY, "metrics", "10.0.0.4"),
        ]
        self.targets = targets_of(folder, jobs, pods)

    def of(self, job: str) -> list[Target]:
        return [one for one in self.targets if one.labels["job"] == job]

    def played(self, cases: Mapping[str, tuple[str, str, set[str]]]) -> str:
        """What promtool says of these cases; empty where after twenty minutes exactly their alerts stand, and the
        watchdog. A case: the job whose targets nothing finds any more, the one whose targets do not answer, alerts."""
        document = {
            "rule_files": ["rules.yml"],
            "evaluation_interval": "1m",
            "tests": [self._case(name, *case) for name, case in cases.items()],
        }
        rules = rule_file(groups_of({POLICY.model: POLICY}, UserSeries(job=JOB)))
        done = promtool(self._folder, "test", "rules", "cases.yml", rules=rules, cases=document)
        return "" if done.returncode == 0 else done.stdout + done.stderr

    def _case(self, name: str, away: str, silent: str, firing: set[str]) -> Mapping[str, Any]:
        told = [*self._ups(away, silent), *self._told({away, silent})]
        standing = [f'{{alertname="{alert}"}}' for alert in sorted({*firing, "SerinWatchdog"})]
        asked = {
            "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
            "eval_time": "20m",
            "exp_samples": [{"labels": labels, "value": 1} for labels in standing],
        }
        series = [{"series": f"{metric}{_braced(labels)}", "values": values} for metric, labels, values in told]
        return {"name": name, "interval": "1m", "input_series": series, "promql_expr_test": [asked]}

    def _ups(self, away: str, silent: str) -> Iterator[tuple[str, Mapping[str, str], str]]:
        for target in self.targets:
            if target.labels["job"] != away:
                yield "up", target.labels, "0x70" if target.labels["job"] == silent else "1x70"

    def _told(self, gone: set[str]) -> Iterator[tuple[str, Mapping[str, str], str]]:
        """What an installation that is well exposes, with the labels that its targets give it."""
        of_jobs = {names.CONTROLLER_JOB: names.CONTROLLER_JOB, names.GATEWAY_JOB: JOB}
        for line in WELL:
            found = _LINE.fullmatch(line)
            assert found is not None, line
            exposed = dict(_LABEL.findall(found["labels"]))
            job = of_jobs.get(exposed.pop("job", ""), names.REPLICA_JOB)
            exposed.pop("instance", None)
            if found["metric"] == "up" or job in gone:
                continue
            for number, target in enumerate(self.of(job)):
                standing_by = found["metric"] == names.LEADS_METRIC and number
                yield found["metric"], target.series(exposed), "0x70" if standing_by else found["values"]


def _braced(labels: Mapping[str, str]) -> str:
    return "{" + ", ".join(f'{name}="{value}"' for name, value in labels.items()) + "}"


@pytest.fixture(params=KINDS)
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Cluster:
    objects = chart(request.param)
    return Cluster(tmp_path, objects, jobs_of(objects))


def test_the_chart_carries_a_release_and_a_well_cluster_is_quiet(cluster: Cluster) -> None:
    """Each process is one target, named by model and version as gates and rules ask for it, and each part that is
    away has its alert."""
    assert len(cluster.targets) == 4
    (six,) = cluster.of(names.REPLICA_JOB)
    assert (six.labels[names.MODEL_LABEL], six.labels[names.VERSION_LABEL]) == ("intent", "6")
    assert (six.labels["instance"], six.labels["namespace"]) == ("10.0.0.6:8000", "serving")
    assert not [name for name in six.series({"model": "intent", "model_version": "6"}) if name.startswith(RENAMED)]
    assert {one.labels["instance"] for one in cluster.of(names.CONTROLLER_JOB)} == {"10.0.0.1:8443", "10.0.0.2:8443"}
    assert cluster.of(names.CONTROLLER_JOB)[0].series({"model": "intent"})["model"] == "intent"
    assert [one.labels["instance"] for one in cluster.of(JOB)] == ["10.0.0.4:15020"]
    assert cluster.played(CASES) == ""


def test_prometheus_takes_the_jobs_of_the_config_map(tmp_path: Path) -> None:
    """With all that relabelling does not ask: TLS, tokens. Debian's is built without discovery in Kubernetes, so that
    this part is held against its documentation alone."""
    jobs = jobs_of(chart("annotations"))
    discoveries = [job.pop("kubernetes_sd_configs") for job in jobs]
    assert discoveries == [
        [{"role": "pod", "namespaces": {"names": [name]}}] for name in ("serving", "serving", "gateways")
    ]
    document = {"scrape_configs": jobs}
    done = promtool(tmp_path, "check", "config", "--syntax-only", "prometheus.yml", prometheus=document)
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_the_charts_labels_a_well_cluster_would_page(tmp_path: Path) -> None:
    """So that the test above can fail."""
    objects = chart("operator")
    jobs = jobs_of(objects)
    for job in jobs:
        job["relabel_configs"] = [one for one in job["relabel_configs"] if one.get("replacement") not in (
            names.CONTROLLER_JOB, names.REPLICA_JOB, JOB)]  # fmt: skip
    said = Cluster(tmp_path, objects, jobs).played({"well": CASES["well"]})
    assert "SerinControllerDown" in said
    assert "SerinGatewayUnwatched" in said
