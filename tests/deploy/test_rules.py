"""The rules that policies make: each alert fires when it should and only then, names what there is, and leads to words
that help."""

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.bootstrap.alerting import as_yaml
from controller.bootstrap.monitoring_files import files
from controller.config.policy_file import load_policy
from controller.core.policy import ReleasePolicy
from controller.monitoring.rule import Severity, duration, rule_file
from controller.monitoring.rules import alerts_of, groups_of
from gates.policy import BudgetPolicy, GatePolicy, LatencyPolicy, LimitPolicy
from gates.stats.burn import BurnWindow, Urgency
from serving import contract as names
from tests.deploy.rule_cases import CANDIDATE_UP, CASES, WELL, answered, phase, release
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
POLICY = load_policy(DEPLOY / "prometheus/policy.yaml")

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not on PATH: make setup puts it there"
)


def rules_of(*policies: ReleasePolicy) -> Mapping[str, Any]:
    return rule_file(groups_of({policy.model: policy for policy in policies}))


def promtool(folder: Path, *command: str, **documents: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
    for name, document in documents.items():
        (folder / f"{name}.yml").write_text(as_yaml(document))
    command = ("promtool", *command)
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def scenario(name: str) -> Mapping[str, Any]:
    changed, at, firing = CASES[name]
    series = {line.rsplit("} ", 1)[0]: line.rsplit("} ", 1)[1] for line in (*WELL, *changed)}
    expected = [_labels(alert) for alert in sorted({*firing, "SerinWatchdog/none"})]
    query = 'count by (alertname, severity, window) (ALERTS{alertstate="firing"})'
    samples = [{"labels": labels, "value": 1} for labels in expected]
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": f"{key}}}", "values": values} for key, values in series.items()],
        "promql_expr_test": [{"expr": query, "eval_time": at, "exp_samples": samples}],
    }


def _labels(alert: str) -> str:
    name, severity, *window = alert.split("/")
    more = "".join(f', window="{one}"' for one in window)
    return f'{{alertname="{name}", severity="{severity}"{more}}}'


@needs_promtool
def test_the_alerts_fire_when_they_should_and_only_then(tmp_path: Path, checked: Callable[..., None]) -> None:
    """In each case exactly these alerts fire, and the watchdog."""
    document = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [scenario(name) for name in CASES]}
    done = promtool(tmp_path, "test", "rules", "cases.yml", rules=rules_of(POLICY), cases=document)
    assert done.returncode == 0, done.stdout + done.stderr
    checked("rule cases", len(CASES))


def test_every_alert_is_seen_firing() -> None:
    fired = {alert.partition("/")[0] for _, _, firing in CASES.values() for alert in firing} | {"SerinWatchdog"}
    assert {alert.name for alert in alerts_of(groups_of({"intent": POLICY}))} == fired


@needs_promtool
def test_what_people_are_told_has_the_numbers_and_the_culprit(tmp_path: Path) -> None:
    """Templates are filled in by Prometheus: a slip in one would be read on call."""
    series = (*WELL, answered("7", 90, "5"), answered("7", 10), CANDIDATE_UP, phase("rolled_back", "0x70"),
              release(names.BLAMED_METRIC, "1x70", gate="errors.live"))  # fmt: skip
    told = {
        "SerinErrorBudgetBurns": (
            {"severity": "page", "about": "users", "model": "intent", "window": "1h"},
            (
                "intent: 12.86% of users' requests failed in 1h; a share of 0.0144 spends 2% of the error budget "
                "in that time; most errors are from version 7"
            ),
        ),
        "SerinReleaseRolledBack": (
            {"severity": "page", "about": "release", "model": "intent", "model_version": "7", "phase": "rolled_back"},
            "intent version 7 was rolled back: errors.live failed. The former version serves",
        ),
    }
    policy = replace(
        POLICY, gates=replace(POLICY.gates, budget=BudgetPolicy(service_windows=(BurnWindow(0.02, 3600, 300),)))
    )
    tests = [
        {
            "eval_time": "30m",
            "alertname": name,
            "exp_alerts": [
                {"exp_labels": labels, "exp_annotations": {"summary": summary, "runbook_url": runbook(name)}}
            ],
        }
        for name, (labels, summary) in told.items()
    ]
    given = [{"series": line.rsplit("} ", 1)[0] + "}", "values": line.rsplit("} ", 1)[1]} for line in series]
    case = {"interval": "1m", "input_series": given, "alert_rule_test": tests}
    document = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [case]}
    done = promtool(tmp_path, "test", "rules", "cases.yml", rules=rules_of(policy), cases=document)
    assert done.returncode == 0, done.stdout + done.stderr


def runbook(name: str) -> str:
    return next(alert.runbook for alert in alerts_of(groups_of({"intent": POLICY})) if alert.name == name)


def test_what_is_committed_is_what_is_made(checked: Callable[..., None]) -> None:
    """`make monitoring` writes it anew."""
    assert {path: path.read_text(encoding="utf-8") for path in files(DEPLOY)} == files(DEPLOY)
    checked("files that are made", len(files(DEPLOY)))


@needs_promtool
def test_prometheus_takes_what_is_committed(checked: Callable[..., None]) -> None:
    file = DEPLOY / "prometheus/serin.rules.yml"
    done = promtool(DEPLOY, "check", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    checked("rules", sum(len(group["rules"]) for group in yaml.safe_load(file.read_text())["groups"]))


def test_urgency_of_the_policy_says_who_is_told() -> None:
    rows = (BurnWindow(0.5, 7200, 600, Urgency.TICKET), BurnWindow(0.1, 5400, 90, Urgency.PAGE))
    policy = ReleasePolicy("tone", gates=GatePolicy(budget=BudgetPolicy(service_windows=rows)))
    found = [alert for alert in alerts_of(groups_of({"tone": policy})) if alert.name == "SerinErrorBudgetBurns"]
    assert [(alert.severity, alert.labels["window"]) for alert in found] == [
        (Severity.TICKET, "2h"),
        (Severity.PAGE, "90m"),
    ]


def test_thresholds_are_the_policys() -> None:
    gates = GatePolicy(latency=LatencyPolicy(p95_ms_max=80.0, p99_ms_max=None), limits=LimitPolicy(cpu_ratio_max=None))
    found = {alert.name: alert.query for alert in alerts_of(groups_of({"tone": ReleasePolicy("tone", gates=gates)}))}
    assert '{model="tone"} > 80 ' in found["SerinSlowP95"]
    assert not {"SerinSlowP99", "SerinCpuBusy"} & found.keys()


@needs_promtool
@pytest.mark.parametrize(
    "policies",
    [
        (),
        (ReleasePolicy("a.b_c-v1"), ReleasePolicy("A"), ReleasePolicy("x" * 100)),
        (ReleasePolicy("bare", gates=GatePolicy(budget=None, latency=None, limits=None, drift=None)),),
        (
            ReleasePolicy(
                "odd",
                look_every_s=0.1,
                deadline_s=1e9,
                gates=GatePolicy(
                    budget=BudgetPolicy(service_windows=(BurnWindow(1e-9, 0.0015, 0.001),), period_s=1e12),
                    limits=LimitPolicy(replica_hour_price=1e-7),
                ),
            ),
        ),
    ],
    ids=["none", "names", "bare", "odd"],
)
def test_prometheus_takes_the_rules_of_any_policy(tmp_path: Path, policies: tuple[ReleasePolicy, ...]) -> None:
    """One that it refused would keep it from starting, and releases from being judged."""
    done = promtool(tmp_path, "check", "rules", "rules.yml", rules=rules_of(*policies))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("length_s", "written"), [(300, "5m"), (5400, "90m"), (259_200, "3d"), (1.5, "1500ms"), (1, "1s")]
)
def test_durations_are_written_as_prometheus_reads_them(length_s: float, written: str) -> None:
    assert duration(length_s) == written


def test_the_rules_name_only_metrics_of_the_contract() -> None:
    known = {value for name, value in vars(names).items() if name.endswith("_METRIC")}
    named = set(re.findall(r"\b(?:serin|envoy)_[a-z_0-9]+", as_yaml(rules_of(POLICY))))
    named -= {names.CLUSTER_LABEL, names.CODE_CLASS_LABEL}
    assert named
    assert not {name for name in named if name not in known and re.sub("_(bucket|sum|count)$", "", name) not in known}


def test_every_recording_that_is_used_is_recorded() -> None:
    """A name that nothing records is no error to Prometheus: its alert would never fire."""
    document = yaml.safe_load(as_yaml(rules_of(POLICY)))
    rules = [rule for group in document["groups"] for rule in group["rules"]]
    recorded = {rule["record"] for rule in rules if "record" in rule}
    used = {
        name
        for rule in rules
        for name in re.findall(r"\bserin:[a-z0-9_]+:[a-z0-9_]+|\bserin:memory_ratio", rule["expr"])
    }
    assert used
    assert used <= recorded
