"""The abilities of a data plane, and what a policy asks of it that it cannot do."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from controller.core.policy import ReleasePolicy, WithoutMirror
from controller.core.traffic import HUNDRED_PCT, TrafficTable

_ROUNDING_PCT: Final = 1e-9
_VERSIONS: Final = 2  # stable and a candidate


class Mirroring(StrEnum):
    """The way in which requests are copied to a version without a user waiting for its answers: who copies them, and
    which."""

    NONE = "none"
    GATEWAY_ONE_WAY = "gateway_one_way"  # what other versions serve goes to the candidate, and nothing comes back
    GATEWAY_BOTH_WAYS = "gateway_both_ways"  # and what the candidate serves goes to stable
    REPLICA = "replica"  # each replica sends what it serves to the other version, both ways


@dataclass(frozen=True, slots=True)
class TrafficAbilities:
    """The abilities of the data plane that routes a model. ``name``: what it is called, in sentences.

    ``mirror_step_pct`` and ``weight_step_pct`` are the finest shares that it copies and serves; a mirror of the whole
    traffic alone has 100. ``sticky_by_header``: it can keep a user on a version by the hash of a header, so that a
    rollback still moves everybody; ``sticky_header``: the one by which it does, so that no request is dealt by itself.
    """

    name: str
    mirroring: Mirroring
    mirror_step_pct: float
    weight_step_pct: float
    versions_max: int  # that have a share of one model at the same time
    sticky_by_header: bool
    sticky_header: str | None = None

    @property
    def mirrors(self) -> bool:
        return self.mirroring is not Mirroring.NONE

    @property
    def mirrors_both_ways(self) -> bool:
        """Return whether each version carries the whole load when 100 % is mirrored."""
        return self.mirroring in (Mirroring.GATEWAY_BOTH_WAYS, Mirroring.REPLICA)


def unmet(policy: ReleasePolicy, able: TrafficAbilities) -> Iterator[str]:
    """Yield what the policy asks of the data plane that it cannot do: the key, and the way out."""
    if not able.mirrors:
        if policy.without_mirror is WithoutMirror.REFUSE:
            yield (
                f"mirror_pct: nothing copies requests here ({able.name}), so there can be no shadow phase; "
                "without_mirror: skip_shadow leaves it out, and versions are then judged on suites and on "
                "live traffic"
            )
        elif policy.gates.accuracy_shadow is not None and not _requires_live_accuracy(policy):
            yield (
                f"without_mirror: nothing copies requests here ({able.name}), so only labels of live answers "
                "measure accuracy, and no promotion waits for them: set gates.accuracy_live.required: true, "
                "or gates.accuracy_shadow: null"
            )
    elif not _is_multiple(policy.mirror_pct, able.mirror_step_pct):
        yield (
            f"mirror_pct: {policy.mirror_pct:g} is not a share that can be copied here ({able.name}): "
            f"choose a multiple of {able.mirror_step_pct:g}"
        )
    for place, step in enumerate(policy.steps):
        if not _is_multiple(step.weight_pct, able.weight_step_pct):
            yield (
                f"steps[{place}].weight_pct: {step.weight_pct:g} is not a share that can be served here "
                f"({able.name}): choose a multiple of {able.weight_step_pct:g}"
            )
    if able.versions_max < _VERSIONS and any(step.weight_pct < HUNDRED_PCT for step in policy.steps):
        yield f"steps: only one version of a model can be served at a time here ({able.name}): use one step of 100 %"


def copied_back_pct(policy: ReleasePolicy, able: TrafficAbilities | None) -> float:
    """The share of requests, in percent, that is copied to the former version in probation; 0 where the data plane
    cannot copy such a share. ``able``: None is one that can do all."""
    pct = policy.probation_mirror_pct
    if able is None:
        return pct
    return pct if able.mirrors and _is_multiple(pct, able.mirror_step_pct) else 0.0


def load_ratio(table: TrafficTable, candidate: str, *, both_ways: bool) -> float:
    """The candidate's load over that of the others, copies included; 1 where it serves everybody alone.

    ``both_ways``: what the candidate serves is copied to another version as well.
    """
    share = table.share_of(candidate)
    mirrored = table.mirror.pct / HUNDRED_PCT if table.mirror is not None else 0.0
    rest = 1 - share
    if rest <= _ROUNDING_PCT:
        return 1.0
    return (share + rest * mirrored) / (rest + share * mirrored * both_ways)


def _requires_live_accuracy(policy: ReleasePolicy) -> bool:
    live = policy.gates.accuracy_live
    return live is not None and live.required


def _is_multiple(pct: float, step_pct: float) -> bool:
    times = pct / step_pct
    return abs(times - round(times)) * step_pct <= _ROUNDING_PCT
