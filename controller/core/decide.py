"""The decision: which events follow from a release and the facts. Pure, total, and the same at each replay.

The first of these that applies decides: a person's abort or rollback, an override in the traffic table, a data plane
that was rebuilt, something broken, a failed gate, a lost candidate, a newer candidate, and last the rules of the phase.
A failed gate takes a release back from any phase; only passes, or a person's command to take a step, take it forward.
"""

from collections.abc import Sequence
from dataclasses import replace

from controller.core.events import (
    Event,
    Looked,
    carry,
    fold,
)
from controller.core.facts import (
    Fact,
    LookTaken,
    only,
)
from controller.core.leaving import leave
from controller.core.notes import note
from controller.core.phases import advance
from controller.core.rehearsal import kept_from_users
from controller.core.release import Release


def decide(release: Release, facts: Sequence[Fact], now_s: float) -> tuple[Event, ...]:
    """Return the events that follow from the facts, in order; none if nothing changes."""
    if not release.active:
        return ()
    noted = note(release, facts, now_s)
    after = after_events(release, noted, facts, now_s)
    moved = kept_from_users(after, leave(after, facts) or advance(after, facts, now_s))
    return (*(_in_full(event, facts) if moved else event for event in noted), *moved)


def after_events(release: Release, events: Sequence[Event], facts: Sequence[Fact], now_s: float) -> Release:
    """Return the release after these events. If a look is among them, the parts of the state that only the snapshot
    holds (`carry`) come from the facts."""
    after = fold(release, events, now_s) if events else release
    taken = next(iter(only(facts, LookTaken)), None)
    return carry(after, taken) if taken is not None and any(isinstance(event, Looked) for event in events) else after


def _in_full(event: Event, facts: Sequence[Fact]) -> Event:
    """Return the event; a look, at which the release moves, with every verdict and not only the changed ones."""
    taken = next(iter(only(facts, LookTaken)), None)
    return replace(event, verdicts=taken.judgement.verdicts) if isinstance(event, Looked) and taken else event
