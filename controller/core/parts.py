"""The parts of an installation as they answered when they were asked, and what that means for users. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from controller.core.traffic import TrafficTable


class Kind(StrEnum):
    """The kind of a part."""

    GATEWAY = "gateway"  # answers users
    REPLICA = "replica"  # answers them behind it
    CONTROLLER = "controller"  # decides
    REGISTRY = "registry"
    METRICS = "metrics"
    STORE = "store"


@dataclass(frozen=True, slots=True)
class Part:
    """One part. ``fault`` says why it does not answer, in a part of a sentence, and ``way_out`` what a person can do,
    in a whole one; both empty where it answers. ``model`` and ``version``: of a replica."""

    kind: Kind
    name: str
    place: str
    fault: str = ""
    way_out: str = ""
    model: str = ""
    version: str = ""

    @property
    def answers(self) -> bool:
        return not self.fault


class Grade(StrEnum):
    """The grade of an installation, the worst last."""

    UP = "up"
    IMPAIRED = "impaired"  # users are answered; something that releases need is away
    STANDS_STILL = "stands still"  # users are answered; nobody decides
    DOWN = "DOWN"  # users of a model get no answers


@dataclass(frozen=True, slots=True)
class Standing:
    """The standing of an installation, and one sentence that says why."""

    grade: Grade
    sentence: str


def standing(parts: Sequence[Part], tables: Mapping[str, TrafficTable]) -> Standing:
    """Return what the parts mean for the users of the models that the tables route to."""
    away = [part for part in parts if not part.answers]
    if not away:
        return Standing(Grade.UP, "Everything answers." if parts else "")
    if gateway := next((part for part in away if part.kind is Kind.GATEWAY), None):
        return Standing(Grade.DOWN, f"Users get no answers: {_faults([gateway])}.{_ways([gateway])}")
    silent = [(model, lost) for model, table in sorted(tables.items()) if (lost := _silent(parts, table))]
    if silent:
        models = ", ".join(model for model, _ in silent)
        lost = [part for _, replicas in silent for part in replicas]
        return Standing(Grade.DOWN, f"Users of {models} get no answers: {_faults(lost)}.{_ways(lost)}")
    if controller := next((part for part in away if part.kind is Kind.CONTROLLER), None):
        said = f"Users are answered, and nothing is decided: {_faults([controller])}.{_ways([controller])}"
        return Standing(Grade.STANDS_STILL, said)
    return Standing(Grade.IMPAIRED, f"Users are answered, and not all answers: {_faults(away)}.{_ways(away)}")


def _silent(parts: Sequence[Part], table: TrafficTable) -> Sequence[Part]:
    """Return the replicas that users of the model would be answered by, where none of them answers."""
    replicas = [part for part in parts if part.kind is Kind.REPLICA and part.model == table.model]
    wanted = {*table.weights_pct, *([table.known_good] if table.known_good else [])}
    mine = [part for part in replicas if part.version in wanted]
    return () if not mine or any(part.answers for part in mine) else mine


def _faults(away: Iterable[Part]) -> str:
    return "; ".join(f"{part.name} at {part.place} {part.fault}" for part in away)


def _ways(away: Iterable[Part]) -> str:
    ways = dict.fromkeys(part.way_out for part in away if part.way_out)
    return "".join(f" {way}" for way in ways)
