"""The abilities of a data plane, and the requirements of a policy that they do not meet."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from controller.core.policy import ReleasePolicy, WithoutMirror
from controller.core.traffic import HUNDRED_PCT, TrafficTable

_ROUNDING_PCT: Final = 1e-9
_VERSIONS: Final = 2  # stable and a candidate


class Mirroring(StrEnum):
    """The way in which requests are copied: who makes the copies, and of which requests. No user waits for the answers
    to copies."""

    NONE = "none"
    GATEWAY_ONE_WAY = "gateway_one_way"  # the gateway copies other versions' requests to the candidate only
    GATEWAY_BOTH_WAYS = "gateway_both_ways"  # the gateway also copies the candidate's requests to stable
    REPLICA = "replica"  # each replica copies its requests to the other version, both ways


@dataclass(frozen=True, slots=True)
class TrafficAbilities:
    """The abilities of the data plane that routes a model. ``name``: its name in sentences.

    ``mirror_step_pct`` and ``weight_step_pct`` are the finest steps of shares, in percent, that it can copy and serve;
    a data plane that can only copy everything has 100. ``sticky_by_header``: it can keep a user on a version by the
    hash of a header, and a rollback still moves everybody. ``sticky_header``: the header by which it does so; None:
    each request is routed by itself.
    """

    name: str
    mirroring: Mirroring
    mirror_step_pct: float
    weight_step_pct: float
    versions_max: int  # the most versions of a model that can have a share at the same time
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
    """Yield one sentence for each key of the policy that the data plane cannot meet, with the way out."""
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
    """Return the share of requests, in percent, that is copied to the former version in probation; 0 if the data plane
    cannot copy that share. ``able``: None means that the data plane can do everything."""
    pct = policy.probation_mirror_pct
    if able is None:
        return pct
    return pct if able.mirrors and _is_multiple(pct, able.mirror_step_pct) else 0.0


def load_ratio(table: TrafficTable, candidate: str, *, both_ways: bool) -> float:
    """Return the candidate's load divided by that of the others, copies included; 1 if it serves everybody alone.

    ``both_ways``: the candidate's requests are copied to another version as well.
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
