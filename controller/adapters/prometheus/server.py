"""Serin's own Prometheus: its configuration in a directory of ours, its targets by file discovery."""

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from controller.errors import PermanentError
from controller.files import replace_file
from controller.naming import deployment_named
from serving.contract import (
    CONTROLLER_JOB,
    GATEWAY_JOB,
    GATEWAY_STATS_ROUTE,
    METRICS_ROUTE,
    MODEL_LABEL,
    REGION_LABEL,
    REPLICA_JOB,
    VERSION_LABEL,
)

CONFIG_FILE: Final = "prometheus.json"
STORAGE_DIRECTORY: Final = "storage"
RETENTION_TIME: Final = "7d"
RETENTION_SIZE: Final = "1GB"
CONTROLLER_INTERVAL_S: Final = 5.0  # at least: the controller reads its database at each scrape
DISCOVERED_WITHIN: Final = "500ms"  # by default a new target waits up to 5 s for its first scrape


@dataclass(frozen=True, slots=True)
class Alerting:
    """The rules to evaluate, the region that every alert names, and the port at which an Alertmanager of this machine
    listens; None: there is no Alertmanager, and alerts are only shown."""

    rules_file: Path
    region: str
    port: int | None = None


@dataclass(frozen=True, slots=True)
class ControllerTarget:
    """The controller on this machine, and the file of a token with the right to scrape it."""

    port: int
    token_file: Path


def prometheus_config(
    directory: Path,
    targets_dir: Path,
    *,
    scrape_interval_s: float = 1.0,
    token_file: Path | None = None,
    gateway_port: int | None = None,
    controller: ControllerTarget | None = None,
    alerting: Alerting | None = None,
) -> Path:
    """Write the configuration (as JSON, which is also YAML) and return its path.

    The labels ``model`` and ``model_version`` that a target exports win over those of discovery (``honor_labels``).
    Discovery sets them all the same, so that ``up`` has them. All samples of a scrape get the time of that scrape, not
    one of the target's, so that the counters of one process can be compared as one snapshot. ``token_file`` holds the
    bearer token that targets require. ``gateway_port``: where the gateway on this machine exports its counts.
    ``controller``: where the controller exports its own metrics. Without ``alerting``, no rule is evaluated.
    """
    interval = f"{round(scrape_interval_s * 1000)}ms"
    targets_dir.mkdir(parents=True, exist_ok=True)
    directory.mkdir(parents=True, exist_ok=True)
    scrape: dict[str, Any] = {
        "job_name": REPLICA_JOB,
        "honor_labels": True,
        "honor_timestamps": False,
        "metrics_path": METRICS_ROUTE,
        "follow_redirects": False,
        "file_sd_configs": [{"files": [str(targets_dir.resolve() / "*.json")], "refresh_interval": "5s"}],
    }
    if token_file is not None:
        scrape["authorization"] = {"type": "Bearer", "credentials_file": str(token_file.resolve())}
    document: dict[str, Any] = {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "scrape_configs": [
            scrape,
            *([] if gateway_port is None else [_gateway(gateway_port)]),
            *([] if controller is None else [_controller(controller, scrape_interval_s)]),
        ],
    }
    if alerting is not None:
        document["global"]["external_labels"] = {REGION_LABEL: alerting.region}
        document["rule_files"] = [str(alerting.rules_file.resolve())]
        told = [] if alerting.port is None else [{"static_configs": [{"targets": [f"127.0.0.1:{alerting.port}"]}]}]
        document["alerting"] = {"alertmanagers": told}
    replace_file(directory / CONFIG_FILE, json.dumps(document, indent=1))
    return directory / CONFIG_FILE


def _gateway(port: int) -> dict[str, Any]:
    """Return the scrape configuration of the gateway, which all of users' requests go through. It is not named by its
    address, so that a new port does not look like a new process."""
    return {
        "job_name": GATEWAY_JOB,
        "honor_timestamps": False,
        "metrics_path": GATEWAY_STATS_ROUTE,
        "follow_redirects": False,
        "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": {"instance": "gateway"}}],
    }


def _controller(target: ControllerTarget, scrape_interval_s: float) -> dict[str, Any]:
    interval = f"{round(max(CONTROLLER_INTERVAL_S, scrape_interval_s) * 1000)}ms"
    return {
        "job_name": CONTROLLER_JOB,
        "honor_labels": True,  # the models and versions that it tells of are its own labels
        "honor_timestamps": False,
        "scrape_interval": interval,
        "scrape_timeout": interval,
        "metrics_path": METRICS_ROUTE,
        "follow_redirects": False,
        "authorization": {"type": "Bearer", "credentials_file": str(target.token_file.resolve())},
        "static_configs": [{"targets": [f"127.0.0.1:{target.port}"], "labels": {"instance": "controller"}}],
    }


def prometheus_command(directory: Path, port: int) -> list[str]:
    """Return the command that runs Prometheus, on loopback only, with the configuration that ``prometheus_config``
    wrote.

    Raises:
        PermanentError: there is no Prometheus on this machine.
    """
    beside = Path(sys.executable).with_name("prometheus")
    program = str(beside) if beside.exists() else shutil.which("prometheus")
    if program is None:
        raise PermanentError(
            "there is no Prometheus here: on Debian or Ubuntu `make setup` installs it, or apt-get "
            "install prometheus; elsewhere get it from prometheus.io/download and put it on PATH"
        )
    return [
        program,
        f"--config.file={directory / CONFIG_FILE}",
        f"--storage.tsdb.path={directory / STORAGE_DIRECTORY}",
        f"--storage.tsdb.retention.time={RETENTION_TIME}",
        f"--storage.tsdb.retention.size={RETENTION_SIZE}",
        f"--web.listen-address=127.0.0.1:{port}",
        # By default every web page may read it. It cannot be told to refuse requests for other hosts than ours.
        f"--web.cors.origin=http://(127\\.0\\.0\\.1|localhost):{port}",
        "--log.level=warn",
        f"--scrape.discovery-reload-interval={DISCOVERED_WITHIN}",
    ]


def prometheus_ready_url(port: int) -> str:
    """Return the URL that answers 200 once Prometheus has read its storage and can be queried."""
    return f"http://127.0.0.1:{port}/-/ready"


class TargetFiles:
    """One file for each deployment, in the directory that Prometheus watches. Each is replaced as a whole."""

    def __init__(self, targets_dir: Path) -> None:
        self._directory = targets_dir

    def set(self, model: str, version: str, urls: Mapping[str, str]) -> None:
        """Have the deployment's replicas scraped. ``urls``: by the names of the replicas, which become their
        ``instance``. A file with the right content is left as it is."""
        own = {MODEL_LABEL: model, VERSION_LABEL: version}
        targets = [
            {"targets": [urlsplit(url).netloc], "labels": {"instance": replica, **own}} for replica, url in urls.items()
        ]
        text = json.dumps(targets)
        path = self._path(deployment_named(model, version))
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            self._directory.mkdir(parents=True, exist_ok=True)
            replace_file(path, text)

    def drop(self, model: str, version: str) -> None:
        """Stop scraping the deployment, if it was scraped."""
        self._path(deployment_named(model, version)).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.json"
