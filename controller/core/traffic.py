"""The traffic table: which share of a model's requests each version serves."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

HUNDRED_PCT = 100.0
_ROUNDING_PCT = 1e-6


def is_everybody(pct: float) -> bool:
    """Return whether the percentage is 100, up to rounding."""
    return abs(pct - HUNDRED_PCT) <= _ROUNDING_PCT


@dataclass(frozen=True, slots=True)
class Mirror:
    """An order to copy ``pct`` percent of the requests that other versions serve to ``version``, and ``pct`` percent of
    those that ``version`` serves to the other version with the largest weight. Nobody waits for the answers.

    Copies go both ways so that at 100 % each version carries the whole load at every step: their latencies can be
    compared, and the candidate is promoted to a load that it has carried before.
    """

    version: str
    pct: float

    def __post_init__(self) -> None:
        if not 0 < self.pct <= HUNDRED_PCT:
            raise ValueError(f"mirror of version {self.version}: pct must be above 0 and at most 100, got {self.pct}")


@dataclass(frozen=True, slots=True)
class Override:
    """A change of the traffic that a person made without the controller. The controller must record the change before
    it writes again. ``at_s``: unix time."""

    reason: str
    by: str
    at_s: float


@dataclass(frozen=True, slots=True)
class TrafficTable:
    """The weights of a model's versions in percent, which sum to 100. The table is written whole, in one atomic step.

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
        """The versions that must run: those that get requests or copies, and the one that a rollback goes to."""
        return self.asked | ({self.known_good} if self.known_good else frozenset())

    def share_of(self, version: str) -> float:
        """Return the share of live requests, 0 to 1, that the table gives to the version."""
        return self.weights_pct.get(version, 0.0) / HUNDRED_PCT

    def copied_to(self, version: str) -> str | None:
        """Return the version that gets copies of the requests that ``version`` serves; None if there is none."""
        if self.mirror is None:
            return None
        if version != self.mirror.version:
            return self.mirror.version
        others = [other for other in self.weights_pct if other != version]
        return max(others, key=lambda other: self.weights_pct[other], default=None)

    def next(self, **changes: object) -> "TrafficTable":
        """Return this table with the changes, and with the generation one higher."""
        return replace(self, generation=self.generation + 1, **changes)  # type: ignore[arg-type]

    @property
    def nowhere_back(self) -> str:
        """The reason, in words, why a rollback that names no version has nowhere to go."""
        if len(self.weights_pct) > 1:
            return f"{self.model} has no known good version yet"
        by = f", by {self.override.by}" if self.override is not None else ""
        serves = next(iter(self.weights_pct))
        return (
            f"{self.model} is at version {serves} already{by}, and no earlier version is kept to go back to. "
            f"A release that has no users yet is ended by `serin abort {self.model} --reason ...`"
        )

    def back(self, to: str, override: "Override") -> "TrafficTable":
        """Return the next table, which sends everybody to version ``to`` and is marked with the override."""
        return self.next(weights_pct={to: HUNDRED_PCT}, mirror=None, override=override)


class WriteStage(StrEnum):
    """The stage that a written traffic table has reached in the data plane."""

    WRITTEN = "written"  # the table is where the data plane reads it
    ACCEPTED = "accepted"  # the data plane has loaded the table
    SERVED = "served"  # the data plane answers users by the table
    REJECTED = "rejected"  # the data plane refuses the table


@dataclass(frozen=True, slots=True)
class WriteProgress:
    """The progress of the table written last. ``detail``: why the table has come no further, and whose fault that is,
    in one sentence; empty if it was written only just now."""

    generation: int
    stage: WriteStage
    detail: str = ""

    @property
    def is_served(self) -> bool:
        return self.stage is WriteStage.SERVED


@dataclass(frozen=True, slots=True)
class Drift:
    """A change that somebody made to the stored table without Serin. ``digest`` identifies the table that was found,
    and is empty if the table was deleted. ``what`` describes the change in one sentence; ``by`` names its author, if
    known."""

    digest: str
    what: str
    by: str = ""
