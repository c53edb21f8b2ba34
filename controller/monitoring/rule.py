"""Rules of Prometheus as values, and as the documents that it and its operator read."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from serving.contract import MODEL_LABEL, VERSION_LABEL

SEVERITY_LABEL: Final = "severity"
ABOUT_LABEL: Final = "about"
RUNBOOKS: Final = "deploy/runbooks"
OF_VERSION: Final = f"{MODEL_LABEL}, {VERSION_LABEL}"
WHO: Final = f"{{{{ $labels.{MODEL_LABEL} }}}} version {{{{ $labels.{VERSION_LABEL} }}}}"
_API_VERSION: Final = "monitoring.coreos.com/v1"
_UNITS: Final = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000))


class Severity(StrEnum):
    """The people whom an alert reaches. The first two are the words of a policy's ``urgency``."""

    PAGE = "page"  # somebody, now
    TICKET = "ticket"  # somebody, in working hours
    INFO = "info"  # whoever wants to know what changed
    NONE = "none"  # nobody: it holds others back, or says that alerts are alive


class About(StrEnum):
    """The thing that an alert speaks of, which decides what it holds back and what holds it back."""

    USERS = "users"  # what users got
    REPLICA = "replica"  # what a version's processes do
    RELEASE = "release"  # how a release proceeds
    SERIN = "serin"  # the controller and what it needs


@dataclass(frozen=True, slots=True)
class Recording:
    """A query that is kept under a name."""

    name: str
    query: str

    def document(self) -> Mapping[str, Any]:
        return {"record": self.name, "expr": self.query}


@dataclass(frozen=True, slots=True)
class Alert:
    """A query that nothing should come out of. ``summary`` is one sentence, a template of Prometheus'; ``for_s`` how
    long it has to hold."""

    name: str
    query: str
    severity: Severity
    about: About
    summary: str
    for_s: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def runbook(self) -> str:
        return runbook_of(self.name)

    def document(self) -> Mapping[str, Any]:
        return {
            "alert": self.name,
            "expr": self.query,
            **({"for": duration(self.for_s)} if self.for_s else {}),
            "labels": {SEVERITY_LABEL: self.severity.value, ABOUT_LABEL: self.about.value, **self.labels},
            "annotations": {"summary": self.summary, "runbook_url": self.runbook},
        }


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after the other, each ``every_s``."""

    name: str
    rules: Sequence[Recording | Alert]
    every_s: float

    @property
    def alerts(self) -> Sequence[Alert]:
        return [rule for rule in self.rules if isinstance(rule, Alert)]

    def document(self) -> Mapping[str, Any]:
        rules = [rule.document() for rule in self.rules]
        return {"name": self.name, "interval": duration(self.every_s), "rules": rules}


def runbook_of(alert: str) -> str:
    """The page of the alert, from the root of the repository: ``SerinSlowP95``, ``slow-p95.md``."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", alert.removeprefix("Serin")).lower()
    return f"{RUNBOOKS}/{words}.md"


def rule_file(groups: Sequence[Group]) -> Mapping[str, Any]:
    """The document that Prometheus reads as a rule file."""
    return {"groups": [group.document() for group in groups]}


def prometheus_rule(groups: Sequence[Group], name: str, labels: Mapping[str, str]) -> Mapping[str, Any]:
    """The object that the Prometheus operator reads."""
    return {
        "apiVersion": _API_VERSION,
        "kind": "PrometheusRule",
        "metadata": {"name": name, "labels": dict(labels)},
        "spec": rule_file(groups),
    }


def duration(length_s: float) -> str:
    """The length as Prometheus writes it, in one unit: ``5m``, ``3d``, ``1500ms``."""
    length_ms = round(length_s * 1000)
    unit, size_ms = next(((unit, size) for unit, size in _UNITS if length_ms % size == 0), ("ms", 1))
    return f"{length_ms // size_ms}{unit}"


def series(model: str, metric: str, *matchers: str) -> str:
    """The model's series of a metric."""
    own = f'{MODEL_LABEL}="{model}"'
    return f"{metric}{{{', '.join((own, *matchers))}}}"


def number(value: float) -> str:
    """Every digit that tells, none that arithmetic in binary leaves behind."""
    return f"{value:.12g}"
