"""A real Envoy that is led by a model's HTTPRoute and BackendTrafficPolicy, as Envoy Gateway renders them.

Which rendering depends on its age, and on whether the route's backends have filters of their own:

* ``weighted by hash``: a cluster a backend, one of which is chosen by weight and hash (since its change 9629);
* ``weighted by chance``: the same, chosen by weight alone (before it, its issue 9626);
* ``one cluster``: all backends are localities of one cluster, and Maglev ignores their weights (its issue 9775).
"""

import http.client
import json
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from controller.adapters.envoy.bootstrap import envoy_command
from controller.adapters.kubernetes.resources import Object
from controller.adapters.local.loopback import free_ports
from controller.files import replace_file
from serving.contract import MODEL_VERSION_HEADER
from tests.patience import PATIENCE_S, eventually

BY_HASH: Final = "weighted by hash"
BY_CHANCE: Final = "weighted by chance"
ONE_CLUSTER: Final = "one cluster"
_HCM: Final = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER: Final = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_ROUTES: Final = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
_CLUSTER: Final = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
_REVISION: Final = "x-revision"


@dataclass
class EnvoyGateway:
    """``ports``: where each backend answers, by the name of its Service."""

    folder: Path
    url: str
    ports: Mapping[str, int]
    rendering: str = BY_HASH
    _revision: int = field(default=0)

    def follow(self, route: Object, policy: Object | None) -> None:
        """Take up what stands there; Envoy answers by it once this returns."""
        self._revision += 1
        header = policy["spec"]["loadBalancer"]["consistentHash"]["header"]["name"] if policy is not None else None
        rules = [rule for rule in route["spec"]["rules"] if rule["matches"]]
        clusters = [self._cluster(name, {name: 1}) for name in self.ports]
        clusters += [self._cluster(f"rule-{n}", _weights(rule)) for n, rule in enumerate(rules)]
        _write(self.folder / "clusters.json", [{"@type": _CLUSTER, **one} for one in clusters])
        routes = [self._route(n, rule, header) for n, rule in enumerate(rules)]
        told = {"header": {"key": _REVISION, "value": str(self._revision)}}
        host = {"name": "all", "domains": ["*"], "routes": routes, "response_headers_to_add": [told]}
        _write(self.folder / "routes.json", [{"@type": _ROUTES, "name": "routes", "virtual_hosts": [host]}])
        path = rules[1]["matches"][0]["path"]["value"]
        eventually(lambda: self.ask(path)[1] == str(self._revision), what="Envoy to follow")

    def ask(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[str | None, str | None]:
        """The version that answers, and the revision by which; nothing where Envoy does not listen yet."""
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=PATIENCE_S)
        try:
            connection.request("GET", path, headers=dict(headers or {}))
            answer = connection.getresponse()
            answer.read()
            return answer.getheader(MODEL_VERSION_HEADER), answer.getheader(_REVISION)
        except ConnectionRefusedError:
            return None, None
        finally:
            connection.close()

    def _cluster(self, name: str, weights: Mapping[str, int]) -> Object:
        localities = [
            {
                "locality": {"region": backend},
                "load_balancing_weight": weight,
                "lb_endpoints": [{"endpoint": {"address": _address(self.ports[backend])}}],
            }
            for backend, weight in weights.items()
        ]
        return {
            "name": name,
            "type": "STATIC",
            "connect_timeout": "5s",
            "lb_policy": "MAGLEV",
            "load_assignment": {"cluster_name": name, "endpoints": localities},
        }

    def _route(self, number: int, rule: Object, header: str | None) -> Object:
        (match,) = rule["matches"]
        (rewrite,) = [one["urlRewrite"]["path"] for one in rule["filters"] if one["type"] == "URLRewrite"]
        action: Object = {"prefix_rewrite": rewrite["replaceFullPath"]}
        if self.rendering == ONE_CLUSTER or len(rule["backendRefs"]) == 1:
            action["cluster"] = f"rule-{number}"
        else:
            clusters = [{"name": name, "weight": weight} for name, weight in _weights(rule).items()]
            action["weighted_clusters"] = {"clusters": clusters}
        if header is not None:
            action["hash_policy"] = [{"header": {"header_name": header}}]
            if "weighted_clusters" in action and self.rendering == BY_HASH:
                action["weighted_clusters"]["use_hash_policy"] = True
        told = [
            {"header": {"key": header["name"], "value": header["value"]}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            for one in rule["filters"]
            for header in one.get("responseHeaderModifier", {}).get("set", ())
        ]
        return {"match": {"path": match["path"]["value"]}, "route": action, "response_headers_to_add": told}


@contextmanager
def envoy_gateway(folder: Path, versions: Mapping[str, str]) -> Iterator[EnvoyGateway]:
    """``versions``: that of each Service, by its name; each is answered for by a small server."""
    folder.mkdir()
    (listen,) = free_ports(1)
    with ExitStack() as stack:
        ports = {name: stack.enter_context(_replica(version)) for name, version in versions.items()}
        for file in ("clusters.json", "routes.json"):
            _write(folder / file, [])
        (folder / "bootstrap.json").write_text(json.dumps(_bootstrap(folder, listen)))
        binary = envoy_command(folder)[0]
        command = [binary, "--config-path", str(folder / "bootstrap.json"), "--concurrency", "2"]
        with (folder / "envoy.log").open("wb") as log:
            process = subprocess.Popen([*command, "--disable-hot-restart", "--log-level", "warning"], stderr=log)
        try:
            yield EnvoyGateway(folder, f"http://127.0.0.1:{listen}", ports)
        finally:
            process.kill()
            process.wait(PATIENCE_S)


@contextmanager
def _replica(version: str) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header(MODEL_VERSION_HEADER, version)
            self.send_header("content-length", "0")
            self.end_headers()

        def handle_one_request(self) -> None:
            with suppress(ConnectionError):  # Envoy is ended
                super().handle_one_request()

        def log_message(self, *_: Any) -> None:
            """Nothing on the test's output."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def _bootstrap(folder: Path, port: int) -> Object:
    rds = {"route_config_name": "routes", "config_source": _followed(folder / "routes.json")}
    manager = {
        "@type": _HCM,
        "stat_prefix": "gateway",
        "rds": rds,
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER}}],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    listener = {"name": "gateway", "address": _address(port), "filter_chains": [chain]}
    return {
        "node": {"id": "gateway", "cluster": "gateway"},
        "dynamic_resources": {"cds_config": _followed(folder / "clusters.json")},
        "static_resources": {"listeners": [listener]},
    }


def _followed(file: Path) -> Object:
    return {
        "resource_api_version": "V3",
        "path_config_source": {"path": str(file), "watched_directory": {"path": str(file.parent)}},
    }


def _write(file: Path, resources: list[Object]) -> None:
    replace_file(file, json.dumps({"resources": resources}))


def _weights(rule: Object) -> dict[str, int]:
    return {one["name"]: one["weight"] for one in rule["backendRefs"]}


def _address(port: int) -> Object:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
