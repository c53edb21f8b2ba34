"""The service itself, as a look tells of it: how its events came in earlier releases, and how far parts of stable
are apart (`gates.stats.noise`), with the sentences about it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from gates.evidence import ArmCounts, Look
from gates.stats.noise import Noise
from gates.stats.ratio import Arms
from gates.stats.spread import Spread
from gates.wording import pct

StateT = TypeVar("StateT")  # a dataclass, as all states are
Events = Callable[[ArmCounts], tuple[int, int]]
"""Of a version, the events that a gate counts, and how many there could have been."""


def as_begun(state: StateT, look: Look, gate: str, *spreads: str) -> StateT:
    """The state of a gate as it begins a release: its ``spreads``, fields of it, know what earlier releases found,
    where the look tells it."""
    known = next((one.effect for one in look.earlier if one.gate == gate), None)
    if known is None:  # as at nearly every look
        return state
    before: dict[str, Spread] = {name: getattr(state, name) for name in spreads}
    return replace(state, **{name: spread.expecting(known) for name, spread in before.items()})  # type: ignore[type-var]


def halves(look: Look, events: Events) -> Arms | None:
    """Every second part of stable's replicas beside the others; None where there is but one, or nobody tells."""
    own, others = (_sum(look.stable_parts[first::2], events) for first in (1, 0))
    return Arms(*own, *others) if own[1] and others[1] else None


def _sum(parts: Sequence[ArmCounts], events: Events) -> tuple[int, int]:
    counted = [events(part) for part in parts]
    return sum(own for own, _ in counted), sum(of for _, of in counted)


def of_users(look: Look, events: Events) -> Arms | None:
    """Stable's answers to copies of what the candidate's users ask, beside those to its own users."""
    if look.stable is None or look.former is None:
        return None
    return Arms(*events(look.former), *events(look.stable))


def heard(
    noise: Noise, look: Look, events: Events, *, live: bool = True, events_of_users: Events | None = None
) -> Noise:
    """The noise by what a look tells of stable. ``live``: users' answers are compared; of copies both versions answered
    the same users. ``events_of_users``: of a part by who asked, which is timed by edges of its own."""
    sticky = live and look.sticky
    if not (sticky or look.stable_parts):
        return noise
    users, among_users = noise.users, noise.among_users
    if sticky:
        users = users.add(of_users(look, events))
        among_users = among_users.add([(events_of_users or events)(part) for part in look.stable_users])
    return replace(
        noise,
        replicas=noise.replicas.add([events(part) for part in look.stable_parts]),
        among_users=among_users,
        users=users,
        sticky=noise.sticky or sticky,
    )


def words(noise: Noise, effect: float) -> str:
    """The end of a sentence: how far stable is apart from itself, where that is beyond chance; that users keep to a
    version, where a difference of the versions is hidden by it. Mostly nothing."""
    said = ""
    if (apart := noise.replicas_apart(effect)) is not None:
        said += f"; replicas of stable differ by up to {pct(apart)}"
    between = noise.between_users(effect)
    if noise.blurs(between, effect):
        most = pct(math.expm1(between))
        said += f"; users stick to a version: a difference of up to {most} cannot be told from one of users"
    return said
