"""Envoy's cluster file: which address each deployment answers at.

A deployment comes in before it is routed to and goes only when nothing routes to it, so no request meets a gap.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from controller.adapters.files import replace_file
from controller.errors import PermanentError

CLUSTERS_FILE = "clusters.json"

Address = tuple[str, int]  # (IP address, port)


def read_clusters(directory: Path) -> dict[str, Address]:
    """Cluster name -> address; empty where none was ever written. A deployment has one for live requests and one for
    copies.

    Raises:
        PermanentError: the file is not one of ours.
    """
    path = directory / CLUSTERS_FILE
    try:
        clusters = json.loads(path.read_text(encoding="utf-8"))["resources"]
        return {cluster["name"]: address_of(cluster) for cluster in clusters}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise PermanentError(
            f"{path} is not a readable list of deployments ({type(error).__name__}: {error}) and is left as it is. "
            "Envoy goes on with what it read last. Move the file away: running deployments are entered again."
        ) from error


def write_clusters(directory: Path, clusters: Mapping[str, Address]) -> None:
    """Replace the file; the caller holds the lock."""
    resources = [_encode(name, address) for name, address in sorted(clusters.items())]
    replace_file(directory / CLUSTERS_FILE, json.dumps({"resources": resources}, indent=1))


def address_of(cluster: Mapping[str, Any]) -> Address:
    """The one address of an Envoy cluster of ours."""
    endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    address = endpoint["address"]["socket_address"]
    return address["address"], int(address["port_value"])


def _encode(name: str, address: Address) -> dict[str, Any]:
    host, port = address
    endpoint = {"endpoint": {"address": {"socket_address": {"address": host, "port_value": port}}}}
    return {
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                # uvicorn closes idle connections after 5 s. Letting go first keeps a request from being sent into a
                # connection that is just being closed, which would be answered with 503.
                "common_http_protocol_options": {"idle_timeout": "3s"},
                "explicit_http_config": {"http_protocol_options": {}},
            }
        },
    }
