"""Envoy's cluster file: which address each deployment answers at, and who answers while it does not.

A deployment comes in before it is routed to and goes only when nothing routes to it, so no request meets a gap.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from serving.contract import GATEWAY_HOST, HEALTH_ROUTE, is_shadow_cluster

Address = tuple[str, int]  # (IP address, port)

_TYPE: Final = "type.googleapis.com/envoy"
_ASKED_EVERY: Final = "1s"  # with two misses, a replica that hangs is left out after some three seconds
_ASKED_UNUSED_EVERY: Final = "5s"
_ANSWERS_WITHIN: Final = "1s"
_MISSES_MAX: Final = 2
_REFUSED_MAX: Final = 3  # connections in a row


@dataclass(frozen=True, slots=True)
class ClusterDocument:
    """Cluster name -> address, and cluster name -> who answers in its place while nobody well answers there.

    A deployment has a cluster for live requests and one for copies.
    """

    addresses: Mapping[str, Address]
    fallbacks: Mapping[str, Address]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError, KeyError, TypeError or IndexError where this is no file of ours."""
        clusters = json.loads(text)["resources"]
        found = {cluster["name"]: _addresses(cluster) for cluster in clusters}
        return cls(
            {name: addresses[0] for name, addresses in found.items()},
            {name: addresses[1] for name, addresses in found.items() if len(addresses) > 1},
        )

    @property
    def revision(self) -> int:
        """None is kept: which of two is newer cannot be told."""
        return 0

    def text(self) -> str:
        resources = [
            _encode(name, address, self.fallbacks.get(name)) for name, address in sorted(self.addresses.items())
        ]
        return json.dumps({"resources": resources}, indent=1)


def address_of(cluster: Mapping[str, Any]) -> Address:
    """Where the deployment itself answers, of an Envoy cluster of ours."""
    return _addresses(cluster)[0]


def _addresses(cluster: Mapping[str, Any]) -> list[Address]:
    places = [place["lb_endpoints"][0]["endpoint"] for place in cluster["load_assignment"]["endpoints"]]
    sockets = [place["address"]["socket_address"] for place in places]
    return [(socket["address"], int(socket["port_value"])) for socket in sockets]


def _encode(name: str, address: Address, fallback: Address | None) -> dict[str, Any]:
    places = [_place(address, 0)] if fallback is None else [_place(address, 0), _place(fallback, 1)]
    watched = {} if is_shadow_cluster(name) else _watched()
    return {
        "@type": f"{_TYPE}.config.cluster.v3.Cluster",
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": places},
        **watched,
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions",
                # uvicorn closes idle connections after 5 s. Letting go first keeps a request from being sent into a
                # connection that is just being closed, which would be answered with 503.
                "common_http_protocol_options": {"idle_timeout": "3s"},
                "explicit_http_config": {"http_protocol_options": {}},
            }
        },
    }


def _place(address: Address, priority: int) -> dict[str, Any]:
    host, port = address
    endpoint = {"endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}}}
    return {"lb_endpoints": [endpoint], **({"priority": priority} if priority else {})}


def _watched() -> dict[str, Any]:
    """Asks a replica for its health, which is that of its engine, and leaves out one that refuses connections.

    Only what the gateway itself met with counts here: an error that a version answers is the gates' to judge. Where
    nobody is well, requests are sent all the same, as they would be to one that is merely slow.
    """
    return {
        "health_checks": [
            {
                "timeout": _ANSWERS_WITHIN,
                "interval": _ASKED_EVERY,
                "no_traffic_interval": _ASKED_UNUSED_EVERY,
                "unhealthy_threshold": _MISSES_MAX,
                "healthy_threshold": 1,
                "http_health_check": {"path": HEALTH_ROUTE, "host": GATEWAY_HOST},
            }
        ],
        "close_connections_on_host_health_failure": True,
        "outlier_detection": {
            "split_external_local_origin_errors": True,
            "consecutive_local_origin_failure": _REFUSED_MAX,
            "enforcing_consecutive_local_origin_failure": 100,
            "enforcing_local_origin_success_rate": 0,
            "enforcing_consecutive_5xx": 0,
            "enforcing_consecutive_gateway_failure": 0,
            "enforcing_success_rate": 0,
            "interval": "1s",
            "base_ejection_time": "1s",
            "max_ejection_time": "5s",
            "max_ejection_percent": 100,
        },
    }
