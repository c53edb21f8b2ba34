"""The Prometheus of an installation: one of its own, or that of a cluster."""

from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from controller.adapters.prometheus.gateway_kinds import GatewayPlace
from controller.adapters.prometheus.metrics import PrometheusMetrics, Reach
from controller.adapters.prometheus.targets import INSTANCE_LABEL
from controller.config.secret_files import SecretFile, one_line
from controller.config.settings import Settings
from controller.errors import UsageError
from controller.ports.runtime import DeploymentStatus

StatusOf = Callable[[str], Mapping[str, DeploymentStatus]]


def metrics_of(settings: Settings, status: StatusOf) -> PrometheusMetrics:
    """Return how metrics are read. ``status``: of a model, what runs, by version.

    Raises:
        UsageError: the file of the token or of the CA cannot be used, or the settings' ``runtime`` cannot be.
    """
    token = None
    if settings.prometheus_token_file is not None:
        token = SecretFile("prometheus_token_file", settings.prometheus_token_file)
        one_line("prometheus_token_file", token.path, token.read())
    if (ca_file := settings.prometheus_ca_file) is not None and not Path(ca_file).is_file():
        raise UsageError(f"prometheus_ca_file {ca_file}: there is no such file")
    return PrometheusMetrics(
        settings.prometheus,
        scrape_interval_s=settings.scrape_interval_s,
        deadline_s=settings.prometheus_timeout_s,
        process_labels=settings.process_labels,
        reach=Reach(
            matchers=settings.prometheus_matchers,
            token=None if token is None else token.read,
            ca_file=ca_file,
            is_gone=lambda model, version, names: is_gone(status(model).get(version), names),
            gateway=_gateway(settings),
        ),
    )


def _gateway(settings: Settings) -> GatewayPlace:
    """Return whose counts of users' requests are read."""
    if settings.runtime is not None:
        from controller.bootstrap.kubernetes import gateway_of, runtime_of  # a library that one machine does without

        if (runtime := runtime_of(settings)) is not None:
            return gateway_of(runtime, settings.process_labels)
    return GatewayPlace()


def is_gone(status: DeploymentStatus | None, names: Mapping[str, str]) -> bool:
    """Return whether what runs a version knows that this process is there no more: by its address, where it knows those
    of all of them."""
    if status is None or INSTANCE_LABEL not in names:
        return False
    urls = [url for endpoint in status.endpoints for url in (endpoint.url, endpoint.shadow_url)]
    if not urls or any(endpoint.url is None for endpoint in status.endpoints):
        return False
    hosts = {urlsplit(url).hostname for url in urls if url is not None}
    addresses = {urlsplit(url).netloc for url in urls if url is not None}
    instance = names[INSTANCE_LABEL]
    several = len(hosts) == len(status.endpoints)  # of several processes on one host the port tells
    return instance not in addresses and not (several and urlsplit(f"//{instance}").hostname in hosts)
