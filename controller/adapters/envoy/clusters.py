"""Envoy's clusters, and where each answers: of these, one file is the truth, and the files that Envoy follows are made
from it.

A deployment has a cluster for live requests and one for copies. What a cluster is never changes while it exists: Envoy
would make it anew, with counts that begin at zero one after another, and connections that are opened again. What
changes is who answers in it, which each cluster is told by a file of its own.

A deployment comes in before it is routed to and goes only when nothing routes to it, so no request meets a gap.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from serving.contract import GATEWAY_HOST, HEALTH_ROUTE, is_shadow_cluster

Address = tuple[str, int]  # (IP address, port)
Addresses = tuple[Address, ...]

SCHEMA: Final = "serin.endpoints/v1"
_TYPE: Final = "type.googleapis.com/envoy"
_ASKED_EVERY: Final = "1s"  # with two misses, a replica that hangs is left out after some three seconds
_ASKED_UNUSED_EVERY: Final = "5s"
_ANSWERS_WITHIN: Final = "1s"
_MISSES_MAX: Final = 2
_REFUSED_MAX: Final = 3  # connections in a row


@dataclass(frozen=True, slots=True)
class ClusterDocument:
    """Cluster name -> where it answers, and -> who answers in its place while nobody well answers there."""

    addresses: Mapping[str, Addresses] = field(default_factory=dict)
    fallbacks: Mapping[str, Addresses] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError, KeyError, TypeError, AttributeError or IndexError where this is no file of ours."""
        told = json.loads(text)
        if "resources" in told:
            return cls.of_assignments(cluster["load_assignment"] for cluster in told["resources"])
        if told["schema"] != SCHEMA:
            raise ValueError(f"schema {told['schema']!r}, not {SCHEMA!r}")
        return cls(_decoded(told["addresses"]), _decoded(told["fallbacks"]))

    @classmethod
    def of_assignments(cls, assignments: Iterable[Mapping[str, Any]]) -> Self:
        """Return the document of Envoy's load assignments, which are ours."""
        found = {one["cluster_name"]: [_places(place) for place in one.get("endpoints", ())] for one in assignments}
        return cls(
            {name: places[0] for name, places in found.items() if places},
            {name: places[1] for name, places in found.items() if len(places) > 1},
        )

    @property
    def revision(self) -> int:
        """Return zero: none is kept, since which of two is newer cannot be told."""
        return 0

    def text(self) -> str:
        """Return the text of the file that is the truth."""
        told = {"schema": SCHEMA, "addresses": _encoded(self.addresses), "fallbacks": _encoded(self.fallbacks)}
        return json.dumps(told, indent=1)

    def clusters_text(self, endpoints_folder: str) -> str:
        """Return the text of the file that tells Envoy which clusters there are; each follows its own file in the
        folder."""
        resources = [_cluster(name, f"{endpoints_folder}/{file_of(name)}") for name in sorted(self.addresses)]
        return _resources_text(resources)

    def endpoints_texts(self) -> dict[str, str]:
        """File name -> the text by which a cluster is told who answers in it."""
        return {file_of(name): self._endpoints_text(name) for name in sorted(self.addresses)}

    def _endpoints_text(self, name: str) -> str:
        ranked = [self.addresses[name], self.fallbacks.get(name, ())]
        assignment = {
            "@type": f"{_TYPE}.config.endpoint.v3.ClusterLoadAssignment",
            "cluster_name": name,
            "endpoints": [_place(addresses, priority) for priority, addresses in enumerate(ranked) if addresses],
            # While one replica is well all users are its own: by default others would stand in for a part of them.
            "policy": {"overprovisioning_factor": 100 * len(self.addresses[name])},
        }
        return _resources_text([assignment])


def file_of(cluster: str) -> str:
    """The name of the file in which a cluster is told who answers."""
    return f"{cluster}.json"


def _resources_text(resources: Iterable[Mapping[str, Any]]) -> str:
    """A line for each: an indented text of hundreds would take a second to make."""
    return '{"resources": [\n' + ",\n".join(json.dumps(one) for one in resources) + "\n]}\n"


def _decoded(told: Mapping[str, Any]) -> dict[str, Addresses]:
    return {name: tuple((str(host), int(port)) for host, port in places) for name, places in told.items()}


def _encoded(addresses: Mapping[str, Addresses]) -> dict[str, list[list[Any]]]:
    return {name: [list(address) for address in places] for name, places in sorted(addresses.items())}


def _places(place: Mapping[str, Any]) -> Addresses:
    sockets = [one["endpoint"]["address"]["socket_address"] for one in place["lb_endpoints"]]
    return tuple((socket["address"], int(socket["port_value"])) for socket in sockets)


def _place(addresses: Addresses, priority: int) -> dict[str, Any]:
    endpoints = [
        {"endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}}} for host, port in addresses
    ]
    return {"lb_endpoints": endpoints, "priority": priority}


def _cluster(name: str, endpoints_file: str) -> dict[str, Any]:
    watched = {} if is_shadow_cluster(name) else _watched()
    return {
        "@type": f"{_TYPE}.config.cluster.v3.Cluster",
        "name": name,
        "type": "EDS",
        "eds_cluster_config": {
            "eds_config": {"path_config_source": {"path": endpoints_file}, "resource_api_version": "V3"}
        },
        "ignore_health_on_host_removal": True,  # one that was started again at another port is asked no more
        "common_lb_config": {"update_merge_window": "0s"},  # who is away is left out at once, not within a second
        "connect_timeout": "1s",
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
