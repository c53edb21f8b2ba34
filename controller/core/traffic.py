"""The traffic table: which share of a model's requests each version serves."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

HUNDRED_PCT = 100.0
_ROUNDING_PCT = 1e-6


def is_everybody(pct: float) -> bool:
    """Return whether weights in percent add up to all requests."""
    return abs(pct - HUNDRED_PCT) <= _ROUNDING_PCT


@dataclass(frozen=True, slots=True)
class Mirror:
    """Copies ``pct`` percent of what the others serve to ``version``, and as much of what it serves back to the version
    with the largest weight besides; nobody waits for the answers.

    Both ways, so that at 100 % each version carries the whole load at every step: their latencies can be compared, and
    a candidate is promoted to no load that it has not carried before.
    """

    version: str
    pct: float

    def __post_init__(self) -> None:
        if not 0 < self.pct <= HUNDRED_PCT:
            raise ValueError(f"mirror of version {self.version}: pct must be above 0 and at most 100, got {self.pct}")


@dataclass(frozen=True, slots=True)
class Override:
    """A person moved the traffic without the controller, which must take that up before it writes again."""

    reason: str
    by: str
    at_s: float


@dataclass(frozen=True, slots=True)
class TrafficTable:
    """Weights by version, in percent, summing to 100; written whole, in one atomic step.

    ``generation`` grows by one with each write, whoever writes. ``known_good`` is the version that a rollback goes to
    without asking anybody; ``override`` marks a table that a person wrote without the controller.
    """

    model: str
    weights_pct: Mapping[str, float]
    mirror: Mirror | None = None
    known_good: str | None = None
    generation: int = 0
    override: Override | None = None

    def __post_init__(self) -> None:
        wrong = {version: pct for version, pct in self.weights_pct.items() if not 0 < pct <= HUNDRED_PCT}
        if wrong:
            raise ValueError(f"weights_pct of {self.model}: each must be above 0 and at most 100, got {wrong}")
        if not is_everybody(sum(self.weights_pct.values())):
            raise ValueError(f"weights_pct of {self.model} must sum to 100, got {dict(self.weights_pct)}")
        object.__setattr__(self, "weights_pct", MappingProxyType(dict(sorted(self.weights_pct.items()))))

    @property
    def asked(self) -> frozenset[str]:
        """The versions that get users' requests, or copies of them."""
        return frozenset({*self.weights_pct, *([self.mirror.version] if self.mirror is not None else [])})

    @property
    def needed(self) -> frozenset[str]:
        """The same, plus the version that a rollback goes to."""
        return self.asked | ({self.known_good} if self.known_good else frozenset())

    def share_of(self, version: str) -> float:
        """The configured share, 0 to 1, of live requests that the version serves."""
        return self.weights_pct.get(version, 0.0) / HUNDRED_PCT

    def copied_to(self, version: str) -> str | None:
        """Return which version gets the copies of what ``version`` serves; None where nobody does."""
        if self.mirror is None:
            return None
        if version != self.mirror.version:
            return self.mirror.version
        others = [other for other in self.weights_pct if other != version]
        return max(others, key=lambda other: self.weights_pct[other], default=None)

    def next(self, **changes: object) -> "TrafficTable":
        """The table that follows this one: the changes, and the generation one higher."""
        return replace(self, generation=self.generation + 1, **changes)  # type: ignore[arg-type]

    @property
    def nowhere_back(self) -> str:
        """The reason why a rollback that names no version has nowhere to go. One that is only judged has no users."""
        if len(self.weights_pct) > 1:
            return f"{self.model} has no known good version yet"
        by = f", by {self.override.by}" if self.override is not None else ""
        serves = next(iter(self.weights_pct))
        return (
            f"{self.model} is at version {serves} already{by}, and no earlier version is kept to go back to. "
            f"A release that has no users yet is ended by `serin abort {self.model} --reason ...`"
        )

    def back(self, to: str, override: "Override") -> "TrafficTable":
        """The table that follows this one where everybody goes to ``to``, past whoever else writes tables."""
        return self.next(weights_pct={to: HUNDRED_PCT}, mirror=None, override=override)


class WriteStage(StrEnum):
    """The way of a table from being written to answering users."""

    WRITTEN = "written"  # it stands where the data plane reads it
    ACCEPTED = "accepted"  # the data plane has taken it over
    SERVED = "served"  # users are answered by it
    REJECTED = "rejected"  # the data plane does not take it


@dataclass(frozen=True, slots=True)
class WriteProgress:
    """The progress of the table of this generation, the one written last. ``detail``: why it is no further, and by
    whose fault, in one sentence; empty where it has only just been written."""

    generation: int
    stage: WriteStage
    detail: str = ""

    @property
    def is_served(self) -> bool:
        return self.stage is WriteStage.SERVED


@dataclass(frozen=True, slots=True)
class Drift:
    """Somebody changed the stored table past every writer of Serin's. ``digest`` stands for what was found there, empty
    where it was deleted; ``what`` says so in one sentence, with who it was where that is known."""

    digest: str
    what: str
    by: str = ""
