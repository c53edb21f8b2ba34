"""Rules and routing in a home: written from its policies and settings, read again by who runs when they change."""

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import yaml

from controller.adapters.local.kept import recorded
from controller.adapters.local.loopback import get
from controller.adapters.local.processes_os import runs
from controller.adapters.prometheus.alertmanager import ROUTING_FILE
from controller.adapters.prometheus.server import prometheus_ready_url
from controller.bootstrap.policies import installed_policies
from controller.config.policy_file import load_policy
from controller.config.settings import Home, Settings
from controller.core.policy import ReleasePolicy
from controller.errors import UsageError
from controller.files import replace_file
from controller.monitoring.routing import Receivers, alertmanager_config
from controller.monitoring.rule import rule_file
from controller.monitoring.rules import groups_of
from controller.naming import check_distinct

PROMETHEUS: Final = "prometheus"  # as `serin up` calls its process
ALERTMANAGER: Final = "alertmanager"
_ANSWERS_WITHIN_S: Final = 1.0
_MADE: Final = "# Made by Serin from the policies; what is changed here is lost.\n"


def as_yaml(document: Mapping[str, Any]) -> str:
    """The document as people read it: keys in our order, long queries on lines of their own."""
    return yaml.safe_dump(dict(document), sort_keys=False, width=120, allow_unicode=True)


def policies_at(places: Sequence[Path]) -> Mapping[str, ReleasePolicy]:
    """The policies of these files and folders, by model.

    Raises:
        UsageError: one cannot be read, two are for one model, or there is none.
    """
    files = [file for place in places for file in (sorted(place.glob("*.yaml")) if place.is_dir() else [place])]
    found: dict[str, ReleasePolicy] = {}
    for file in files:
        policy = load_policy(file)
        if policy.model in found:
            raise UsageError(f"{file}: there is another policy for model {policy.model!r}")
        check_distinct(policy.model, found)
        found[policy.model] = policy
    if not found:
        raise UsageError(f"--policies: there is no policy (*.yaml) in {', '.join(map(str, places))}")
    return found


def write_rules(home: Home, policies: Mapping[str, ReleasePolicy]) -> bool:
    """Write the rules of these policies, and return whether they are others than stood there.

    Raises:
        TransientError: they cannot be written; those of before stand.
    """
    return _write(home.rules, as_yaml(rule_file(groups_of(policies))))


def write_routing(home: Home, settings: Settings) -> None:
    """Write who is told of alerts. Raises as `write_rules`."""
    receivers = Receivers(settings.alert_page_url, settings.alert_ticket_url)
    _write(home.alertmanager / ROUTING_FILE, as_yaml(alertmanager_config(receivers)), mode=0o600)


def follow_policies(home: Home, settings: Settings) -> Callable[[], None]:
    """Return a chore: have our Prometheus read the rules of the policies as they are now, once these have changed."""
    policies = installed_policies(home, settings)
    is_read = True  # what stood there when Prometheus was started

    def do() -> None:
        nonlocal is_read
        is_read = not write_rules(home, policies()) and is_read
        is_read = is_read or _read_again(home, settings)

    return do


def _read_again(home: Home, settings: Settings) -> bool:
    """Return whether Prometheus was told. Before it is ready it takes no signal for anything but its end."""
    identity = recorded(home.path).get(PROMETHEUS)
    if identity is None or not runs(identity):
        return False
    try:
        if get(prometheus_ready_url(settings.prometheus_port), timeout_s=_ANSWERS_WITHIN_S)[0] != HTTPStatus.OK:
            return False
    except OSError:
        return False
    os.kill(identity.pid, signal.SIGHUP)
    return True


def _write(file: Path, text: str, *, mode: int = 0o644) -> bool:
    whole = _MADE + text
    if file.exists() and file.read_text(encoding="utf-8", errors="replace") == whole:
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_file(file, whole, mode=mode)
    return True
