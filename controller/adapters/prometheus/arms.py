"""From the gains of counters to what one version did: requests, errors, and times by bucket."""

import itertools
import math
from collections import Counter as Counts
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from controller.adapters.prometheus.cursor import buckets
from controller.adapters.prometheus.http import SOURCE
from controller.adapters.prometheus.targets import Counter, Target
from controller.errors import TransientError
from gates.evidence import ArmCounts
from serving.contract import latency_edges_ms

_OBJECTIVES_MAX: Final = 2  # of one policy: for the 95th and for the 99th percentile
_EDGE: Final = "|edges|"  # the beginning of a cursor's entries for edges that are not on the grid
_GRID_MS: Final = frozenset(latency_edges_ms())
_MS_DIGITS: Final = 4


def kept_edges(edges: Sequence[str], told: Mapping[str, float]) -> tuple[str, ...]:
    """Return the edges, without those beside the grid that the look before, which left the entries ``told``, did not
    have. A process that was restarted may bring such edges; they must not change a comparison that is under way."""
    if _EDGE not in told:
        return tuple(edges)
    return tuple(edge for edge in edges if _is_of_grid(edge) or _EDGE + edge in told)


def edge_entries(edges: Sequence[str]) -> dict[str, float]:
    """Return the entries of a cursor by which `kept_edges` knows these edges at the next look; none for a histogram
    that is not on the grid."""
    beside = [edge for edge in edges if not _is_of_grid(edge)]
    return {_EDGE: 1.0, **{_EDGE + edge: 1.0 for edge in beside}} if len(beside) <= _OBJECTIVES_MAX else {}


def without_edges(values: Mapping[str, float]) -> dict[str, float]:
    """Return the entries of a cursor that are not about edges."""
    return {key: value for key, value in values.items() if not key.startswith(_EDGE)}


def _is_of_grid(edge: str) -> bool:
    seconds = float(edge)
    return math.isinf(seconds) or round(1000 * seconds, _MS_DIGITS) in _GRID_MS


def is_error(counter: Counter, requests: str) -> bool:
    """Return whether the counter counts answers with a status of 5xx, by code or by class."""
    return counter.metric == requests and counter.label.startswith("5")


def edges_of(targets: Iterable[Target], metric: str, unit: str) -> tuple[str, ...]:
    """Return the edges that all histograms have, ``+Inf`` last; empty if nothing was timed yet.

    All histograms are on one grid. Each also has an edge at every objective of the policy under which its process
    started, so an objective that was changed since then is no common edge, and is left out.

    Raises:
        TransientError: they differ in more than objectives, so that they are of different kinds, or one has no +Inf
            bucket.
    """
    found: set[tuple[str, ...]] = set()
    for shape in {frozenset(snapshot) for target in targets for snapshot in target.snapshots.values()}:
        by_traffic: dict[str, list[str]] = {}
        for bucket in buckets(shape, metric):
            by_traffic.setdefault(bucket.traffic, []).append(bucket.label)
        found.update(tuple(edges) for edges in by_traffic.values())
    spread = Counts(edge for edges in found for edge in edges)
    edges = tuple(edge for edge in next(iter(found), ()) if spread[edge] == len(found))
    if any(len(one) - len(edges) > _OBJECTIVES_MAX for one in found):
        differing = sorted((edge for edge, times in spread.items() if times < len(found)), key=float)
        raise TransientError(
            SOURCE, f"ambiguous: latency histograms differ in their edges ({unit}): {', '.join(differing)}"
        )
    if edges and not math.isinf(float(edges[-1])):
        raise TransientError(SOURCE, "a latency histogram without a +Inf bucket")
    return edges


def arm_of(
    counters: Mapping[Counter, float], traffic: str, edges: Sequence[str], requests: str, bucket: str
) -> ArmCounts:
    """Return one version's counts: its ``requests`` by status, and their times by ``bucket``, which are names of
    metrics.

    Raises:
        TransientError: the buckets of the histogram contradict one another.
    """
    codes = {it: value for it, value in counters.items() if (it.metric, it.traffic) == (requests, traffic)}
    at_most = [counters.get(Counter(bucket, traffic, edge), 0.0) for edge in edges] or [0.0]
    latencies = tuple(int(value - below) for below, value in itertools.pairwise([0.0, *at_most]))
    if min(latencies) < 0:
        raise TransientError(SOURCE, "a latency histogram whose buckets contradict each other")
    return ArmCounts(
        requests=int(sum(codes.values())),
        errors=int(sum(value for code, value in codes.items() if is_error(code, requests))),
        latency_counts=latencies,
    )
