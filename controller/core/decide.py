"""The decision: from a release and the facts found, the events that follow. Pure, total, and the same at any replay.

Order of precedence: a person's command, a route that a person moved, something broken, failed or lost, a newer
candidate, and then the phase's own reading of the facts. A failed gate takes a release back from any phase; only passes
take it forward.
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
    """The events that follow from the facts, in order; none where nothing changes."""
    if not release.active:
        return ()
    noted = note(release, facts, now_s)
    after = after_events(release, noted, facts, now_s)
    moved = kept_from_users(after, leave(after, facts) or advance(after, facts, now_s))
    return (*(_in_full(event, facts) if moved else event for event in noted), *moved)


def after_events(release: Release, events: Sequence[Event], facts: Sequence[Fact], now_s: float) -> Release:
    """The release after the events that were decided on the facts, with what only its snapshot holds."""
    after = fold(release, events, now_s) if events else release
    taken = next(iter(only(facts, LookTaken)), None)
    return carry(after, taken) if taken is not None and any(isinstance(event, Looked) for event in events) else after


def _in_full(event: Event, facts: Sequence[Fact]) -> Event:
    """A look at which the release moves keeps every verdict."""
    taken = next(iter(only(facts, LookTaken)), None)
    return replace(event, verdicts=taken.judgement.verdicts) if isinstance(event, Looked) and taken else event
