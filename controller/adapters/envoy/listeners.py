"""The listeners of Envoy: the gateway that clients ask, and the two pages of its admin interface that others may
read."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from controller.adapters.envoy.filters import LOOPBACK_NAMES, TYPE, no_strangers, refusals, router, usable_request_id
from serving.contract import GATEWAY_STATS_ROUTE

LOOPBACK: Final = "127.0.0.1"
READABLE_PATHS: Final = ("/ready", GATEWAY_STATS_ROUTE)
ADMIN_CLUSTER: Final = "envoy_admin"  # no deployment's name: those end in "-v" and a version

_MISDIRECTED: Final = 421
_FILES_FOR_ITSELF: Final = 128
_FILES_A_CLIENT: Final = 3


def gateway_listener(host: str, port: int, names: Iterable[str], routes: Mapping[str, Any]) -> dict[str, Any]:
    """Clients' requests, by the routes that ``routes`` (an ``Rds``) names.

    ``names``: the hosts that clients may ask for besides those of loopback. Raises UsageError as ``no_strangers`` does.
    """
    manager = {
        "stat_prefix": "models",
        "rds": dict(routes),
        # A caller's request id is kept as it came if it is usable, to the last character: labels come back under it.
        "generate_request_id": True,
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "request_id_extension": {
            "typed_config": {
                "@type": f"{TYPE}.extensions.request_id.uuid.v3.UuidRequestIdConfig",
                "pack_trace_reason": False,
                "use_request_id_for_trace_sampling": False,
            }
        },
        # Nobody is an internal caller, so nobody's x-envoy-* headers change timeouts or retries.
        "use_remote_address": True,
        "internal_address_config": {"cidr_ranges": [{"address_prefix": "255.255.255.255", "prefix_len": 32}]},
        "normalize_path": True,
        "merge_slashes": True,
        "http_filters": [usable_request_id(), no_strangers(port, names), router()],
        "local_reply_config": refusals(),
    }
    return _listener("models", host, port, manager)


def clients_at_most(files_max: int) -> dict[str, Any]:
    """Refuse clients' connections before Envoy has no file left to open: new tables, its admin interface and the
    connections to versions need some. Each client may take one to the version that answers it, and one for a copy."""
    clients = max((files_max - _FILES_FOR_ITSELF) // _FILES_A_CLIENT, 1)
    kind = f"{TYPE}.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
    limit = {"@type": kind, "max_active_downstream_connections": clients}
    monitor = {"name": "envoy.resource_monitors.global_downstream_max_connections", "typed_config": limit}
    return {"overload_manager": {"resource_monitors": [monitor]}}


def admin_reader(port: int) -> dict[str, Any]:
    """Lets this machine read what Prometheus scrapes and whether Envoy is ready. Everything else that the admin
    interface can do, such as ending Envoy, stays behind its socket; so do requests by another name than this
    machine's (DNS rebinding) and those that a web page makes."""
    matched = [{"name": ":method", "string_match": {"exact": "GET"}}, {"name": "origin", "present_match": False}]
    pages = [
        {"match": {"path": path, "headers": matched}, "route": {"cluster": ADMIN_CLUSTER}} for path in READABLE_PATHS
    ]
    hosts: list[dict[str, Any]] = [
        {"name": "here", "domains": list(LOOPBACK_NAMES), "routes": pages},
        {"name": "elsewhere", "domains": ["*"], "routes": [_misdirected()]},
    ]
    routes = {"name": "admin", "ignore_port_in_host_matching": True, "virtual_hosts": hosts}
    manager = {"stat_prefix": "admin", "route_config": routes, "http_filters": [router()]}
    return {**_listener("admin", LOOPBACK, port, manager), "ignore_global_conn_limit": True}


def admin_cluster(socket: Path) -> dict[str, Any]:
    """The admin interface itself, as Envoy asks it for ``admin_reader``."""
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(socket)}}}}
    return {
        "name": ADMIN_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": ADMIN_CLUSTER, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _misdirected() -> dict[str, Any]:
    body = {"inline_string": f"Host: only {', '.join(LOOPBACK_NAMES)} are answered here\n"}
    return {"match": {"prefix": "/"}, "direct_response": {"status": _MISDIRECTED, "body": body}}


def _listener(name: str, host: str, port: int, manager: Mapping[str, Any]) -> dict[str, Any]:
    kind = f"{TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    http = {"name": "envoy.filters.network.http_connection_manager", "typed_config": {"@type": kind, **manager}}
    address = {"socket_address": {"address": host, "port_value": port}}
    return {"name": name, "address": address, "filter_chains": [{"filters": [http]}]}
