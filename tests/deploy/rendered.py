"""The chart as Helm's engine renders it, and what it is held against."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import helm_python
import jsonschema
import kubernetes_validate
import yaml

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "deploy/helm/serin"
KUBERNETES: Final = "1.37"
Object = dict[str, Any]

NEEDED: Final[Mapping[str, Any]] = {
    "gateway": {"name": "public", "namespace": "gateways", "url": "http://public.gateways.svc"},
    "replica": {"captureSecret": "capture"},
    "registry": {"url": "https://mlflow.example"},
    "database": {"secret": "journal"},
    "api": {"tlsSecret": "interface", "tokensSecret": "tokens"},
    "prometheus": {"url": "http://prometheus.monitoring:9090"},
}
RULES: Final = "groups: [{name: serin, rules: [{record: 'serin:up', expr: up}]}]"
MATRIX: Final[Mapping[str, Mapping[str, Any]]] = {
    "needed": {},
    "policies": {
        "policies": {"intent": {"suites": ["../cases/intent.jsonl"]}, "Mood_2.0": {"deadline_s": 600}},
        "suites": {"configMap": "cases"},
    },
    "operator": {
        "monitoring": {"kind": "operator", "labels": {"release": "kps"}, "ruleFile": RULES, "tokenSecret": "scrape"}
    },
    "operator without rules": {
        "monitoring": {"kind": "operator", "labels": {"release": "kps"}, "tokenSecret": "scrape"}
    },
    "told": {
        "monitoring": {
            "ruleFile": RULES,
            "gateway": {"podLabels": {"gateway.networking.k8s.io/gateway-name": "public"}, "port": "metrics"},
            "receivers": {"pageUrl": "https://pages.example/hook?a=1&b='2'", "ticketUrl": "https://t.example/"},
        }
    },
    "told by an operator": {
        "monitoring": {
            "kind": "operator",
            "tokenSecret": "scrape",
            "gateway": {"podLabels": {"app": "cilium-envoy"}, "port": "envoy-metrics", "path": "/metrics"},
        },
        "gateway": {"metrics": {"kind": "cilium", "job": "envoys"}, "dataPlaneNamespace": "kube-system"},
    },
    "sticky": {"gateway": {"sticky": {"by": "envoy-gateway", "header": "x-user"}}},
    "unwatched": {"monitoring": {"kind": "none"}},
    "trial": {
        "postgresql": {"enabled": True, "secret": "postgres", "storageClass": "fast"},
        "mlflow": {"enabled": True, "image": {"repository": "mlflow", "tag": "v3.17.2"}, "storageClass": "fast"},
        "registry": {"url": ""},
        "database": {"secret": ""},
    },
    "secrets": {
        "texts": {"secret": "text"},
        "webhook": {"secret": "hook"},
        "argilla": {"secret": "annotators"},
        "registry": {"secret": "mlflow-reader", "ca": True},
        "prometheus": {"secret": "metrics", "token": True, "ca": True, "url": "https://prometheus.example"},
        "replica": {"cacheClaim": "packages", "cpu": 1.5},
    },
    "on call": {
        "onCall": {
            "routes": {"intent": "intent-route"},
            "subjects": [{"kind": "Group", "name": "on-call", "apiGroup": "rbac.authorization.k8s.io"}],
        }
    },
    "pinned": {
        "image": {"digest": "sha256:" + "0" * 64, "pullSecrets": ["pull"]},
        "controller": {
            "replicas": 3,
            "nodeSelector": {"pool": "system"},
            "tolerations": [{"key": "system", "operator": "Exists"}],
        },
        "settings": {"tick_s": 1.0},
    },
    "gateway": {
        "gateway": {
            "features": ["HTTPRoutePathRewrite"],
            "hostnames": ["models.example"],
            "mirroring": "replica",
            "metrics": {"kind": "istio", "job": "infra/shop"},
        },
        "replica": {
            "autoscaling": {"replicasMax": 6, "by": "requests", "target": 2.5},
            "nodeSelector": {"pool": "models"},
        },
    },
    "open network": {"networkPolicy": {"enabled": False}},
    "peers": {
        "networkPolicy": {
            "apiFrom": [{"namespaceSelector": {"matchLabels": {"team": "search"}}}],
            "prometheusNamespace": "monitoring",
            "extraEgress": [{"ports": [{"protocol": "TCP", "port": 4318}]}],
        }
    },
}


def values(*changes: Mapping[str, Any]) -> dict[str, Any]:
    """The needed values with these changes, merged as Helm merges them."""
    merged: dict[str, Any] = {}
    for change in (NEEDED, *changes):
        _merge(merged, change)
    return merged


def _merge(into: dict[str, Any], change: Mapping[str, Any]) -> None:
    for key, value in change.items():
        if isinstance(value, Mapping):
            _merge(into.setdefault(key, {}), value)
        else:
            into[key] = value


def rendered(given: Mapping[str, Any], *, name: str = "models", namespace: str = "serving") -> list[Object]:
    """Every object of the chart. Raises `helm_python.HelmError` where the values are refused."""
    files = _files(json.dumps(given), name, namespace)
    texts = (text for path, text in files.items() if not path.endswith("NOTES.txt"))
    return [document for text in texts for document in yaml.load_all(text, yaml.CSafeLoader) if document]


@cache
def _files(given: str, name: str, namespace: str) -> Mapping[str, str]:
    with helm_python.Chart.load(str(CHART)) as chart:
        return chart.render(json.loads(given), name=name, namespace=namespace)


def notes(given: Mapping[str, Any]) -> str:
    """What Helm says after an installation."""
    return _files(json.dumps(given), "models", "serving")["serin/templates/NOTES.txt"]


def of_kind(objects: Sequence[Object], kind: str, component: str | None = None) -> list[Object]:
    """Those of the kind, and of one part of the chart where it is named."""
    return [
        one
        for one in objects
        if one["kind"] == kind and component in (None, one["metadata"]["labels"]["app.kubernetes.io/component"])
    ]


def pods(objects: Sequence[Object]) -> Iterator[tuple[str, Object]]:
    """The template of each pod, by the name of what makes it."""
    for one in objects:
        if "template" in one.get("spec", {}):
            yield one["metadata"]["name"], one["spec"]["template"]


def check(one: Object) -> None:
    """Hold the object against its schema. Raises where there is none, or where it does not fit."""
    if one["apiVersion"] == "monitoring.coreos.com/v1":
        jsonschema.validate(one["spec"], OPERATOR[one["kind"]])
        return
    _check(json.dumps(one))


@cache
def _check(one: str) -> None:
    """Many objects are the same whatever the values; the schemas are read anew each time."""
    kubernetes_validate.validate(json.loads(one), KUBERNETES, strict=True)


def _object(required: Sequence[str] = (), **properties: Any) -> Object:
    return {"type": "object", "additionalProperties": False, "required": list(required), "properties": properties}


_TEXT: Final = {"type": "string", "minLength": 1}
_DURATION: Final = {"type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$"}
_KEY: Final = _object(["name", "key"], name=_TEXT, key=_TEXT)
_LABELS: Final = {"type": "object", "additionalProperties": {"type": "string"}}
_NAMES: Final = {"type": "array", "minItems": 1, "items": _TEXT}
_RELABELING: Final = _object(
    [],
    sourceLabels=_NAMES,
    targetLabel=_TEXT,
    regex=_TEXT,
    replacement=_TEXT,
    action={"enum": ["replace", "keep", "drop"]},
)
_ENDPOINT: Final = _object(
    ["port"],
    honorLabels={"type": "boolean"},
    honorTimestamps={"type": "boolean"},
    relabelings={"type": "array", "minItems": 1, "items": _RELABELING},
    port=_TEXT,
    path=_TEXT,
    scheme={"enum": ["http", "https"]},
    interval=_DURATION,
    authorization=_object(["credentials"], type=_TEXT, credentials=_KEY),
    tlsConfig=_object(serverName=_TEXT, ca=_object(secret=_KEY)),
)
_RULE: Final = _object(
    ["expr"],
    record=_TEXT,
    alert=_TEXT,
    expr=_TEXT,
    labels=_LABELS,
    annotations=_LABELS,
    **{"for": _DURATION, "keep_firing_for": _DURATION},
)
_GROUP: Final = _object(["name"], name=_TEXT, interval=_DURATION, rules={"type": "array", "items": _RULE})
OPERATOR: Final[Mapping[str, Object]] = {
    "ServiceMonitor": _object(
        ["selector", "endpoints"],
        selector=_object(matchLabels=_LABELS),
        endpoints={"type": "array", "minItems": 1, "items": _ENDPOINT},
    ),
    "PodMonitor": _object(
        ["selector", "podMetricsEndpoints"],
        selector=_object(matchLabels=_LABELS),
        namespaceSelector=_object(["matchNames"], matchNames=_NAMES),
        podMetricsEndpoints={"type": "array", "minItems": 1, "items": _ENDPOINT},
    ),
    "PrometheusRule": _object(["groups"], groups={"type": "array", "items": _GROUP}),
}
"""The Prometheus operator's kinds: as much of its API reference as the chart uses, and nothing else."""
