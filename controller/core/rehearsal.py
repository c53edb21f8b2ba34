"""The end of a rehearsal: it is judged like any release, and goes no further than shadow.

Everything that its phase decides passes through here, so that no event takes it to users, and none makes it wait for a
person.
"""

from collections.abc import Sequence
from dataclasses import replace

from controller.core.events import Event, Leaving, PhaseEntered
from controller.core.leaving import ending_of_failure
from controller.core.release import EXPOSED, Phase, Purpose, Release


def kept_from_users(release: Release, events: Sequence[Event]) -> tuple[Event, ...]:
    """Return the events; if those of a rehearsal would lead to users, or to a person, they end it instead."""
    if release.purpose is not Purpose.REHEARSE:
        return tuple(events)
    return tuple(_kept(release, event) for event in events)


def impossible(release: Release) -> str:
    """Return why there is nothing to rehearse; empty if there is, or if it is not a rehearsal."""
    if release.purpose is not Purpose.REHEARSE:
        return ""
    if release.stable is None:
        return "No version is serving that it could be compared with."
    return "" if release.mirrors else "Nothing copies users' requests here, so it would be judged on users."


def _kept(release: Release, event: Event) -> Event:
    ending = ending_of_failure(release)
    if isinstance(event, PhaseEntered) and event.phase in EXPOSED:
        return Leaving(ending, f"{event.reason} This was a rehearsal, and it ends here.")
    if isinstance(event, Leaving) and event.ending is Phase.HELD:
        return replace(event, ending=ending)
    return event
