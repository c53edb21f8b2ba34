"""The counts that replicas and the gateway export, by version."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gates.evidence import ArmCounts, Resources


@dataclass(frozen=True, slots=True)
class CounterCursor:
    """The place where the last look stopped reading. ``values``: series key -> value of its last raw sample.
    ``at_s``: unix time of the reading."""

    values: Mapping[str, float]
    at_s: float


@dataclass(frozen=True, slots=True)
class Usage:
    """The texts of one version and the resources of its replicas, since a cursor. ``None``: not measured.

    Counts cover all its traffic, live and shadow, summed over its replicas, except ``token_counts``. ``resources``
    holds the figures that replicas report; a figure that is no count is that of the worst replica. The look adds the
    remaining figures.
    """

    replicas: int
    token_counts: tuple[int, ...] = ()  # texts of live requests, by ``MetricCounts.token_edges``
    texts: int | None = None
    tokens: int | None = None
    unknown_tokens: int | None = None
    truncated: int | None = None
    worker_restarts: int | None = None
    busy_s: float | None = None  # time spent computing
    resources: Resources = field(default_factory=Resources)
    tokenizer: str = ""  # SHA-256 of the running tokenizer's file; several if replicas differ


@dataclass(frozen=True, slots=True)
class MetricCounts:
    """The exact increments of counters since a cursor, and the cursor to go on from. A version that has served nothing
    counts zero.

    ``live`` and ``shadow`` are by version. ``parts``: the live requests of a version with several replicas, by replica;
    a replica keeps its place from look to look, and a replica that takes over from another one gets its place.
    ``users``: the live requests of users whom the gateway keeps on a version, by part of the users (``USER_PARTS``),
    with latencies in ``USER_EDGES_MS``.
    """

    live: Mapping[str, ArmCounts]
    shadow: Mapping[str, ArmCounts]
    latency_edges_ms: tuple[float, ...]
    cursor: CounterCursor
    usage: Mapping[str, Usage]
    token_edges: tuple[int, ...]
    parts: Mapping[str, tuple[ArmCounts, ...]] = field(default_factory=dict)
    users: Mapping[str, tuple[ArmCounts, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GatewayCounts:
    """The exact counts of the gateway since a cursor: each user request once, by the version that it was routed to.

    ``live`` has no ``error_clusters``: the gateway does not know causes. It measures latency in whole milliseconds, and
    its histogram may be a scrape behind its counts; ``times_untold``: why it reports no latencies; empty if it does.
    ``copies``: the mirrored requests that were answered, and ``copies_failed`` those answered with a server error; both
    are empty if the gateway does not report copies. ``sent``: the live requests sent to a version, including those that
    the user gave up, so some have no answer. ``since_s``: unix time before which nothing is counted; it is earlier than
    the cursor's time, because the gateway was scraped before the cursor was taken. None: not known.
    """

    live: Mapping[str, ArmCounts]
    copies: Mapping[str, int]
    sent: Mapping[str, int]
    latency_edges_ms: tuple[float, ...]
    cursor: CounterCursor
    since_s: float | None = None
    times_untold: str = ""
    copies_failed: Mapping[str, int] = field(default_factory=dict)


class Metrics(Protocol):
    def counts(self, model: str, versions: Sequence[str], cursor: CounterCursor | None, *, at_s: float) -> MetricCounts:
        """Return the counts of each version between the cursor and ``at_s`` (unix time), all read at the same instant.

        Without a cursor the counts are zero, and the cursor marks the present. Raw samples are subtracted per instance,
        with counter resets handled, and never extrapolated.

        Raises:
            TransientError: the source is not reachable, or a version's samples are missing, stale, partial or not
                finite. Nothing is then known of the window, and the same cursor must be used again.
        """

    def gateway(
        self, model: str, versions: Sequence[str], cursor: CounterCursor | None, *, at_s: float
    ) -> GatewayCounts:
        """Return what users got from each version between the cursor and ``at_s``, as the gateway counted it.

        Works as ``counts``, with a cursor of its own. Answers that the gateway gave by itself (no connection to the
        version, a time-out) count as the version's errors, because nobody else counts them.

        Raises:
            TransientError: with the source ``gateway``: the metrics are not reachable, the gateway is not scraped, or
                another gateway is.
        """

    def service_errors(self, model: str, windows_s: Sequence[float], *, at_s: float) -> Mapping[float, tuple[int, int]]:
        """Return, by window length in seconds, the numbers of errors and of requests in the window that ends at
        ``at_s``.

        All user requests for the model count, as the gateway answered them, whichever version they were routed to, even
        if there was none. A window that began before the gateway was scraped covers only the time since then.

        Raises:
            TransientError: the metrics are not reachable, or their answer cannot be used.
        """
