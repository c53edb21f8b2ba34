"""The rules of the chart's Role, by the part of Serin that needs them: each part's tests run under its own, use each
verb of them, and are refused nothing."""

from typing import Final

from controller.adapters.kubernetes.resources import (
    AUTOSCALERS,
    CONFIG_MAPS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    HTTP_ROUTES,
    LEASES,
    MODEL_RELEASES,
    PODS,
    RELEASE_POLICIES,
    SERVICES,
    Object,
    Resource,
)
from controller.adapters.kubernetes.rights import RIGHTS, rules

_BY_PART: Final = {
    "data plane": (AUTOSCALERS, CONFIG_MAPS, DEPLOYMENTS, DISRUPTION_BUDGETS, HTTP_ROUTES, PODS, SERVICES),
    "leadership": (LEASES,),
    "policies": (RELEASE_POLICIES,),
    "releases": (MODEL_RELEASES,),
}


def role_of(part: str) -> list[Object]:
    """The rules on what this part reads and writes."""
    return rules([right for right in RIGHTS if right.resource in _BY_PART[part]])


def resources_of_parts() -> set[Resource]:
    """All that any part has rules on."""
    return {one for resources in _BY_PART.values() for one in resources}
