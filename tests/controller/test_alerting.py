"""Rules in a home follow its policies: a real Prometheus reads them again, once it can."""

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from controller.adapters.local.kept import KeptRecord
from controller.adapters.local.loopback import free_port
from controller.adapters.local.processes_os import identity_of
from controller.adapters.prometheus.server import Alerting, prometheus_command, prometheus_config
from controller.bootstrap.alerting import PROMETHEUS, follow_policies, policies_at, write_rules
from controller.bootstrap.local import _local_processes
from controller.config.settings import Home, Settings
from controller.core.policy import ReleasePolicy
from controller.errors import UsageError
from tests.patience import eventually

HEADER = "apiVersion: serin/v1\nkind: ReleasePolicy\n"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    place = Home(tmp_path / "home")
    place.policies.mkdir(parents=True)
    return place


def policy(home: Home, model: str, more: str = "") -> Path:
    path = home.policies / f"{model}.yaml"
    path.write_text(f"{HEADER}model: {model}\n{more}")
    return path


def groups(port: int) -> set[str]:
    """The groups of rules that the Prometheus on this port evaluates; none while it does not answer."""
    with suppress(httpx.TransportError, ValueError):
        answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/rules", trust_env=False)
        return {group["name"] for group in answer.json()["data"]["groups"]}
    return set()


@pytest.mark.integration
def test_prometheus_reads_the_rules_of_a_policy_that_came(home: Home) -> None:
    """Told before it is ready it would end: it is told at the first look at which it answers."""
    port = free_port()
    settings = Settings(prometheus_port=port)
    policy(home, "intent")
    write_rules(home, policies_at([home.policies]))
    prometheus_config(home.prometheus, home.targets, alerting=Alerting(home.rules, "local"))
    follow = follow_policies(home, settings)
    follow()  # nothing changed, and nobody to tell
    policy(home, "tone")
    command = prometheus_command(home.prometheus, port)
    with (home.path / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            identity = identity_of(process.pid)
            assert identity is not None
            KeptRecord(home.path).write({PROMETHEUS: identity})
            eventually(lambda: (follow(), "serin-model-tone" in groups(port))[1], what="the rules of the new policy")
            (home.policies / "intent.yaml").unlink()
            eventually(lambda: (follow(), "serin-model-intent" not in groups(port))[1], what="the old ones to be gone")
            assert process.poll() is None
        finally:
            os.kill(process.pid, signal.SIGTERM)


def test_a_broken_policy_changes_no_rule(home: Home) -> None:
    """Its model goes on by the policy that it had, and so do its alerts."""
    policy(home, "intent", "gates: {latency: {p95_ms_max: 80}}\n")
    follow = follow_policies(home, Settings())
    follow()
    before = home.rules.read_text()
    assert "> 80 " in before
    policy(home, "intent", "gates: {latncy: {}}\n")
    follow()
    assert home.rules.read_text() == before


def names_of(home: Home, settings: Settings) -> Sequence[str]:
    return [spec.name for spec in _local_processes(home, settings)]


def test_a_home_evaluates_the_rules_of_its_policies(home: Home) -> None:
    """Nobody has to load them: what `serin up` starts reads them from its configuration."""
    policy(home, "intent")
    settings = Settings(region="eu-1")
    home.save(settings)
    assert PROMETHEUS in names_of(home, settings)
    document = json.loads((home.prometheus / "prometheus.json").read_text())
    assert document["rule_files"] == [str(home.rules)]
    assert document["global"]["external_labels"] == {"region": "eu-1"}
    assert "serin-model-intent" in home.rules.read_text()


def test_with_a_prometheus_elsewhere_neither_is_run_here(home: Home) -> None:
    """It has rules of its own: `serin rules` prints ours for it."""
    settings = Settings(prometheus_url="http://127.0.0.1:9")
    home.save(settings)
    assert names_of(home, settings)[:2] == ["envoy", "controller"]
    assert not home.rules.exists()


def test_policies_are_found_in_files_and_folders(home: Home, tmp_path: Path) -> None:
    one = policy(home, "intent")
    assert policies_at([one]) == policies_at([home.policies]) == {"intent": ReleasePolicy("intent")}
    with pytest.raises(UsageError, match="there is another policy for model 'intent'"):
        policies_at([one, home.policies])
    with pytest.raises(UsageError, match="--policies: there is no policy"):
        policies_at([tmp_path])
