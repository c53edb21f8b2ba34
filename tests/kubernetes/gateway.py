"""What a gateway does with HTTPRoutes, as far as Serin can see it: it takes them up, says so, and answers by them.

It follows by steps that a test takes, or before each answer. The health rule is answered in turn by the weights, so
that any run of answers is dealt as exactly as it can be. Where a policy says by which header users are dealt, a value
has its place on one line of all weights, as with Envoy.
"""

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import accumulate
from types import MappingProxyType
from typing import Any

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.resources import HTTP_ROUTES, TRAFFIC_POLICIES, Object
from serving.contract import HEALTH_ROUTE, MODEL_VERSION_HEADER


class Gateway:
    """Serves the routes of the namespace on loopback.

    ``stopped``: it takes nothing up. ``lags``: it says that it took a route up, and answers by the one before.
    ``refuses``: why it takes no route. ``versions``: which version answers behind a Service, by its name. Of a policy
    by whose header users are dealt it ``ignores`` the "weights" or the "hash"; it ``keeps`` users where they were.
    """

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client
        self.stopped = False
        self.lags = False
        self.refuses = ""
        self.ignores = ""
        self.keeps = False
        self.versions: dict[str, str] = {}
        self.answered: Counter[str] = Counter()
        self.served: dict[str, Object] = {}  # rules by the path that they match
        self._headers: dict[str, str] = {}  # by the path: of its policy
        self._met: dict[str, Object] = {}  # the backend that a value of a header came to first
        self._dealt: dict[str, Counter[str]] = {}
        self._lock = threading.Lock()
        self.url = ""

    def step(self) -> None:
        """Take up what stands there."""
        if self.stopped:
            return
        for route in self._client.list(HTTP_ROUTES).items:
            self._accept(route)
        if not self.lags:
            found = [
                (match["path"]["value"], rule, route["metadata"]["name"])
                for route in self._client.list(HTTP_ROUTES).items
                if route["spec"].get("parentRefs")
                for rule in route["spec"].get("rules", ())
                for match in rule["matches"]
            ]
            headers = self.headers()
            self.served = {path: rule for path, rule, _ in found}
            self._headers = {path: headers[name] for path, _, name in found if name in headers}

    def headers(self) -> dict[str, str]:
        """The headers by whose hash policies have users dealt, by the route."""
        return {
            target["name"]: policy["spec"]["loadBalancer"]["consistentHash"]["header"]["name"]
            for policy in self._client.list(TRAFFIC_POLICIES).items
            if policy["spec"]["loadBalancer"]["type"] == "ConsistentHash"
            for target in policy["spec"]["targetRefs"]
        }

    def _accept(self, route: Object) -> None:
        generation, parents = route["metadata"]["generation"], route["spec"].get("parentRefs") or []
        told = (route.get("status") or {}).get("parents") or [{}]
        if (told[0].get("conditions") or [{}])[0].get("observedGeneration") == generation or not parents:
            return
        status = "False" if self.refuses else "True"
        conditions = [
            {
                "type": kind,
                "status": status,
                "reason": "NotAllowed" if self.refuses else kind,
                "message": self.refuses,
                "observedGeneration": generation,
                "lastTransitionTime": "2026-11-26T10:00:00Z",
            }
            for kind in ("Accepted", "ResolvedRefs")
        ]
        status_of = [
            {"parentRef": parent, "controllerName": "test.invalid/gateway", "conditions": conditions}
            for parent in parents
        ]
        name = route["metadata"]["name"]
        self._client.replace(HTTP_ROUTES, name, {**route, "status": {"parents": status_of}}, subresource="status")

    def answer(self, path: str, asked: Mapping[str, str] = MappingProxyType({})) -> tuple[int, dict[str, str]]:
        """Return status and headers of what is asked, dealt by the weights, or by the hash of a header of ``asked``."""
        with self._lock:
            rule = self.served.get(path)
            if rule is None or not path.endswith(HEALTH_ROUTE):
                return 404, {}
            user = asked.get(self._headers.get(path, ""), "")
            backend = self._by_hash(user, rule) if user and self.ignores != "hash" else self._by_turns(rule)
            if user and self.keeps:
                backend = self._met.setdefault(user, backend)
            version = self.versions.get(backend["name"], "")
            self.answered[version] += 1
        headers = {MODEL_VERSION_HEADER: version}
        for one in rule.get("filters", ()):
            for header in one.get("responseHeaderModifier", {}).get("set", ()):
                headers[header["name"]] = header["value"]
        return 200, headers

    def _by_turns(self, rule: Object) -> Object:
        dealt = self._dealt.setdefault(str(rule["backendRefs"]), Counter())
        whole = sum(backend["weight"] for backend in rule["backendRefs"])
        asked = dealt.total() + 1
        backend: Object = max(rule["backendRefs"], key=lambda one: one["weight"] / whole * asked - dealt[one["name"]])
        dealt[backend["name"]] += 1
        return backend

    def _by_hash(self, user: str, rule: Object) -> Object:
        place = int.from_bytes(hashlib.sha256(user.encode()).digest()[:8])
        if self.ignores == "weights":
            return rule["backendRefs"][place % len(rule["backendRefs"])]
        ends = list(accumulate(backend["weight"] for backend in rule["backendRefs"]))
        return next(one for one, end in zip(rule["backendRefs"], ends, strict=True) if place % ends[-1] < end)


@contextmanager
def serving(gateway: Gateway, *, steps: bool = True) -> Iterator[Gateway]:
    """The gateway listens while the block lasts; with ``steps`` it follows before each answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if steps:
                gateway.step()
            status, headers = gateway.answer(self.path, self.headers)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing on the test's output."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        gateway.url = f"http://127.0.0.1:{http.server_port}"
        try:
            yield gateway
        finally:
            http.shutdown()
            thread.join()
