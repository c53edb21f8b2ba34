"""The noise of the service (`gates.stats.noise`), read from a look: how events came together in earlier releases, and
how far parts of stable differ; with the sentences about it."""

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
"""A function of a version's counts: the events that a gate counts, and the requests among which they could occur."""


def as_begun(state: StateT, look: Look, gate: str, *spreads: str) -> StateT:
    """Return the state of a gate as it begins a release: its fields ``spreads`` expect what earlier releases found, if
    the look says."""
    known = next((one.effect for one in look.earlier if one.gate == gate), None)
    if known is None:  # at nearly every look
        return state
    before: dict[str, Spread] = {name: getattr(state, name) for name in spreads}
    return replace(state, **{name: spread.expecting(known) for name, spread in before.items()})  # type: ignore[type-var]


def halves(look: Look, events: Events) -> Arms | None:
    """Return every second one of stable's replicas beside the others; None where there is only one, or the look has no
    counts by replica."""
    own, others = (_sum(look.stable_parts[first::2], events) for first in (1, 0))
    return Arms(*own, *others) if own[1] and others[1] else None


def _sum(parts: Sequence[ArmCounts], events: Events) -> tuple[int, int]:
    counted = [events(part) for part in parts]
    return sum(own for own, _ in counted), sum(of for _, of in counted)


def of_users(look: Look, events: Events) -> Arms | None:
    """Return stable's answers to copies of the requests of the candidate's users, beside those to its own users; None
    where either is not known."""
    if look.stable is None or look.former is None:
        return None
    return Arms(*events(look.former), *events(look.stable))


def heard(
    noise: Noise, look: Look, events: Events, *, live: bool = True, events_of_users: Events | None = None
) -> Noise:
    """Return the noise with what a look shows of stable. ``live``: users' answers are compared; with copies both
    versions answer the same users, so users are no source of noise. ``events_of_users``: ``events`` of a part of the
    users, which is timed by edges of its own."""
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
    """Return the end of a sentence: how far replicas of stable differ, where that is beyond chance; and how large a
    difference of users may be, where it could hide a difference of the versions. Usually empty."""
    said = ""
    if (apart := noise.replicas_apart(effect)) is not None:
        said += f"; replicas of stable differ by up to {pct(apart)}"
    between = noise.between_users(effect)
    if noise.blurs(between, effect):
        most = pct(math.expm1(between))
        said += f"; users stick to a version: a difference of up to {most} cannot be told from one of users"
    return said
