"""The thinning of old looks: consecutive looks of one hour and one kind are replaced by their sum, which can be judged
and reported like a look. Their places in the hash chain stay, and the sum is an event of its own."""

from collections.abc import Iterable, Iterator
from typing import Final

from controller.core.events import Looked, Reading
from controller.journal.codec import event_of
from controller.journal.notes import LooksThinned
from controller.ports.journal import RecordedEntry, release_of_stream
from gates.offline.summing import can_be_added, summed
from gates.verdict import Verdict

SUMMED_S: Final = 3_600.0  # looks of one hour become one


def summaries_of(entries: Iterable[RecordedEntry]) -> Iterator[LooksThinned]:
    """Yield the summaries of a release's entries, which are given in order. Looks that cannot be summed give none.

    Raises:
        PermanentError: this version of Serin cannot read an entry.
    """
    group: list[tuple[RecordedEntry, Looked]] = []
    for entry in entries:
        event = event_of(entry)
        if not isinstance(event, Looked):
            continue
        if group and not _goes_on(*group[-1], entry, event):
            yield from _summary(group)
            group = []
        group.append((entry, event))
    yield from _summary(group)


def _goes_on(entry: RecordedEntry, event: Looked, following: RecordedEntry, look: Looked) -> bool:
    return (
        following.sequence == entry.sequence + 1  # nothing else happened in between
        and _hour(event) == _hour(look)
        and event.deadline_s == look.deadline_s
        and can_be_added(event.look, look.look)
    )


def _hour(event: Looked) -> int:
    return int(event.look.window.end_s // SUMMED_S)


def _summary(group: list[tuple[RecordedEntry, Looked]]) -> Iterator[LooksThinned]:
    if len(group) < 2:
        return
    verdicts: dict[str, Verdict] = {}
    readings: dict[str, Reading] = {}
    for _, event in group:
        verdicts |= {verdict.gate: verdict for verdict in event.verdicts}
        readings |= event.readings
    (first, _), (last, event) = group[0], group[-1]
    yield LooksThinned(
        release_id=release_of_stream(first.stream),
        first=first.sequence,
        last=last.sequence,
        look=summed([event.look for _, event in group]),
        verdicts=tuple(verdicts.values()),
        readings=readings,
        deadline_s=event.deadline_s,
    )
