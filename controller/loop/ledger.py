"""The ledger of a release: writes the events that the release acts on to the journal, or keeps them in memory while the
journal cannot be written.

Events are written before they are acted on, with two exceptions that expose no users
(`docs/decisions/0505-back-before-it-is-recorded.md`): evidence is kept until it can be written, and a rollback does not
wait for its record.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from controller.core.decide import after_events
from controller.core.events import (
    ClockStepped,
    CommandTaken,
    Event,
    FaultCleared,
    FaultNoted,
    GatesRestarted,
    Leaving,
    Looked,
    TrafficConfirmed,
)
from controller.core.facts import Fact
from controller.core.release import EXPOSED, Phase, Release
from controller.core.traffic import Override
from controller.errors import TransientError
from controller.journal.codec import entry_of, record_of
from controller.loop.executor import World
from controller.ports.journal import Journal

log = logging.getLogger(__name__)

_BACK = frozenset({Phase.ABORTED, Phase.ROLLED_BACK})
_GATHERED = Looked | FaultNoted | FaultCleared | GatesRestarted | ClockStepped | TrafficConfirmed  # expose no users
_UNWRITTEN_MAX = 32  # events; beyond that they are dropped, and the evidence is read again


@dataclass(frozen=True, slots=True)
class Standing:
    """A release and the number of its entries in the journal. ``unwritten``: events, each with its unix time, that the
    release has acted on and that are not in the journal yet."""

    release: Release
    sequence: int
    unwritten: tuple[tuple[Event, float], ...] = ()

    @property
    def words_taken_up(self) -> frozenset[str]:
        """Return the ids of the commands that unwritten events have taken up."""
        return frozenset(event.command_id for event, _ in self.unwritten if isinstance(event, CommandTaken))


class Ledger:
    """The writer of the events that one model's releases act on."""

    def __init__(
        self, world: World, journal: Journal, fence: Callable[[], int | None], leads: Callable[[], bool]
    ) -> None:
        """``fence``: returns the leader's fence; raises ConflictError if another controller leads. ``leads``: whether
        this controller leads."""
        self._world = world
        self._journal = journal
        self._fence = fence
        self._leads = leads

    def append(self, after: Release, sequence: int, events: Sequence[tuple[Event, float]]) -> Standing:
        """Write the events, each with its unix time, and the state ``after`` them, in one transaction.

        Raises:
            TransientError: the journal cannot be written, or it is not known whether it was.
            ConflictError: the stream does not end at ``sequence``, or another controller leads.
        """
        taken_up = [event.command_id for event, _ in events if isinstance(event, CommandTaken) and event.command_id]
        standing = Standing(after, sequence + len(events))
        entries = [entry_of(event, at_s) for event, at_s in events]
        self._journal.append(record_of(after, standing.sequence), entries, taken_up=taken_up, fence=self._fence())
        log.info("%s: %s. %s", after.id, after.phase, after.reason)
        return standing

    def record(self, standing: Standing, events: Sequence[Event], found: Sequence[Fact]) -> Standing:
        """Write the events that were decided on the facts ``found``, after those that are unwritten, and return where
        the release stands now.

        Raises:
            TransientError: the journal cannot be written, and the release may not go on without the record.
            ConflictError: as `append`.
        """
        now_s = self._world.clock.now_s()
        after = after_events(standing.release, events, found, now_s)
        unwritten = (*standing.unwritten, *((event, now_s) for event in events))
        try:
            return self.append(after, standing.sequence, unwritten)
        except TransientError as error:
            if not self._goes_on(standing.release, events, error) or len(unwritten) > _UNWRITTEN_MAX:
                raise
            return Standing(after, standing.sequence, unwritten)

    def caught_up(self, standing: Standing) -> Standing:
        """Write the unwritten events if the journal can be written now. Raises ConflictError as `append`, for example
        because the events were written before and only the answer was lost."""
        try:
            return self.append(standing.release, standing.sequence, standing.unwritten)
        except TransientError as error:
            log.debug("%s: %d events wait for the journal: %s", standing.release.id, len(standing.unwritten), error)
            return standing

    def _goes_on(self, release: Release, events: Sequence[Event], unrecorded: TransientError) -> bool:
        """Return whether the release may act on events that cannot be written now, for example because the disk is
        full: on evidence, and on a rollback, which is carried out here. If this process ends before they are written,
        the evidence is read again, and the traffic table holds the reason of the rollback."""
        if all(isinstance(event, _GATHERED) for event in events):
            log.warning("%s: what was seen is kept in memory: %s", release.id, unrecorded)
            return True
        leaving = next((one for one in events if isinstance(one, Leaving) and one.ending in _BACK), None)
        if leaving is None or release.stable is None or release.phase not in EXPOSED or not self._leads():
            return False
        table = self._world.traffic.read(release.model)
        if table is None or table.override is None or table.share_of(release.candidate.number):
            log.warning(
                "%s: users are rolled back before it is recorded: %s (%s)", release.id, leaving.reason, unrecorded
            )
            override = Override(leaving.reason, leaving.by, self._world.clock.now_s())
            self._world.traffic.retreat(release.model, release.stable.number, override)
        return True
