"""The table of what a policy asks of which kind of gate, read from the fields of `GatePolicy`: no other module lists
the gates."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from gates.gate import Gate
from gates.kind import Asked, GateKind, Levels, Part, kinds_of, sections
from gates.policy import GatePolicy


@dataclass(frozen=True, slots=True)
class Configured:
    """One kind of gate, and the part of the policy that it judges by."""

    kind: GateKind[Any]
    part: Part
    asked: Asked[Any]

    def gates(self) -> tuple[Gate[Any], ...]:
        """Return the gates that the kind makes, as a rule one."""
        return tuple(self.kind.make(self.asked))


def configured(policy: GatePolicy) -> Iterator[Configured]:
    """Yield every kind of gate that the policy asks for, with its levels, in the order of the verdicts."""
    unit = policy.rollback_alpha / (policy.alpha_shares or 1.0)
    parts = tuple(sections(policy))
    others = tuple(part.value for part in parts)
    for part in parts:
        for kind in part.judged_by:
            alpha = kind.share(part.value) * unit
            levels = Levels(alpha, policy.promotion_alpha, policy.deadline_fraction, policy.incident_s)
            yield Configured(kind, part, Asked(part.value, levels, others))


def kinds(policy: type[GatePolicy] = GatePolicy) -> tuple[tuple[str, GateKind[Any]], ...]:
    """Return every kind of gate, each with the name of the policy's field for its section."""
    return tuple((one.name, kind) for one in fields(policy) for kind in kinds_of(one))


def with_section(policy: GatePolicy, part: Part, section: object) -> GatePolicy:
    """Return the policy with ``section`` in the place of ``part``."""
    changed: dict[str, Any] = {part.field: section}
    if part.place is not None:
        parts = list(getattr(policy, part.field))
        parts[part.place] = section
        changed[part.field] = tuple(parts)
    return replace(policy, **changed)


def without_watching(policy: GatePolicy) -> GatePolicy:
    """Return the policy without the sections whose gates never claim by a test that the candidate is worse."""
    known = kinds(type(policy))
    judging = {name for name, kind in known if kind.alpha_share}
    nothing: dict[str, Any] = {name: None for name, _ in known if name not in judging}
    return replace(policy, **nothing)
