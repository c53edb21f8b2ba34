"""The parts of an installation, whether each part answers, and what that means for users. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from controller.core.traffic import TrafficTable, is_everybody


class Kind(StrEnum):
    """The kind of a part."""

    GATEWAY = "gateway"  # answers users
    REPLICA = "replica"  # answers users' requests, behind the gateway
    CONTROLLER = "controller"  # decides
    REGISTRY = "registry"
    METRICS = "metrics"
    STORE = "store"


@dataclass(frozen=True, slots=True)
class Part:
    """One part. ``fault`` (a part of a sentence) says why the part does not answer, and ``way_out`` (a sentence) what a
    person can do; both are empty if the part answers. ``model`` and ``version`` are set for a replica only.
    ``stands_in_for``: the version whose requests the gateway sends to this replica while no replica of that version
    answers; empty if there is none."""

    kind: Kind
    name: str
    place: str
    fault: str = ""
    way_out: str = ""
    model: str = ""
    version: str = ""
    stands_in_for: str = ""

    @property
    def answers(self) -> bool:
        return not self.fault


class Grade(StrEnum):
    """The grade of an installation, from best to worst."""

    UP = "up"
    IMPAIRED = "impaired"  # users are answered; something that releases need does not answer
    STANDS_STILL = "stands still"  # users are answered; the controller does not answer, so nothing is decided
    DOWN = "DOWN"  # users of a model, or a share of them, get no answers


@dataclass(frozen=True, slots=True)
class Standing:
    """The grade of an installation, with the sentence that explains the grade."""

    grade: Grade
    sentence: str


def standing(parts: Sequence[Part], tables: Mapping[str, TrafficTable]) -> Standing:
    """Return what the state of the parts means for users. ``tables``: the traffic table of each model."""
    away = [part for part in parts if not part.answers]
    if not away:
        return Standing(Grade.UP, "Everything answers." if parts else "")
    if gateway := next((part for part in away if part.kind is Kind.GATEWAY), None):
        return Standing(Grade.DOWN, f"Users get no answers: {_faults([gateway])}.{_ways([gateway])}")
    lost = [version for _, table in sorted(tables.items()) for version in _lost(parts, table)]
    if silent := [version for version in lost if not version.stand_in]:
        replicas = [part for version in silent for part in version.replicas]
        return Standing(Grade.DOWN, f"{_unanswered(silent)}: {_faults(replicas)}.{_ways(replicas)}")
    answered = ", ".join(["Users are answered", *(f"those of {one.model} {one.answered_by}" for one in lost)])
    if controller := next((part for part in away if part.kind is Kind.CONTROLLER), None):
        said = f"{answered}, but nothing is being decided: {_faults([controller])}.{_ways([controller])}"
        return Standing(Grade.STANDS_STILL, said)
    return Standing(Grade.IMPAIRED, f"{answered}, but not everything is running: {_faults(away)}.{_ways(away)}")


@dataclass(frozen=True, slots=True)
class _Lost:
    """A version that is sent ``pct`` percent of the model's requests and answers none of them. ``replicas``: its own,
    and those that should stand in for them. ``stand_in``: the version that answers in its place; empty if none does."""

    model: str
    version: str
    pct: float
    replicas: Sequence[Part]
    stand_in: str

    @property
    def answered_by(self) -> str:
        return f"by version {self.stand_in} in place of version {self.version}"


def _lost(parts: Sequence[Part], table: TrafficTable) -> Iterator[_Lost]:
    """Yield the versions that get requests although none of their replicas answers. A version whose replicas were not
    asked, as on a cluster, is left out, because nothing is known about it."""
    of_model = [part for part in parts if part.kind is Kind.REPLICA and part.model == table.model]
    for version, pct in table.weights_pct.items():
        own = [part for part in of_model if part.version == version]
        if not own or any(part.answers for part in own):
            continue
        others = [part for part in of_model if part.stands_in_for == version]
        stand_in = next((part.version for part in others if part.answers), "")
        yield _Lost(table.model, version, pct, own + others, stand_in)


def _unanswered(silent: Iterable[_Lost]) -> str:
    """Return the words that say which models give no answers, and which give none to a share of the requests."""
    shares_pct: dict[str, float] = {}
    for one in silent:
        shares_pct[one.model] = shares_pct.get(one.model, 0.0) + one.pct
    whole = [model for model, pct in shares_pct.items() if is_everybody(pct)]
    told = [f"Users of {', '.join(whole)} get no answers"] if whole else []
    told += [
        f"{pct:g} % of the requests for {model} get no answer"
        for model, pct in shares_pct.items()
        if not is_everybody(pct)
    ]
    return "; ".join(told)


def _faults(away: Iterable[Part]) -> str:
    return "; ".join(f"{part.name}{f' at {part.place}' if part.place else ''} {part.fault}" for part in away)


def _ways(away: Iterable[Part]) -> str:
    ways = dict.fromkeys(part.way_out for part in away if part.way_out)
    return "".join(f" {way}" for way in ways)
