"""The wishes of people and Git, as ModelRelease objects: creating one starts a release, and deleting it aborts that
release."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from controller.adapters.kubernetes.resources import Object
from controller.core.release import Release
from controller.errors import UsageError
from controller.loop.fleet import COMMAND_KEPT_S
from controller.ports.people import Inbox
from controller.service import Service, UnknownError

OF_RELEASE: Final = "serin.dev/release"
"""The annotation of an object that Serin made as a view: the id of the release that it shows."""
WISHED: Final = "ModelRelease "
"""The beginning of ``started_by`` in a release that an object started."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A ModelRelease that somebody other than Serin created."""

    name: str
    uid: str
    model: str
    version: str
    reason: str
    created_at_s: float

    @property
    def by(self) -> str:
        """Return who starts the release, for the journal. The release's object is found by this text later."""
        return f"{WISHED}{self.name} ({self.uid})"

    def started(self, release: Release) -> bool:
        return release.started_by == self.by


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a wish that has no release so far. ``final``: no release will come of it."""

    why: str
    final: bool


def wish_of(found: Object) -> Wish | None:
    """Return the object's wish; None for a view that Serin created."""
    metadata, spec = found["metadata"], found.get("spec", {})
    if OF_RELEASE in metadata.get("annotations", {}):
        return None
    reason = spec.get("reason") or f"ModelRelease {metadata['name']} was created."
    created_at_s = datetime.fromisoformat(metadata["creationTimestamp"]).timestamp()
    return Wish(metadata["name"], metadata["uid"], spec["model"], spec["version"], reason, created_at_s)


class Wishes:
    """Hands wishes to the service, and takes back those whose objects are gone. Calls come one at a time."""

    def __init__(
        self,
        service: Service,
        inbox: Inbox,
        survived: Callable[[str], bool],
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """``survived`` returns whether the cluster still has what was written there for a model. If it has not, the
        cluster was built anew and lost its objects, and nobody deleted a wish. ``now_s`` returns unix time, for the age
        of objects."""
        self._service = service
        self._inbox = inbox
        self._survived = survived
        self._now_s = now_s
        self._seen: dict[str, Wish] = {}
        self._put: set[str] = set()

    def put(self, wish: Wish) -> Answer:
        """Ask for the release, once, and return what has come of it so far.

        Raises:
            TransientError, ConflictError: it cannot be asked for now.
        """
        if (outcome := self._inbox.outcome(wish.uid)) is not None:
            return Answer(outcome, final=True)
        if self._now_s() - wish.created_at_s > COMMAND_KEPT_S:  # its outcome may be forgotten by now
            hours = COMMAND_KEPT_S / 3600
            return Answer(f"No release began within {hours:g} h: create another ModelRelease.", final=True)
        if wish.uid not in self._put:
            try:
                self._service.start(wish.model, wish.version, reason=wish.reason, by=wish.by, command_id=wish.uid)
            except UnknownError as error:  # its policy may be the next object that Git applies
                return Answer(str(error), final=False)
            except UsageError as error:
                return Answer(str(error), final=True)
            self._put.add(wish.uid)
        return Answer("Asked for: the controller will take it up.", final=False)

    def take_back(self, there: Sequence[Wish], active: Mapping[str, Release]) -> None:
        """Abort the active releases whose wishes were deleted, and drop their commands that nothing has taken up
        yet."""
        now = {wish.uid: wish for wish in there}
        for release in active.values():
            uid = _uid_of(release)
            gone = uid is not None and uid not in now
            if uid is not None and gone and (uid in self._seen or self._survived(release.model)):
                said = f"{release.started_by.partition(' (')[0]} was deleted."
                self._service.abort(release.model, reason=said, by="kubernetes", command_id=f"deleted-{uid}")
        for uid in self._seen.keys() - now.keys():
            self._inbox.discard(uid, f"ModelRelease {self._seen[uid].name} was deleted")
        self._seen = now
        self._put &= now.keys()


def _uid_of(release: Release) -> str | None:
    """Return the uid of the object that started the release; None if no object did."""
    by = release.started_by
    return by.rpartition("(")[2].removesuffix(")") if by.startswith(WISHED) and by.endswith(")") else None
