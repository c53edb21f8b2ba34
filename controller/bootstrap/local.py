"""The processes that `serin up` runs on one machine, and how they are ended."""

import base64
import hashlib
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from controller.adapters.envoy.bootstrap import bootstrap_digest, envoy_command, is_ready, write_bootstrap
from controller.adapters.local.kept import end_leftovers, refuse_second, running_supervisor
from controller.adapters.local.loopback import free_port, free_ports, get
from controller.adapters.local.open_files import files_at_most, may_open_as_many_files_as_allowed
from controller.adapters.local.processes import end_recorded
from controller.adapters.local.processes_os import end_process
from controller.adapters.local.supervisor import ProcessSpec, Supervisor
from controller.adapters.mlflow.server import Hooks, mlflow_ready_url, mlflow_server_command
from controller.adapters.prometheus.alertmanager import (
    alertmanager_command,
    alertmanager_program,
    alertmanager_ready_url,
)
from controller.adapters.prometheus.server import (
    Alerting,
    ControllerTarget,
    prometheus_command,
    prometheus_config,
    prometheus_ready_url,
)
from controller.bootstrap.access import prepare_access, webhook_secret
from controller.bootstrap.alerting import ALERTMANAGER, PROMETHEUS, write_routing, write_rules
from controller.bootstrap.chores import chores_of, phases_chore, rules_chore
from controller.bootstrap.policies import installed_policies
from controller.config.settings import Home, Settings
from controller.errors import PermanentError
from controller.files import tighten
from serving.contract import HEALTH_ROUTE

LOOPBACK = "127.0.0.1"
_ANSWERS_WITHIN_S = 1.0
_END_WITHIN_S = 60.0  # it drains what it runs
_REGISTRY_READY_WITHIN_S = 300.0  # MLflow imports for ten seconds of processor time, on a machine that may be busy
_STARTED_FROM = "SERIN_BOOTSTRAP"  # of Envoy's environment: one that was started from other settings is not taken up

__all__ = [
    "end_everything",
    "free_port",
    "free_ports",
    "gateway_answers",
    "make_private",
    "refuse_if_up",
    "run_everything",
]


def run_everything(
    home: Home,
    settings: Settings,
    *,
    tell: Callable[[str], None],
    stopping: threading.Event,
    up: Callable[[Sequence[str]], None],
) -> None:
    """Start everything, call ``up`` with what is missing yet, keep it running until ``stopping`` is set, and end
    everything: what answers users first up and last down. Model versions that a killed `serin up` left go on.

    Raises:
        UsageError: it runs already in this home.
        PermanentError: the gateway could not be started.
    """
    may_open_as_many_files_as_allowed()
    specs = _local_processes(home, settings)
    chores = [*chores_of(home, lambda: _write_bootstrap(home, settings), tell), phases_chore(home, tell)]
    if settings.prometheus_url is None:
        chores.append(rules_chore(home, settings))
        if not any(spec.name == ALERTMANAGER for spec in specs):
            tell(
                "alerts are evaluated, but nobody is told about them: on Debian, apt-get install "
                "prometheus-alertmanager"
            )
    with Supervisor(home.path, specs, progress=tell, stopping=stopping, chores=chores) as supervisor:
        if supervisor.start():
            up(supervisor.missing)
            supervisor.run()
        supervisor.stop_all_but_data_plane()
        end_recorded(home.deployments)


def make_private(home: Home) -> int:
    """Close the home to everybody but its owner, secrets that others could read having been made anew; the number of
    files and folders that had been open.

    Raises:
        UsageError: a file of tokens is damaged, or others may write to it.
        PermanentError: something in the home belongs to somebody else.
    """
    prepare_access(home, home.load())
    return tighten(home.path, home.contents)


def refuse_if_up(home: Home) -> None:
    """Raise UsageError where `serin up` runs in this home: nothing of what it relies on may be written then."""
    refuse_second(home.path)


def gateway_answers(settings: Settings) -> bool:
    """Return whether users reach the gateway: whatever it says to a request for nothing."""
    try:
        get(settings.gateway, timeout_s=_ANSWERS_WITHIN_S)
    except OSError:
        return False
    return True


def end_everything(home: Home, *, within_s: float = _END_WITHIN_S) -> list[str]:
    """End what runs here, in order, or what an earlier run left behind; returns the names.

    Raises:
        PermanentError: `serin up` was told to end, and still runs after ``within_s``; nothing else was touched.
    """
    supervisor = running_supervisor(home.path)
    if supervisor is not None:
        if not end_process(supervisor, within_s=within_s):
            raise PermanentError(f"`serin up`, process {supervisor.pid}, is still running {within_s:g} s after SIGTERM")
        return ["serin up", *end_recorded(home.deployments)]
    return [*end_leftovers(home.path), *end_recorded(home.deployments)]


def _local_processes(home: Home, settings: Settings) -> list[ProcessSpec]:
    """Return what `serin up` keeps running on this machine."""
    home.logs.mkdir(parents=True, exist_ok=True)
    home.policies.mkdir(parents=True, exist_ok=True)
    prepare_access(home, settings)
    _write_bootstrap(home, settings)
    specs = []
    if settings.registry_url is None:
        secret = webhook_secret(settings)
        hooks = Hooks(_webhook_key(secret()), to=f"{LOOPBACK}:{settings.api_port}") if secret else None
        command, env = mlflow_server_command(home.mlflow, LOOPBACK, settings.mlflow_port, hooks=hooks)
        mlflow = _process(
            home,
            "mlflow",
            command,
            mlflow_ready_url(LOOPBACK, settings.mlflow_port),
            env=env,
            ports=_ports(settings, "mlflow_port"),
        )
        specs.append(replace(mlflow, ready_within_s=_REGISTRY_READY_WITHIN_S))
    return [
        ProcessSpec(
            name="envoy",
            command=envoy_command(home.envoy),
            ready=lambda: is_ready(home.envoy),
            log_file=home.logs / "envoy.log",
            env={_STARTED_FROM: bootstrap_digest(home.envoy)},
            data_plane=True,
            prepare=lambda: _write_bootstrap(home, settings),
            ports=_ports(settings, "gateway_port", "envoy_admin_port"),
        ),
        *(_monitoring(home, settings) if settings.prometheus_url is None else []),
        _process(
            home,
            "controller",
            [sys.executable, "-m", "controller", "--home", str(home.path)],
            settings.api + HEALTH_ROUTE,
            ports=_ports(settings, "api_port"),
        ),
        *specs,
    ]


def _monitoring(home: Home, settings: Settings) -> list[ProcessSpec]:
    """Return Prometheus, with the rules of the policies, and Alertmanager where there is one."""
    alertmanager = alertmanager_program()
    write_rules(home, installed_policies(home, settings)())
    prometheus_config(
        home.prometheus,
        home.targets,
        scrape_interval_s=settings.scrape_interval_s,
        token_file=home.own_token if settings.require_tokens else None,
        gateway_port=settings.envoy_admin_port,
        controller=ControllerTarget(settings.api_port, home.scrape_token),
        alerting=Alerting(home.rules, settings.region, settings.alertmanager_port if alertmanager else None),
    )
    port, ports = settings.prometheus_port, _ports(settings, "prometheus_port")
    command = prometheus_command(home.prometheus, port)
    prometheus = _process(home, PROMETHEUS, command, prometheus_ready_url(port), ports=ports)
    if alertmanager is None:
        return [prometheus]
    write_routing(home, settings)
    port, ports = settings.alertmanager_port, _ports(settings, "alertmanager_port")
    command = alertmanager_command(alertmanager, home.alertmanager, port)
    return [prometheus, _process(home, ALERTMANAGER, command, alertmanager_ready_url(port), ports=ports)]


def _write_bootstrap(home: Home, settings: Settings) -> None:
    write_bootstrap(
        home.envoy,
        settings.gateway_port,
        settings.envoy_admin_port,
        names=settings.gateway_hosts,
        files_max=files_at_most(),
    )


def _webhook_key(secret: bytes) -> str:
    """The Fernet key with which our MLflow keeps hooks' secrets: the same at each start, from our own secret."""
    return base64.urlsafe_b64encode(hashlib.sha256(secret).digest()).decode()


def _ports(settings: Settings, *names: str) -> Mapping[str, int]:
    return {name: getattr(settings, name) for name in names}


def _process(
    home: Home,
    name: str,
    command: list[str],
    ready: str | Callable[[], bool],
    *,
    env: Mapping[str, str] | None = None,
    ports: Mapping[str, int],
) -> ProcessSpec:
    log_file = home.logs / f"{name}.log"
    return ProcessSpec(name=name, command=command, ready=ready, log_file=log_file, env=env, ports=ports)
