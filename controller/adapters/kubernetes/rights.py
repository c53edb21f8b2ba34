"""The rights that Serin needs in its namespace, and what for: the chart's Role grants exactly these.

``python -m controller.adapters.kubernetes.rights`` prints them as rules of a Role. With ``operator`` or ``sticky``, it
prints the additional rights: to keep rules for a Prometheus operator, or to have Envoy Gateway split users by a header.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import yaml

from controller.adapters.kubernetes.resources import (
    AUTOSCALERS,
    CONFIG_MAPS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    HTTP_ROUTES,
    LEASES,
    MODEL_RELEASES,
    PODS,
    PROMETHEUS_RULES,
    RELEASE_POLICIES,
    SERVICES,
    TRAFFIC_POLICIES,
    Object,
    Resource,
)


@dataclass(frozen=True, slots=True)
class Right:
    """The verbs that are used on one resource, or on a subresource of it. None is for Secrets: those are mounted as
    files."""

    resource: Resource
    verbs: tuple[str, ...]
    why: str
    subresource: str = ""

    @property
    def name(self) -> str:
        """Return the name of the resource in a Role."""
        return f"{self.resource.plural}/{self.subresource}" if self.subresource else self.resource.plural


RIGHTS: Final = (
    Right(HTTP_ROUTES, ("create", "get", "list", "patch"), "the traffic tables"),
    Right(DEPLOYMENTS, ("create", "delete", "list", "patch"), "versions: made once, marked with what served everybody"),
    Right(DEPLOYMENTS, ("get", "update"), "their sizes", "scale"),
    Right(SERVICES, ("create", "delete", "list"), "where versions are asked"),
    Right(PODS, ("list",), "how their replicas are"),
    Right(AUTOSCALERS, ("create", "delete", "list", "patch"), "their bounds"),
    Right(DISRUPTION_BUDGETS, ("create", "delete"), "a drained node takes one replica at a time"),
    Right(
        CONFIG_MAPS,
        ("create", "get", "patch"),
        "where replicas send copies, which packages their cache keeps, and alert rules",
    ),
    Right(
        MODEL_RELEASES, ("create", "delete", "list"), "releases that people and Git ask for, and views of all others"
    ),
    Right(MODEL_RELEASES, ("patch",), "how they are", "status"),
    Right(RELEASE_POLICIES, ("list",), "policies that Git holds"),
    Right(RELEASE_POLICIES, ("patch",), "whether they are followed", "status"),
    Right(LEASES, ("create", "get", "patch", "update"), "who leads"),
)
OPERATOR_RIGHTS: Final = (Right(PROMETHEUS_RULES, ("create", "patch"), "alert rules of the policies in force"),)
STICKY_RIGHTS: Final = (Right(TRAFFIC_POLICIES, ("create", "list", "patch"), "by which users keep their version"),)
_GROUPS: Final = {"operator": OPERATOR_RIGHTS, "sticky": STICKY_RIGHTS}


def rules(rights: Sequence[Right] = RIGHTS) -> list[Object]:
    """Return the rights as rules of a Role, one rule for each."""
    return [
        {"apiGroups": [right.resource.group], "resources": [right.name], "verbs": list(right.verbs)} for right in rights
    ]


def as_yaml(rights: Sequence[Right] = RIGHTS) -> str:
    """Return the rules as YAML, each with a comment that says what it is for."""
    parts = zip(rights, rules(rights), strict=True)
    return "".join(f"# {right.why}\n{yaml.safe_dump([rule], default_flow_style=None)}" for right, rule in parts)


if __name__ == "__main__":
    print(as_yaml(_GROUPS[sys.argv[1]] if sys.argv[1:] else RIGHTS), end="")
