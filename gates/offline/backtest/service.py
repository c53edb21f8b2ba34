"""The service as recorded looks show it: its traffic, its stable version, and how its answers get labelled.

Recorded candidates are taken for neither good nor bad: of live and mirrored traffic only what the stable version did
counts, and a pair is kept together with its mirror image.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from gates.checks import GATEWAY, METRICS, problems
from gates.evidence import ArmCounts, LabelChance, LabelCounts, Look, label_counts
from gates.offline.backtest.pairing import Pairing, label_delay_s, pairing_of, ratio


@dataclass(frozen=True, slots=True)
class Moment:
    """Consecutive looks added up: the number of requests to both versions, and what the stable one made of its own."""

    seconds: float
    requests: int  # of both versions, live
    stable_requests: int
    errors: int
    clusters: int | None  # causes of errors; None: not counted
    latency_counts: tuple[int, ...]

    def __add__(self, other: "Moment") -> "Moment":
        clusters = None if self.clusters is None or other.clusters is None else self.clusters + other.clusters
        return Moment(
            self.seconds + other.seconds,
            self.requests + other.requests,
            self.stable_requests + other.stable_requests,
            self.errors + other.errors,
            clusters,
            tuple(map(int.__add__, self.latency_counts, other.latency_counts)),
        )


@dataclass(frozen=True, slots=True)
class Service:
    """A service as its evidence shows it. ``left_out`` counts the looks that could not be used."""

    releases: int
    looks: int
    left_out: int
    moments: tuple[Moment, ...]
    edges_ms: tuple[float, ...]
    mirrored: float  # share of stable's live requests
    pairing: Pairing
    label_delay_s: float
    live_labelled: float  # share of stable's live answers
    live_wrong: float  # share of the labelled ones

    @property
    def seconds(self) -> float:
        return sum(moment.seconds for moment in self.moments)

    @property
    def requests(self) -> int:
        return sum(moment.requests for moment in self.moments)

    @property
    def stable_requests(self) -> int:
        return sum(moment.stable_requests for moment in self.moments)

    @property
    def errors(self) -> int:
        return sum(moment.errors for moment in self.moments)

    @property
    def latency_counts(self) -> tuple[int, ...]:
        return tuple(map(sum, zip(*(moment.latency_counts for moment in self.moments), strict=True)))


def observe(releases: Sequence[Sequence[Look]], *, moment_s: float = 0.0) -> Service:
    """Return the service behind the looks of some releases; looks are added up until they last ``moment_s``.

    Raises:
        ValueError: no look shows live traffic of a stable version.
    """
    usable = [[look for look in looks if _is_usable(look)] for looks in releases]
    edges = Counter(look.latency_edges_ms for looks in usable for look in looks).most_common(1)
    if not edges:
        raise ValueError("no look tells what the stable version did on live traffic")
    edges_ms = edges[0][0]
    usable = [[look for look in looks if look.latency_edges_ms == edges_ms] for looks in usable]
    moments = tuple(moment for looks in releases for moment in _moments(looks, edges_ms, moment_s))
    requests = sum(moment.requests for moment in moments)
    if not requests:
        raise ValueError("no look shows a request to the stable version")
    kept = [look for looks in usable for look in looks]
    delay_s = label_delay_s(usable)
    labels = _sum_labels(look.stable_labels for look in kept)
    return Service(
        releases=len(releases),
        looks=len(kept),
        left_out=sum(map(len, releases)) - len(kept),
        moments=moments,
        edges_ms=edges_ms,
        mirrored=_mirrored(kept),
        pairing=pairing_of(usable, delay_s, requests),
        label_delay_s=delay_s,
        live_labelled=min(ratio(labels.labelled, sum(moment.stable_requests for moment in moments)), 1.0),
        live_wrong=_wrong_share(labels),
    )


def _is_usable(look: Look) -> bool:
    """Return whether no source failed, no value is wrong, and the candidate had less than all of the traffic."""
    if look.stable is None or look.window.length_s <= 0 or look.candidate_share >= 1:
        return False
    return not problems(look, last_sequence=look.sequence - 1, last_end_s=None)


def _moments(looks: Iterable[Look], edges_ms: tuple[float, ...], least_s: float) -> Iterator[Moment]:
    """Yield moments: consecutive usable looks, added up until they last ``least_s``; a shorter rest is a moment, too.

    Counts are increments since the metrics were last read. Those of a look whose metrics did not answer come with the
    next look, which then lasts as long as both.
    """
    gathered: Moment | None = None
    since_s: float | None = None
    for look in looks:
        if any(fault.source in (METRICS, GATEWAY) for fault in look.faults):
            continue
        start_s, since_s = look.window.start_s if since_s is None else since_s, look.window.end_s
        if look.stable is None or not _is_usable(look) or look.latency_edges_ms != edges_ms:
            if gathered is not None:
                yield gathered
            gathered = None
            continue
        moment = _moment(look, look.stable, max(since_s - start_s, look.window.length_s))
        gathered = moment if gathered is None else gathered + moment
        if gathered.seconds >= least_s:
            yield gathered
            gathered = None
    if gathered is not None:
        yield gathered


def _moment(look: Look, stable: ArmCounts, seconds: float) -> Moment:
    """Return the moment of one look: requests and errors as users got them, latencies as replicas timed them, which is
    finer."""
    got, candidate = look.got
    live = candidate.requests if candidate is not None else 0
    users = got if got is not None else stable
    return Moment(
        seconds,
        users.requests + live,
        users.requests,
        users.errors,
        users.error_clusters,
        stable.latency_counts,
    )


def _mirrored(looks: Sequence[Look]) -> float:
    seen = [(look.shadow.requests, look.stable.requests) for look in looks if look.shadow and look.stable]
    return min(ratio(sum(shadow for shadow, _ in seen), sum(stable for _, stable in seen)), 1.0)


def _sum_labels(found: Iterable[LabelCounts | None]) -> LabelCounts:
    known = [labels for labels in found if labels is not None]
    parts = [labels.chances or (LabelChance(1.0, labels.labelled, labels.wrong),) for labels in known]
    return label_counts(chance for part in parts for chance in part)


def _wrong_share(labels: LabelCounts) -> float:
    """Return the share of labelled answers that are wrong, each label counting one over its probability."""
    parts = labels.chances or (LabelChance(1.0, labels.labelled, labels.wrong),)
    known = math.fsum(part.labelled / part.inclusion_probability for part in parts)
    return ratio(math.fsum(part.wrong / part.inclusion_probability for part in parts), known)
