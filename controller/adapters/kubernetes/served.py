"""The proof that users are answered by a route as it was written: what gateways report, and what answers show."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from controller.adapters.kubernetes.objects.route import GENERATION_HEADER
from controller.adapters.kubernetes.probe import Told
from controller.core.traffic import TrafficTable, WriteStage

ANSWERS_MIN: Final = 20
_CHANCE_MAX: Final = 0.001
"""The significance level, over all versions together: answers that the weights would give with a smaller chance than
this were not routed by these weights."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of a route, by its own status; ``detail`` says why it has come no further."""

    stage: WriteStage
    detail: str = ""


def standing_of(route: Mapping[str, Any]) -> Standing:
    """Return whether each gateway that the route names has accepted the generation of the route that is stored now."""
    parents = route["spec"].get("parentRefs") or ()
    if not parents:
        return Standing(WriteStage.WRITTEN, "the route names no gateway (parentRefs): nothing serves it")
    statuses = (route.get("status") or {}).get("parents") or ()
    for parent in parents:
        name = parent["name"]
        told = next((one for one in statuses if _same(one.get("parentRef") or {}, parent)), None)
        conditions = {one["type"]: one for one in (told or {}).get("conditions") or ()}
        for kind in ("Accepted", "ResolvedRefs"):
            condition = conditions.get(kind)
            if condition is None or int(condition.get("observedGeneration", 0)) < route["metadata"]["generation"]:
                return Standing(WriteStage.WRITTEN, f"gateway {name} has not accepted the route yet ({kind})")
            if condition.get("status") != "True":
                why = f"{condition.get('reason', kind)}: {condition.get('message', '')}"
                return Standing(WriteStage.REJECTED, f"gateway {name} rejects the route: {why}")
    return Standing(WriteStage.ACCEPTED)


@dataclass(slots=True)
class Answers:
    """The answers that came since one table was accepted."""

    told: list[Told] = field(default_factory=list)

    def add(self, told: Told, table: TrafficTable, *, tells_generation: bool) -> None:
        """Add an answer. If it was routed by an older table, it is from a process of the gateway that has not loaded
        the new one yet; then all earlier answers are dropped."""
        if tells_generation and told.generation != str(table.generation):
            self.told.clear()
        else:
            self.told.append(told)

    def problem(self, table: TrafficTable) -> str:
        """Return why these answers were not routed by the table; empty if they may have been."""
        unknown = [one for one in self.told if one.version not in table.weights_pct]
        if unknown:
            who = (
                f"version {unknown[-1].version}"
                if unknown[-1].version
                else f"something that is not Serin's ({unknown[-1].status})"
            )
            return f"RouteNotServed: {who} answers, but has no share"
        counts = Counter(str(one.version) for one in self.told)
        if len(self.told) < ANSWERS_MIN or (version := mismatch(counts, table)) is None:
            return ""
        got = f"{counts[version]} of {len(self.told)} answers"
        return f"RouteNotServed: version {version} gave {got}, but its weight is {table.weights_pct[version]:g} %"

    def missing(self, *, tells_generation: bool) -> str:
        """Return what is still waited for; empty once there are enough answers."""
        if len(self.told) >= ANSWERS_MIN:
            return ""
        more = f" with its {GENERATION_HEADER}" if tells_generation else ""
        return f"{len(self.told)} of {ANSWERS_MIN} answers in a row through the gateway{more}"


def mismatch(counts: Counter[str], table: TrafficTable) -> str | None:
    """Return a version that did not get its share of the counts; None if chance explains all of them."""
    if len(table.weights_pct) == 1:
        return None
    from scipy.stats import binomtest  # takes half a second to import, which would slow every start

    for version in table.weights_pct:
        chance = binomtest(counts[version], counts.total(), table.share_of(version)).pvalue
        if chance < _CHANCE_MAX / len(table.weights_pct):
            return version
    return None


def _same(told: Mapping[str, Any], parent: Mapping[str, Any]) -> bool:
    keys: Sequence[str] = ("name", "namespace", "sectionName", "port")
    return all(told.get(key) == parent.get(key) for key in keys if key in parent)
