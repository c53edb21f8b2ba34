"""The queue of requests to label: which are asked for now, whoever asks for them.

A release that reads samples asks for those that tell it most. Where none does, those of the standing queue of the
version that serves are asked for, so that nothing is asked for twice.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from controller.core.release import SERVED, Purpose, Release
from controller.overview import current, opened
from controller.ports.journal import Journal
from controller.ports.samples import LabelRequest, SampleIntake
from controller.ports.standing import StandingRequests


class LabelQueue(Protocol):
    """The queue that commands ask: one here (`StoredLabelQueue`), or one elsewhere, by its interface."""

    def label_requests(self, model: str, *, since_s: float, limit: int) -> Sequence[LabelRequest]:
        """Return the requests of the model whose truth would tell most, in the order in which to label them. Of the
        standing queue only answers since then count.

        Raises:
            TransientError: the store does not answer.
        """


class StoredLabelQueue:
    """Implements ``LabelQueue`` on the store."""

    def __init__(self, samples: SampleIntake, standing: StandingRequests, journal: Journal) -> None:
        self._samples = samples
        self._standing = standing
        self._journal = journal

    def label_requests(self, model: str, *, since_s: float, limit: int) -> Sequence[LabelRequest]:
        asking = [release for release in under_way(self._journal, model) if _reads_samples(release)]
        if asking:
            return [one for release in asking for one in self._of_release(release, limit)][:limit]
        version = self._serving(model)
        return self._standing.standing_requests(model, version, since_s=since_s, limit=limit) if version else ()

    def _of_release(self, release: Release, limit: int) -> Sequence[LabelRequest]:
        first_pair = release.cursors.first_pair
        if release.stable is None or first_pair is None:
            return ()
        versions = release.stable.number, release.candidate.number
        return self._samples.label_requests(release.model, *versions, first_pair=first_pair, limit=limit)

    def _serving(self, model: str) -> str | None:
        """Return the version that serves, by the release in progress or the one that began last; None where none
        does."""
        release = next((opened(record)[0] for record in current(self._journal, model)), None)
        if release is None:
            return None
        serves = release.candidate if release.phase in SERVED else release.stable
        return serves.number if serves is not None else None


def under_way(journal: Journal, model: str) -> list[Release]:
    """Return the model's releases in progress, but for those that this version cannot read: whoever drives one tells of
    it."""
    found = (opened(record)[0] for record in journal.releases(model=model, active=True))
    return [release for release in found if release is not None]


def _reads_samples(release: Release) -> bool:
    """Return whether people are asked for labels of it: no answer of a rehearsal is worth their time."""
    return release.stable is not None and release.cursors.first_pair is not None and release.purpose is Purpose.PROMOTE


def as_document(request: LabelRequest) -> dict[str, object]:
    """Return the request as the interface shows it."""
    return {
        "request_id": request.request_id,
        "model": request.model,
        "answers": dict(request.answers),
        "disagree": request.disagree,
        "directed": request.directed,
        "inclusion_probability": request.inclusion_probability,
        "text": request.text,
    }


def request_in(document: Mapping[str, Any]) -> LabelRequest:
    """Return the request that the interface shows. Raises KeyError or TypeError where it lacks something."""
    return LabelRequest(
        request_id=document["request_id"],
        model=document["model"],
        answers=dict(document["answers"]),
        disagree=document["disagree"],
        directed=document["directed"],
        text=document["text"],
        inclusion_probability=document["inclusion_probability"],
    )
