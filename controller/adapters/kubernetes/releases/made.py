"""The ModelRelease objects that Serin creates itself: a view of each release that no object started."""

import logging
import math
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.names import label_value, release_name
from controller.adapters.kubernetes.releases.wishes import OF_RELEASE, WISHED, wish_of
from controller.adapters.kubernetes.resources import MODEL_RELEASES, Object
from controller.core.events import Started
from controller.errors import ConflictError, UnreadableError
from controller.journal.codec import event_of
from controller.ports.journal import Feed, Journal, RecordedEntry, ReleaseSummary
from controller.subscribers.feed import Follower

log = logging.getLogger(__name__)

VIEWS_KEPT: Final = 10  # of each model


class Followed(Journal, Feed, Protocol):
    """The journal with its order over all streams."""


class MadeViews:
    """Creates a view of every release that begins, however short the release is, in the order of the journal
    (`controller.subscribers.feed.Subscriber`). The view of a model's last release is created again if it is gone, and
    only the newest views of each model are kept. Calls come one at a time."""

    name: Final = "views of releases"
    kinds: Final = (Started.__name__,)

    def __init__(
        self, client: KubernetesClient, journal: Followed, started_by: Callable[[ReleaseSummary], str]
    ) -> None:
        self._client = client
        self._journal = journal
        self._started_by = started_by
        self._follower = Follower(journal, self)
        self._shown: set[str] = set()  # ids of releases
        self._wished: set[str] = set()  # ids of last releases that an object started

    def make(self, objects: Sequence[Object], last: Sequence[ReleaseSummary]) -> None:
        """Create the views that are missing among ``objects``, and delete the oldest. ``last``: the last release of
        each model.

        Raises:
            SerinError: the cluster or the journal does not answer.
        """
        made = [found for found in objects if wish_of(found) is None]
        self._shown = {found["metadata"]["annotations"][OF_RELEASE] for found in made}
        self._follower.catch_up()
        self._wished &= {summary.release_id for summary in last}
        for summary in last:
            if summary.release_id in self._shown or summary.release_id in self._wished:
                continue
            try:
                wished = self._started_by(summary).startswith(WISHED)
            except UnreadableError:  # the round that handles the release reports it
                continue
            if wished:
                self._wished.add(summary.release_id)
            else:
                self._show(summary)
        models: dict[str, list[Object]] = {}
        for found in made:
            models.setdefault(found["spec"]["model"], []).append(found)
        for mine in models.values():
            if len(mine) > VIEWS_KEPT:
                self._delete_oldest(mine)

    def take(self, entry: RecordedEntry) -> None:
        """Show a release that begins with this entry, unless so many newer ones exist that its view would be deleted at
        once."""
        begun = event_of(entry)
        if not isinstance(begun, Started) or begun.by.startswith(WISHED):
            return
        newest = self._journal.summaries(model=begun.model, limit=VIEWS_KEPT)
        for summary in newest:
            if summary.release_id == begun.id:
                self._show(summary)

    def _show(self, summary: ReleaseSummary) -> None:
        if summary.release_id in self._shown:
            return
        try:
            self._client.create(MODEL_RELEASES, _view(summary))
        except ConflictError as error:  # somebody else's object has this name
            log.warning("release %s is not shown: %s", summary.release_id, error)
        else:
            self._shown.add(summary.release_id)

    def _delete_oldest(self, views: list[Object]) -> None:
        """Delete the oldest views, by the journal's times: objects that were created together have the same creation
        time."""

        def began_s(found: Object) -> float:
            summary = self._journal.summary(found["metadata"]["annotations"][OF_RELEASE])
            return summary.started_at_s if summary is not None else -math.inf

        for found in sorted(views, key=began_s, reverse=True)[VIEWS_KEPT:]:
            self._client.delete(MODEL_RELEASES, found["metadata"]["name"], uid=found["metadata"]["uid"])


def _view(summary: ReleaseSummary) -> Object:
    labels = {
        "app.kubernetes.io/managed-by": "serin",
        "serin.dev/model": label_value(summary.model),
        "serin.dev/version": label_value(summary.version),
    }
    annotations = {OF_RELEASE: summary.release_id}
    return {
        "apiVersion": MODEL_RELEASES.api_version,
        "kind": MODEL_RELEASES.kind,
        "metadata": {"name": release_name(summary.release_id), "labels": labels, "annotations": annotations},
        "spec": {"model": summary.model, "version": summary.version},
    }
