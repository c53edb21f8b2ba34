"""The counts of versions and of their users."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gates.evidence import ArmCounts, Resources


@dataclass(frozen=True, slots=True)
class CounterCursor:
    """The place where the last look stopped reading: series key -> value of its last raw sample, and when that was."""

    values: Mapping[str, float]
    at_s: float


@dataclass(frozen=True, slots=True)
class Usage:
    """The texts of one version, what they were like, and what its replicas used, since a cursor; ``None``: nobody
    measured it.

    Counts are of all its traffic, sums over its replicas. ``resources`` has what replicas tell of the figures that
    looks show, of the worst replica where they are no counts; the rest of them is for whoever takes the look.
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
    tokenizer: str = ""  # SHA-256 of the running tokenizer's file; several, where replicas differ


@dataclass(frozen=True, slots=True)
class MetricCounts:
    """Increments since a cursor, exact, and the cursor to go on from. A version that has served nothing counts zero.

    ``parts``: the live ones of a version with several replicas, by which of them served; a replica keeps its place from
    look to look, and one that comes in the place of another gets that. ``users``: the live ones of users whom the
    gateway keeps on a version, by part of the users (``USER_PARTS``), timed by ``USER_EDGES_MS``.
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
    """The answers of the gateway since a cursor, exact: each user's request once, by the version that it was dealt to.

    ``live`` has no ``error_clusters``: the gateway does not know causes. It times every answer of a version, in whole
    milliseconds, and its histogram may be a scrape behind its counts. ``copies``: mirrored requests that were answered,
    ``copies_failed`` those of them that were with a server error.
    ``sent``: live ones that a version was asked, those that their user gave up, too; some may be among no answers.
    ``since_s``: nothing is counted of before then, which the gateway was read earlier than the cursor says; None: not
    known. ``copies`` is empty where the gateway does not tell them; ``times_untold`` says why it tells no times, if so.
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
        """Return what each version did between the cursor and ``at_s``, both from the same instant of the same source.

        Without a cursor the counts are zero and the cursor is where things stand. Raw samples are differenced with
        reset handling, per instance; never extrapolated.

        Raises:
            TransientError: not reachable, or a version's samples are missing, stale, partial or not finite: then
                nothing is known of the window, and the same cursor must be used again.
        """

    def gateway(
        self, model: str, versions: Sequence[str], cursor: CounterCursor | None, *, at_s: float
    ) -> GatewayCounts:
        """Return what users got of each version between the cursor and ``at_s``, as the gateway counted it.

        As ``counts``, with a cursor of its own. What the gateway answered by itself (no connection to the version, a
        time-out) is among the version's errors: nobody else counts it.

        Raises:
            TransientError: of the source ``gateway``: not reachable, or the gateway is not scraped, or another one.
        """

    def service_errors(self, model: str, windows_s: Sequence[float], *, at_s: float) -> Mapping[float, tuple[int, int]]:
        """(Errors, requests) of all that users asked of the model in each of the windows that end at ``at_s``.

        As the gateway answered them: whatever version they were dealt to, and if there was none. A window longer than
        the gateway has been watched tells of what was watched.

        Raises:
            TransientError: not reachable, or its answer cannot be used.
        """
