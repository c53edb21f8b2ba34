"""ModelRelease objects as views of the journal: written only if they differ from it, and created again if they are
gone."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.refusals import NoSuchObjectError
from controller.adapters.kubernetes.releases.made import Followed, MadeViews
from controller.adapters.kubernetes.releases.status import OURS, refused_status, status_of, waiting_status
from controller.adapters.kubernetes.releases.wishes import OF_RELEASE, Wish, Wishes, wish_of
from controller.adapters.kubernetes.resources import MODEL_RELEASES, Object
from controller.core.release import Release
from controller.errors import ConflictError, SerinError, Source, UnreadableError
from controller.journal.codec import release_of
from controller.ports.journal import ReleaseSummary

log = logging.getLogger(__name__)

EVERY_S: Final = 2.0
_PAGE: Final = 100  # releases read at a time, in the search for that of an object which was not shown before


@dataclass(frozen=True, slots=True)
class _Left:
    """An object as it was written last. ``sequence``: of its release; None once the model has a newer release. The
    former release may have ended at that very moment, so it is then read once more."""

    revision: str
    release_id: str
    sequence: int | None


class ReleaseObjects:
    """Keeps the objects of a namespace in step with the journal (`controller.subscribers.feed.CatchesUp`). Calls come
    one at a time, and only from the controller that leads."""

    name: Final = "model releases"

    def __init__(
        self,
        client: KubernetesClient,
        journal: Followed,
        wishes: Wishes,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._journal = journal
        self._wishes = wishes
        self._views = MadeViews(client, journal, lambda summary: self._load(summary).started_by)
        self._monotonic = monotonic
        self._looked_s = -math.inf
        self._shown: dict[str, _Left] = {}  # by uid
        self._loaded: dict[str, tuple[int, Release]] = {}  # active releases, by id, with their sequence

    def catch_up(self) -> None:
        """Take in which objects were created or deleted, and show what the journal says.

        Raises:
            SerinError: the cluster or the journal does not answer; the next call makes up for it.
        """
        now_s = self._monotonic()
        if now_s - self._looked_s < EVERY_S:
            return
        self._looked_s = now_s
        objects = self._client.list(MODEL_RELEASES).items
        current = self._journal.current()
        wishes = [wish for found in objects if (wish := wish_of(found)) is not None]
        self._wishes.take_back(wishes, dict(self._under_way(current)))
        for found in objects:
            try:
                self._show(found, current)
            except SerinError as error:  # the others are shown all the same
                log.warning("ModelRelease %s: %s", found["metadata"]["name"], error)
        self._views.make(objects, current)
        uids, ids = {found["metadata"]["uid"] for found in objects}, {one.release_id for one in current}
        self._shown = {uid: left for uid, left in self._shown.items() if uid in uids}
        self._loaded = {release_id: loaded for release_id, loaded in self._loaded.items() if release_id in ids}

    def _under_way(self, current: Sequence[ReleaseSummary]) -> Iterator[tuple[str, Release]]:
        """Yield the releases in progress, with their models. One that cannot be read is left out, so deleting its
        object does not abort it."""
        for one in current:
            with suppress(UnreadableError):  # the round that handles the release reports it
                if one.active:
                    yield one.model, self._load(one)

    # --- one object ------------------------------------------------------------------------------------------------
    def _show(self, found: Object, current: Sequence[ReleaseSummary]) -> None:
        metadata = found["metadata"]
        uid, revision = metadata["uid"], metadata["resourceVersion"]
        left = self._shown.get(uid)
        sequences = {one.release_id: one.sequence for one in current}
        if left is not None and left == _Left(revision, left.release_id, sequences.get(left.release_id)):
            return
        release = self._release_of(found, current)
        if release is not None:
            status = status_of(release, metadata["generation"])
        elif (wish := wish_of(found)) is not None:
            status = self._answered(wish, metadata["generation"], metadata["creationTimestamp"])
        else:
            return
        if not _says(found.get("status", {}), status):
            try:
                written = self._client.apply(
                    MODEL_RELEASES, metadata["name"], {"status": status}, force=True, subresource="status"
                )
            except NoSuchObjectError:  # deleted meanwhile
                return
            revision = written["metadata"]["resourceVersion"]
        if release is not None:
            self._shown[uid] = _Left(revision, release.id, sequences.get(release.id))

    def _answered(self, wish: Wish, generation: int, since: str) -> dict[str, Any]:
        answer = self._wishes.put(wish)
        return (refused_status if answer.final else waiting_status)(answer.why, generation, since)

    # --- the release that an object is of --------------------------------------------------------------------------
    def _release_of(self, found: Object, current: Sequence[ReleaseSummary]) -> Release | None:
        """Return the release of the object, or None. The object's own status is ignored: anybody may have written
        it."""
        wish = wish_of(found)
        if wish is None:
            record = self._journal.release(found["metadata"]["annotations"][OF_RELEASE])
            return release_of(record) if record is not None else None
        for summary in current:
            if summary.model == wish.model and wish.started(release := self._load(summary)):
                return release
        for summary in self._all_of(wish.model):
            if summary.version == wish.version and wish.started(release := self._load(summary)):
                return release
        return None

    def _all_of(self, model: str) -> Iterator[ReleaseSummary]:
        """Yield every release of the model, newest first."""
        before: str | None = None
        while page := self._journal.summaries(model=model, limit=_PAGE, before=before):
            yield from page
            before = page[-1].release_id

    def _load(self, summary: ReleaseSummary) -> Release:
        """Return the release, which is read again only if it has changed."""
        known = self._loaded.get(summary.release_id)
        if known is None or known[0] != summary.sequence:
            record = self._journal.release(summary.release_id)
            if record is None:
                raise ConflictError(Source.JOURNAL, f"release {summary.release_id} is gone")
            known = (record.sequence, release_of(record))
            if summary.active:
                self._loaded[summary.release_id] = known
            else:
                self._loaded.pop(summary.release_id, None)
        return known[1]


def _says(found: Object, wanted: dict[str, Any]) -> bool:
    """Return whether the status already says what is wanted, apart from the conditions of others."""
    own = [one for one in found.get("conditions", []) if one["type"] in OURS]
    return _sorted({**found, "conditions": own}) == _sorted(wanted)


def _sorted(status: dict[str, Any]) -> dict[str, Any]:
    """Return the status with its lists in a fixed order: the server may keep another one."""
    gates = sorted(status.get("gates", []), key=lambda one: str(one["name"]))
    conditions = sorted(status.get("conditions", []), key=lambda one: str(one["type"]))
    return {**status, "gates": gates, "conditions": conditions}
