"""The service itself, as a look tells of it: how its events came in earlier releases, and how far two parts of stable
are apart (`gates.stats.noise`), with the sentences about it."""

import math
from collections.abc import Callable
from dataclasses import replace

from gates.evidence import ArmCounts, Look
from gates.stats.noise import Noise
from gates.stats.ratio import Arms
from gates.stats.spread import Spread
from gates.wording import pct

Events = Callable[[ArmCounts], tuple[int, int]]
"""Of a version, the events that a gate counts, and how many there could have been."""


def expecting(spread: Spread, look: Look, gate: str) -> Spread:
    """The spread of a gate's events as it begins a release: from what earlier ones found, where the look tells it."""
    known = next((one.effect for one in look.earlier if one.gate == gate), None)
    return spread if known is None else spread.expecting(known)


def halves(look: Look, events: Events) -> Arms | None:
    """Half of stable's replicas beside the others; None where there is but one replica, or nobody tells."""
    if look.stable is None or look.stable_half is None:
        return None
    some, of_some = events(look.stable_half)
    every, of_every = events(look.stable)
    if some > every or of_some > of_every or every - some > of_every - of_some:
        return None  # a scrape fell between two counters
    return Arms(some, of_some, every - some, of_every - of_some)


def of_users(look: Look, events: Events) -> Arms | None:
    """Stable's answers to copies of what the candidate's users ask, beside those to its own users."""
    if look.stable is None or look.former is None:
        return None
    return Arms(*events(look.former), *events(look.stable))


def heard(noise: Noise, look: Look, events: Events, *, live: bool = True) -> Noise:
    """The noise by what a look tells of stable. ``live``: users' answers are compared; of copies both versions answered
    the same users."""
    sticky = live and look.sticky
    users = noise.users.add(of_users(look, events)) if sticky else noise.users
    return replace(noise, halves=noise.halves.add(halves(look, events)), users=users, sticky=noise.sticky or sticky)


def words(noise: Noise, effect: float) -> str:
    """The end of a sentence: how far stable is apart from itself, where that is beyond chance; that users keep to a
    version, where a difference of the versions is hidden by it. Mostly nothing."""
    said = ""
    if (apart := noise.halves_apart(effect)) is not None:
        said += f"; two halves of stable differ by up to {pct(apart)}"
    between = noise.between_users(effect)
    if noise.blurs(between, effect):
        most = pct(math.expm1(between))
        said += f"; users stick to a version: a difference of up to {most} cannot be told from one of users"
    return said
