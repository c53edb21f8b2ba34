"""The abilities of a data plane, and what a policy asks of it that it cannot do."""

from dataclasses import dataclass
from enum import StrEnum


class Mirroring(StrEnum):
    """Who copies requests to the version that users do not wait for, and which of them."""

    NONE = "none"
    GATEWAY_ONE_WAY = "gateway_one_way"  # what other versions serve goes to the candidate, and nothing comes back
    GATEWAY_BOTH_WAYS = "gateway_both_ways"  # and what the candidate serves goes to stable
    REPLICA = "replica"  # each replica sends what it serves to the other version, both ways


@dataclass(frozen=True, slots=True)
class TrafficAbilities:
    """The abilities of the data plane that routes a model. ``name``: what it is called, in sentences.

    ``mirror_step_pct`` and ``weight_step_pct`` are the finest shares that it copies and serves; a mirror of the whole
    traffic alone has 100. ``sticky_by_header``: it can keep a user on a version by the hash of a header, so that a
    rollback still moves everybody.
    """

    name: str
    mirroring: Mirroring
    mirror_step_pct: float
    weight_step_pct: float
    versions_max: int  # that have a share of one model at the same time
    sticky_by_header: bool

    @property
    def mirrors(self) -> bool:
        return self.mirroring is not Mirroring.NONE

    @property
    def mirrors_both_ways(self) -> bool:
        """Return whether at a mirror of 100 % each version carries the whole load."""
        return self.mirroring in (Mirroring.GATEWAY_BOTH_WAYS, Mirroring.REPLICA)
