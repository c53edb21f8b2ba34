"""Envoy's static configuration: where it listens, and which files it follows. Never changed while it runs."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from controller.adapters.envoy_admin import BOOTSTRAP_FILE, EnvoyAdmin
from controller.adapters.envoy_clusters import CLUSTERS_FILE, write_clusters
from controller.adapters.envoy_routes import EMPTY_DOCUMENT, LOCK_FILE, ROUTE_CONFIGURATION, ROUTES_FILE, write_routes
from controller.adapters.files import locked, replace_file
from controller.errors import PermanentError

_TYPE = "type.googleapis.com/envoy"


def write_bootstrap(directory: Path, listen_port: int, admin_port: int, *, listen_host: str = "127.0.0.1") -> Path:
    """Write what Envoy starts from, keeping the routes and clusters that are there, and return the bootstrap file.

    The admin interface, which can end Envoy, listens on loopback only.
    """
    directory.mkdir(parents=True, exist_ok=True)
    bootstrap = {
        "node": {"id": "serin", "cluster": "serin"},
        "admin": {"address": _address("127.0.0.1", admin_port)},
        "dynamic_resources": {"cds_config": _followed(directory / CLUSTERS_FILE)},
        "static_resources": {"listeners": [_listener(directory, listen_host, listen_port)]},
    }
    with locked(directory / LOCK_FILE, source="traffic"):
        if not (directory / CLUSTERS_FILE).exists():
            write_clusters(directory, {})
        if not (directory / ROUTES_FILE).exists():
            write_routes(directory, EMPTY_DOCUMENT)
        replace_file(directory / BOOTSTRAP_FILE, json.dumps(bootstrap, indent=1))
    return directory / BOOTSTRAP_FILE


def envoy_command(directory: Path, *, threads: int = 2) -> list[str]:
    """The command that runs Envoy from the directory's bootstrap file.

    Raises:
        PermanentError: there is no Envoy on this machine.
    """
    arguments = ["--config-path", str(directory / BOOTSTRAP_FILE), "--concurrency", str(threads)]
    return [_binary(), *arguments, "--disable-hot-restart", "--log-level", "warning"]


def ready_url(directory: Path) -> str:
    """Answers 200 once Envoy has read its files and listens."""
    return f"{EnvoyAdmin.beside(directory).url}/ready"


def _binary() -> str:
    wheel = importlib.util.find_spec("envoy")
    candidates = [Path(folder) / "_bin" / "envoy" for folder in (wheel and wheel.submodule_search_locations) or ()]
    candidates.append(Path(sys.executable).with_name("envoy"))
    found = next((str(path) for path in candidates if path.is_file()), None) or shutil.which("envoy")
    if found is None:
        raise PermanentError("there is no Envoy here: install it with `pip install 'serin[local]'`")
    return found


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _followed(path: Path) -> dict[str, Any]:
    return {
        "path_config_source": {"path": str(path), "watched_directory": {"path": str(path.parent)}},
        "resource_api_version": "V3",
    }


def _listener(directory: Path, host: str, port: int) -> dict[str, Any]:
    router = {"@type": f"{_TYPE}.extensions.filters.http.router.v3.Router", "suppress_envoy_headers": True}
    manager = {
        "@type": f"{_TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "models",
        "rds": {"route_config_name": ROUTE_CONFIGURATION, "config_source": _followed(directory / ROUTES_FILE)},
        # A caller's request id is kept as it came, to the last character: labels come back under it.
        "generate_request_id": True,
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "request_id_extension": {
            "typed_config": {
                "@type": f"{_TYPE}.extensions.request_id.uuid.v3.UuidRequestIdConfig",
                "pack_trace_reason": False,
                "use_request_id_for_trace_sampling": False,
            }
        },
        # Nobody is an internal caller, so nobody's x-envoy-* headers change timeouts or retries.
        "use_remote_address": True,
        "internal_address_config": {"cidr_ranges": [{"address_prefix": "255.255.255.255", "prefix_len": 32}]},
        "normalize_path": True,
        "merge_slashes": True,
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {"name": "models", "address": _address(host, port), "filter_chains": [chain]}
