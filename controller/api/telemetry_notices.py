"""The metrics of what people are told: what waits, what was lost, and what came of the attempts."""

from collections.abc import Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from controller.loop.courier import Tally
from controller.ports.notices import Standing
from serving import contract as names

_BY: tuple[str, ...] = (names.TARGET_LABEL,)


def notice_families(standings: Sequence[Standing], tallies: Mapping[str, Tally]) -> Sequence[Metric]:
    """The families, by target: of those that are told of anything here, zeros too."""
    waiting = GaugeMetricFamily(names.NOTICES_WAITING_METRIC, "Notices on their way.", labels=_BY)
    oldest = GaugeMetricFamily(names.NOTICES_OLDEST_METRIC, "When the first notice came that waits.", labels=_BY)
    lost = GaugeMetricFamily(names.NOTICES_GIVEN_UP_METRIC, "Notices given up since one arrived last.", labels=_BY)
    known = {one.target: one for one in standings}
    for target in sorted({*known, *tallies}):
        one = known.get(target, Standing(target))
        waiting.add_metric((target,), one.waiting)
        lost.add_metric((target,), one.given_up)
        if one.oldest_s is not None:
            oldest.add_metric((target,), one.oldest_s)
    delivered = CounterMetricFamily(_base(names.NOTICES_DELIVERED_METRIC), "Notices that arrived.", labels=_BY)
    failed = CounterMetricFamily(_base(names.NOTICES_FAILED_METRIC), "Attempts to tell that failed.", labels=_BY)
    for target, tally in sorted(tallies.items()):
        delivered.add_metric((target,), tally.delivered)
        failed.add_metric((target,), tally.failed)
    return waiting, oldest, lost, delivered, failed


def _base(name: str) -> str:
    return name.removesuffix("_total")  # the library adds it
