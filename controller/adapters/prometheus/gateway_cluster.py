"""One cluster of one gateway process: how much its counters gained since a look, including each time that they began
again.

The names are those of Serin's own Envoy; what other gateways count is translated before (`gateway_words`).
"""

import math
from collections.abc import Callable, Mapping
from typing import Final

from controller.adapters.prometheus.counters import (
    EDGE_LABEL,
    GATEWAY_BUCKET_METRIC,
    GATEWAY_TIMED_METRIC,
    Kind,
    increments,
    lives_of,
)
from controller.adapters.prometheus.cursor import Mark
from controller.adapters.prometheus.gateway_words import whole_of
from controller.adapters.prometheus.targets import Counter, Target
from controller.adapters.prometheus.uptime import restarts
from controller.errors import Source, TransientError
from controller.ports.metrics import CounterCursor
from serving.contract import (
    CLUSTER_LABEL,
    GATEWAY_COMPLETED_METRIC,
    GATEWAY_REQUESTS_METRIC,
    GATEWAY_UPTIME_METRIC,
)

UPTIME: Final = Counter(GATEWAY_UPTIME_METRIC, "", "")
ENDS: Final = {GATEWAY_BUCKET_METRIC: Kind(EDGE_LABEL, CLUSTER_LABEL)}
UNTIMED_MIN: Final = 10  # requests


class Cluster:
    """One cluster of one gateway: how much its counters gained since the mark that the look before left.

    ``lives`` are those of its histogram. A gateway that was never read before began at zero if it started since the
    look before; what an older one had counted until then is not known. ``kept``: a counter that is absent for a while
    keeps its value, because its series comes and goes by itself.
    """

    def __init__(
        self,
        gateway: Target,
        name: str,
        marks: Mapping[str, Mark],
        cursor: CounterCursor | None,
        *,
        kept: bool = False,
    ) -> None:
        self.gateway = gateway
        self.name = name
        self.key = f"{gateway.key},cluster={name}"
        self._kept = kept
        self._left = marks.get(self.key) or _watched(marks.get(f"{gateway.key},cluster={whole_of(name)}"))
        told = {Counter(GATEWAY_TIMED_METRIC, name, ""), UPTIME}
        self._times = self._view(lambda it: it in told)
        self._restarts = restarts(gateway, UPTIME, self._left)
        if self._left is not None:
            self.lives = lives_of(self._times, self._left.tell_tales(), self._left.scraped_s, begun=self._restarts)
            return
        self.lives = lives_of(self._times, {}, -math.inf, begun=self._restarts)
        if cursor is not None and self.lives:
            first_s, first = next(iter(self._times.snapshots.items()))
            self.lives[0] = self.lives[0]._replace(began=first.get(UPTIME, math.inf) <= first_s - cursor.at_s)

    @property
    def left_s(self) -> float | None:
        """Return the time of the scrape at which the look before left the cluster; None if it was not known then."""
        return self._left.scraped_s if self._left is not None else None

    def _view(self, wanted: Callable[[Counter], bool]) -> Target:
        snapshots = {
            at_s: {it: value for it, value in snapshot.items() if wanted(it)}
            for at_s, snapshot in self.gateway.snapshots.items()
        }
        return Target(self.key, "", self.gateway.scrapes_s, snapshots)

    @property
    def end_s(self) -> float:
        return self.lives[-1].end_s

    def last(self) -> dict[Counter, float]:
        """Return the cluster's counters at the last scrape, with the uptime of its gateway."""
        return {
            it: n for it, n in self.gateway.snapshots[self.end_s].items() if it == UPTIME or it.traffic == self.name
        }

    def gained(self, metric: str, label: str = "", *, absent_is_zero: bool | None = None) -> float:
        """Return the gain of one counter, including each time that it began again. While the counter is absent, it
        stands at zero if ``absent_is_zero``, otherwise at its last value."""
        counter = Counter(metric, self.name, label)
        absent_is_zero = not self._kept if absent_is_zero is None else absent_is_zero
        scrapes = list(self.gateway.snapshots.items())
        if self._left is not None:
            before = self._left.steps.get(counter, 0.0)
            scrapes = [(at_s, snapshot) for at_s, snapshot in scrapes if at_s > self._left.scraped_s]
        elif self.lives and self.lives[0].began:
            before = 0.0
        elif not scrapes:  # a gateway that never answered a scrape
            return 0.0
        else:
            before = scrapes[0][1].get(counter, 0.0)
        total = 0.0
        for at_s, snapshot in scrapes:
            restarted = at_s in self._restarts
            now = snapshot.get(counter, 0.0 if absent_is_zero or restarted else before)
            total += now if now < before or restarted else now - before
            before = now
        return total

    def requests(self) -> dict[Counter, float]:
        """Return the gains of the request counters, by class of status."""
        classes = {it.label for one in self.gateway.snapshots.values() for it in one if self._is_class(it)}
        found = {label: self.gained(GATEWAY_REQUESTS_METRIC, label) for label in sorted(classes)}
        if any(Counter(GATEWAY_COMPLETED_METRIC, self.name, "") in one for one in self.gateway.snapshots.values()):
            kept = {label: self.gained(GATEWAY_REQUESTS_METRIC, label, absent_is_zero=False) for label in found}
            # A class that was absent for a while may have begun again: the count of completed requests decides.
            completed = self.gained(GATEWAY_COMPLETED_METRIC)
            found = min(found, kept, key=lambda classes: abs(completed - sum(classes.values())))
        return {Counter(GATEWAY_REQUESTS_METRIC, self.name, label): value for label, value in found.items()}

    def _is_class(self, counter: Counter) -> bool:
        return (counter.metric, counter.traffic) == (GATEWAY_REQUESTS_METRIC, self.name)

    def times(self) -> dict[Counter, float]:
        """Return the gains of the histogram's buckets.

        Raises:
            TransientError: a bucket fell although the histogram did not begin again.
        """
        buckets = self._view(lambda it: (it.metric, it.traffic) == (GATEWAY_BUCKET_METRIC, self.name))
        known = self.lives if self._left is not None or (self.lives and self.lives[0].began) else self.lives[1:]
        base = self._left.base(buckets.snapshots[known[0].end_s]) if self._left is not None and known else {}
        return increments(buckets, base, known, from_zero=tuple(ENDS), kinds=ENDS)

    def require_timed(self) -> None:
        """Require that answers are timed. Histograms may be a little behind the counts, but not by more than a look.

        Only what the window gained matters: the histogram of a version without traffic stays empty after it began
        again.

        Raises:
            TransientError: requests were answered by the look before, more were since, and none is timed; names the
                metric.
        """
        if self._left is None or self.name.endswith("-shadow"):
            return
        before = self._left.steps
        answered = before.get(Counter(GATEWAY_REQUESTS_METRIC, self.name, "2"), 0.0)
        more = self.gained(GATEWAY_REQUESTS_METRIC, "2")
        least = UNTIMED_MIN if _is_timed(before) else 1  # a histogram that existed may miss the last few
        timed = _is_timed(self.last()) or any(self.times().values())
        if answered >= UNTIMED_MIN and more >= least and not timed:
            raise TransientError(
                Source.GATEWAY,
                f"{self.key} answered {answered + more:.0f} requests but timed none: {GATEWAY_BUCKET_METRIC} "
                "is missing",
            )


def _watched(whole: Mark | None) -> Mark | None:
    """Return the mark of a cluster that did not exist at a look that read its gateway: it began at zero since then."""
    if whole is None:
        return None
    return Mark(whole.scraped_s, {it: value for it, value in whole.steps.items() if it == UPTIME})


def _is_timed(counters: Mapping[Counter, float]) -> bool:
    return any(value for it, value in counters.items() if it.metric == GATEWAY_BUCKET_METRIC)
