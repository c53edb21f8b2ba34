"""The three dashboards: for who pays, for who is on call, for who looks for a cause."""

from collections.abc import Mapping, Sequence

from controller.core.policy import ReleasePolicy
from controller.monitoring.dashboards.common import Limits
from controller.monitoring.dashboards.debug import debug
from controller.monitoring.dashboards.executive import executive
from controller.monitoring.dashboards.on_call import on_call
from controller.monitoring.dashboards.panel import Dashboard


def dashboards(policies: Mapping[str, ReleasePolicy]) -> Sequence[Dashboard]:
    """All of them. Of several policies the strictest limit is drawn."""
    limits = Limits(list(policies.values()))
    return (executive(limits), on_call(limits), debug(limits))
