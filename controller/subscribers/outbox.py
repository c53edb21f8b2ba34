"""The outbox: what the journal says goes into the queue of each target that wants to be told of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from controller.core.commands import ANY_MODEL
from controller.core.notices import ALWAYS_TOLD, Kind, Notice, Severity
from controller.core.policy import ReleasePolicy
from controller.journal.codec import event_of, note_of
from controller.ports.clock import Clock
from controller.ports.journal import Feed, RecordedEntry, ReleaseLists, release_of_stream
from controller.ports.notices import Channel, NoticeQueue
from controller.ports.people import Freezes
from controller.subscribers.feed import Follower
from controller.subscribers.telling import KINDS, OF_RELEASES, notice_of_note, notice_of_release

OLD_S: Final = 86_400.0
"""What happened longer ago is no news: nobody is told of it by a target that came later."""
GATHER_S: Final = 20.0
"""So long what wakes nobody waits for more of the same model and version, to be told in one go."""


class Outbox:
    """Follows what people are told of (`controller.subscribers.feed.Subscriber`)."""

    name: Final = "outbox"
    kinds: Final = KINDS

    def __init__(
        self,
        queue: NoticeQueue,
        channels: Sequence[Channel],
        releases: ReleaseLists,
        freezes: Freezes,
        policies: Callable[[], Mapping[str, ReleasePolicy]],
        clock: Clock,
    ) -> None:
        """``policies``: as they are now, for who owns a model."""
        self._queue = queue
        self._channels = channels
        self._releases = releases
        self._freezes = freezes
        self._policies = policies
        self._clock = clock

    def take(self, entry: RecordedEntry) -> None:
        now_s = self._clock.now_s()
        if now_s - entry.at_s > OLD_S or (notice := self._notice(entry)) is None:
            return
        silent = notice.kind not in ALWAYS_TOLD and self._is_silent(notice.model)
        gathered = [one for one in self._wanting(notice) if one.group_max > 1 and notice.severity is not Severity.PAGE]
        at_once = [one for one in self._wanting(notice) if one not in gathered]
        for channels, due_at_s in ((at_once, now_s), (gathered, now_s + GATHER_S)):
            if channels:
                self._queue.put(notice, [one.name for one in channels], due_at_s=due_at_s, silent=silent)

    def _notice(self, entry: RecordedEntry) -> Notice | None:
        if entry.kind in OF_RELEASES:
            release = self._releases.summary(release_of_stream(entry.stream))
            found = notice_of_release(entry, event_of(entry), release) if release is not None else None
        else:
            found = notice_of_note(entry, note_of(entry))
        if found is None:
            return None
        if found.kind is Kind.FREEZE_LIFTED:
            found = self._with_what_was_kept(found)
        policy = self._policies().get(found.model)
        return found if policy is None else replace(found, owner=policy.owner or "", contact=policy.contact or "")

    def _wanting(self, notice: Notice) -> Sequence[Channel]:
        return [
            one
            for one in self._channels
            if notice.severity in one.severities
            and (not one.models or notice.model == ANY_MODEL or notice.model in one.models)
        ]

    def _is_silent(self, model: str) -> bool:
        return any(one.silent and one.model in (model, ANY_MODEL) for one in self._freezes.in_force())

    def _with_what_was_kept(self, lifted: Notice) -> Notice:
        """Say of how much nobody was told: it stands in the journal."""
        kept = self._queue.kept_silent(lifted.model, since_s=lifted.at_s - OLD_S)
        if not kept:
            return lifted
        words = f"{kept:,} notices of the last day were kept silent; `serin release list` has what happened"
        return replace(lifted, reason=f"{lifted.reason} ({words})")


class FromNowOn:
    """Implements ``CatchesUp`` for the outbox: where it never began, it begins with what comes from now on. People are
    not told of years."""

    def __init__(self, journal: Feed, outbox: Outbox) -> None:
        self.name = outbox.name
        self._journal = journal
        self._outbox = outbox
        self._follower: Follower | None = None

    def catch_up(self) -> None:
        """As `Follower.catch_up`."""
        if self._follower is None:
            if not self._journal.position_of(self.name):
                reached = self._journal.feed(after=0, limit=1, kinds=()).reached
                self._journal.advance(self.name, reached)
            self._follower = Follower(self._journal, self._outbox)
        self._follower.catch_up()
