"""Where the rules of an installation find what users got: at Serin's own Envoy, or at the gateway of its cluster."""

from controller.adapters.prometheus.gateway_words import GatewayWords
from controller.bootstrap.kubernetes import KubernetesRuntime, gateway_of, runtime_of
from controller.config.settings import Settings
from controller.monitoring.users import OWN, UserSeries


def users_of(runtime: KubernetesRuntime) -> UserSeries:
    """Return the series of the gateway that the settings name. Raises as `gateway_of`."""
    place = gateway_of(runtime, ())
    if place.is_own:
        return UserSeries(job=place.job)
    kind, words = place.kind, GatewayWords(place)
    return UserSeries(
        job=place.job,
        requests=kind.requests,
        times=kind.time,
        unit_ms=kind.edge_ms,
        failed=f'{kind.status_label}=~"5.*"',
        counted={label: value.format(namespace=place.namespace) for label, value in kind.only.items()},
        backend_label=kind.backend_label,
        backend_of=words.of_model,
    )


def installed_users(settings: Settings) -> UserSeries:
    """Return those of an installation with these settings, on a cluster or on this machine. Raises as `runtime_of`, and
    as `users_of`."""
    runtime = runtime_of(settings)
    return users_of(runtime) if runtime is not None else OWN
