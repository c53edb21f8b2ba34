"""Routes of replicas and label sources: predictions and labels in, questions out."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final

from controller.api import argilla, label_studio
from controller.api.access import Caller
from controller.api.annotating import Event
from controller.api.bodies import BATCH_MAX, UNNAMED_SOURCE, parse_predictions
from controller.api.errors import ApiError
from controller.api.http import JSON_LINES_TYPE, Call, Raw, Reply, limit_of, number_of, query_text
from controller.api.labels import AHEAD_S_MAX, Feed, FeedAnswer, read_body, read_items, read_lines
from controller.core.labels import LabelNames
from controller.core.release import Release
from controller.label_queue import LabelQueue, as_document, under_way
from controller.ports.clock import Clock
from controller.ports.journal import Journal
from controller.ports.samples import Label, LabelRequest, Prediction, SampleCursor, SampleIntake
from controller.roles import ANY, Deed, way_in
from gates.evidence import LabelSource
from serving.contract import CAPTURE_RATIO_FIELD, DRILL_REQUEST_PREFIX, is_sampled, request_of
from serving.text.jsonlines import Unreadable, loads

LABEL_REQUESTS_MAX: Final = 1_000
IMPORTED: Final[Mapping[str, Callable[[Sequence[LabelRequest]], object]]] = {
    "label-studio": label_studio.tasks,
    "argilla": argilla.records,
}
"""What tools import, by the name of the format."""
FORMATS: Final = ("serin", *IMPORTED)
SINCE_S_MAX: Final = 9_999_999_999


class SampleRoutes:
    def __init__(
        self,
        samples: SampleIntake,
        queue: LabelQueue,
        journal: Journal,
        clock: Clock,
        label_names: Callable[[], Mapping[str, Mapping[str, str]]],
        capture_ratio: Callable[[str], float | None],
    ) -> None:
        self._samples = samples
        self._queue = queue
        self._journal = journal
        self._clock = clock
        self._label_names = label_names
        self._capture_ratio = capture_ratio

    def predictions(self, call: Call) -> Reply:
        """Take a batch of predictions of the replica whose token came with it; sending it again changes nothing. Answer
        how large a share of the requests is to be sampled, where that is known. The batch may be empty. What a drill
        asked is no sample: it says nothing of what users ask."""
        batch = [body.prediction() for body in parse_predictions(call.body).predictions]
        _refuse_others_predictions(batch, call.caller)
        self._refuse_the_future(batch)
        model = call.caller.model
        if model == ANY:  # a batch is of one replica's
            model = next((one.model for one in batch), None)
        ratio = self._capture_ratio(model) if model is not None else None
        of_users = [one for one in batch if not one.request_id.startswith(DRILL_REQUEST_PREFIX)]
        kept = of_users if ratio is None else list(_thinned(of_users, ratio))
        answer = {"received": len(batch), "new": self._samples.add_predictions(kept)}
        return Reply(answer if ratio is None else {**answer, CAPTURE_RATIO_FIELD: ratio})

    def _refuse_the_future(self, batch: Sequence[Prediction]) -> None:
        """Refuse samples from the future, which would never expire."""
        latest_s = self._clock.now_s() + AHEAD_S_MAX
        for index, one in enumerate(batch):
            if one.at_s > latest_s:
                field = f"predictions[{index}].at_s"
                message = f"{field}: {one.at_s:.0f} is more than a day in the future; see the sender's clock"
                raise ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", message, field=field)

    def labels(self, call: Call) -> Reply:
        """Take labels in, each by itself: the answer lists those that were refused, and counts what helps nobody."""
        _refuse_of_one_model(call.caller)
        now_s, by_line = self._clock.now_s(), call.content_type == JSON_LINES_TYPE
        feed = read_lines(call.body, now_s=now_s, count_max=BATCH_MAX) if by_line else read_body(call.body, now_s=now_s)
        return Reply(self._taken(feed, call.caller).as_json())

    def label_studio(self, call: Call) -> Reply:
        """Take in what a webhook of Label Studio tells of annotations, as `labels` takes them; what it tells of other
        things is answered and changes nothing."""
        _refuse_of_one_model(call.caller)
        told = _told(label_studio.event, call)
        feed = read_items(label_studio.UNIT, told.items, now_s=self._clock.now_s())
        answer = self._taken(feed, call.caller).as_json()
        return Reply({"action": told.action, "skipped": told.skipped, **answer})

    def argilla(self, call: Call) -> Reply:
        """Likewise of a webhook of Argilla, whose signature stands in for a token: annotators are its own."""
        told = _told(argilla.event, call)
        feed = read_items(argilla.UNIT, told.items, now_s=self._clock.now_s())
        answer = self._kept(feed).as_json()
        return Reply({"action": told.action, "skipped": told.skipped, **answer})

    def _taken(self, feed: Feed, caller: Caller) -> FeedAnswer:
        return self._kept(replace(feed, labels=tuple(_signed(label, caller) for label in feed.labels)))

    def _kept(self, feed: Feed) -> FeedAnswer:
        return feed.answer(self._samples.add_labels(feed.labels, aliases=self._label_names()))

    def label_requests(self, call: Call) -> Reply | Raw:
        """Hand out the requests whose truth would tell most to the release under way; where none is judged by samples,
        those of the standing queue of the version that serves. A label must be sent back as ``directed`` where its
        request is so, and only then, and with the inclusion probability. And tell what the labels of the release were
        like so far, by source. As ``format=label-studio`` or ``argilla`` the answer is what that imports."""
        limit = limit_of(call, default=50, most=LABEL_REQUESTS_MAX)
        model, form = query_text(call, "model"), call.query.get("format", "serin")
        since_s = number_of(call, "since_s", default=0, least=0, most=SINCE_S_MAX)
        if form not in FORMATS:
            message = f"format: must be one of {', '.join(FORMATS)}"
            raise ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", message, field="format")
        call.caller.may_speak_of(model)
        found = self._queue.label_requests(model, since_s=since_s, limit=limit)
        if form in IMPORTED:
            return Raw(json.dumps(IMPORTED[form](found)).encode())
        sources = [_source(one) for release in under_way(self._journal, model) for one in self._sources(release)]
        return Reply({"label_requests": list(map(as_document, found)), "label_sources": sources})

    def _sources(self, release: Release) -> Sequence[LabelSource]:
        began = release.cursors
        if release.stable is None or began.first_pair is None:
            return ()
        cursor = SampleCursor(
            first_labelled_answer=began.first_labelled_answer or 0,
            first_label=began.first_label or 0,
            first_dispute=began.first_dispute or 0,
        )
        return self._samples.label_sources(
            release.model,
            release.stable.number,
            release.candidate.number,
            cursor,
            names=LabelNames(aliases=self._label_names().get(release.model, {})),
            settled_before_s=self._clock.now_s() - release.policy.gates.labels.unmatched_grace_s,
        )


def _told(read: Callable[[Any], Event], call: Call) -> Event:
    """Return what the body of a tool's webhook tells. Raises ApiError where it cannot be read (400, 422)."""
    try:
        return read(loads(call.body))
    except Unreadable as error:
        status = HTTPStatus.UNPROCESSABLE_ENTITY if error.place else HTTPStatus.BAD_REQUEST
        code = "invalid" if error.place else "json"
        raise ApiError(status, code, str(error), field=error.place or None) from error


def _thinned(batch: Sequence[Prediction], ratio: float) -> Iterator[Prediction]:
    """The samples that there would be, had their replica gone by this ratio already.

    One that has not heard of it yet, or that an earlier release of Serin started and that never will, samples more. The
    choice is by the request's id alone and a smaller ratio's is contained in a larger one's, so what is left is the
    very sample of the smaller one: of both versions the same requests, each with this chance. What was sampled by less
    stays as it is.
    """
    for one in batch:
        if one.inclusion_probability <= ratio:
            yield one
        elif is_sampled(request_of(one.request_id), ratio):
            yield replace(one, inclusion_probability=ratio)


def _refuse_others_predictions(batch: Sequence[Prediction], caller: Caller) -> None:
    """
    Raises:
        ApiError: a prediction is of another version than the token (403).
    """
    if (caller.model, caller.version) == (ANY, ANY):
        return
    for number, one in enumerate(batch):
        if (one.model, one.version) != (caller.model, caller.version):
            message = (
                f"predictions[{number}] is of {one.model} version {one.version}, and the token is that of "
                f"the replica of {caller.model} version {caller.version}; {way_in(Deed.PREDICT)}"
            )
            raise ApiError(HTTPStatus.FORBIDDEN, "forbidden", message, field=f"predictions[{number}]")


def _refuse_of_one_model(caller: Caller) -> None:
    """Labels name requests only, and a request's samples may still come: whose it is cannot be told here.

    Raises:
        ApiError: the token is for one model (403).
    """
    if caller.model is not None:
        message = (
            f"the token of {caller.name} is for model {caller.model} only, and labels name requests of any model; "
            "make one for labels that is bound to none"
        )
        raise ApiError(HTTPStatus.FORBIDDEN, "forbidden", message, by=caller.name)


def _signed(label: Label, caller: Caller) -> Label:
    """The label under the name of the token that it came by; what its sender calls the source is kept after it."""
    own = label.source in (caller.name, UNNAMED_SOURCE)
    return replace(label, source=caller.name if own else f"{caller.name}/{label.source}")


def _source(one: LabelSource) -> dict[str, object]:
    return {
        "source": one.source,
        "labelled": one.labelled,
        "unknown_classes": one.unknown,
        "unknown_names": [{"name": name.name, "labels": name.labels} for name in one.unknown_names],
        "settled": one.settled,
        "unmatched_requests": one.unmatched,
        "contradicts_itself": one.contradicts_itself,
        "contradicts_others": one.contradicts_others,
        "corrected_late": one.corrected_late,
    }
