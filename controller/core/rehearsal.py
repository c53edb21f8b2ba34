"""The end of a rehearsal: a rehearsal is judged like any release, and goes no further than shadow.

Every event that is decided for a rehearsal passes through here, so that none gives its answers to users, and none makes
it wait for a person.
"""

from collections.abc import Sequence
from dataclasses import replace

from controller.core.events import Event, Leaving, PhaseEntered
from controller.core.leaving import ending_of_failure
from controller.core.release import EXPOSED, Phase, Purpose, Release


def kept_from_users(release: Release, events: Sequence[Event]) -> tuple[Event, ...]:
    """Return the events. Events that would expose users to a rehearsal, or hold it for a person, end it instead."""
    if release.purpose is not Purpose.REHEARSE:
        return tuple(events)
    return tuple(_kept(release, event) for event in events)


def impossible(release: Release) -> str:
    """Return why the rehearsal is not possible, in a sentence; empty if it is, or if the release is no rehearsal."""
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
