"""Routes of replicas and label sources: predictions and labels in, questions out."""

from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Final

from controller.api.access import Caller
from controller.api.bodies import UNNAMED_SOURCE, LabelBody, LabelsBody, PredictionsBody, parse, parse_lines
from controller.api.errors import ApiError
from controller.api.http import JSON_LINES_TYPE, Call, Reply, limit_of, query_text
from controller.codec import release_of
from controller.core.release import Release
from controller.errors import UsageError
from controller.ports import Clock, Journal, Label, LabelRequest, Prediction, SampleIntake
from controller.roles import Deed, way_in

LABEL_REQUESTS_MAX: Final = 1_000


class SampleRoutes:
    def __init__(self, samples: SampleIntake, journal: Journal, clock: Clock) -> None:
        self._samples = samples
        self._journal = journal
        self._clock = clock

    def predictions(self, call: Call) -> Reply:
        """Take a batch of predictions of the replica whose token came with it; sending it again changes nothing."""
        batch = [body.prediction() for body in parse(PredictionsBody, call.body).predictions]
        _refuse_others_predictions(batch, call.caller)
        return Reply({"received": len(batch), "new": self._samples.add_predictions(batch)})

    def labels(self, call: Call) -> Reply:
        """Take a batch of labels, whole or, where one contradicts what is known, not at all."""
        if call.content_type == JSON_LINES_TYPE:
            bodies = list(parse_lines(LabelBody, call.body))
        else:
            bodies = parse(LabelsBody, call.body).labels
        now_s = self._clock.now_s()
        try:
            new = self._samples.add_labels([_signed(body.to_label(now_s), call.caller) for body in bodies])
        except UsageError as error:
            raise ApiError(HTTPStatus.CONFLICT, "contradiction", str(error)) from error
        return Reply({"received": len(bodies), "new": new})

    def label_requests(self, call: Call) -> Reply:
        """Hand out the requests whose truth would tell most to the release under way; none where none is, since their
        labels would help nobody. Labels for those that disagree must be sent back as ``directed``, the others must
        not."""
        limit = limit_of(call, default=50, most=LABEL_REQUESTS_MAX)
        model = query_text(call, "model")
        call.caller.may_speak_of(model)
        records = self._journal.releases(model=model, active=True)
        found = [one for record in records for one in self._label_requests(release_of(record), limit)]
        return Reply({"label_requests": [_label_request(one) for one in found[:limit]]})

    def _label_requests(self, release: Release, limit: int) -> Sequence[LabelRequest]:
        first_pair = release.cursors.first_pair
        if release.stable is None or first_pair is None:
            return ()
        versions = release.stable.number, release.candidate.number
        return self._samples.label_requests(release.model, *versions, first_pair=first_pair, limit=limit)


def _refuse_others_predictions(batch: Sequence[Prediction], caller: Caller) -> None:
    """
    Raises:
        ApiError: a prediction is of another version than the token (403).
    """
    for number, one in enumerate(batch):
        if (one.model, one.version) != (caller.model, caller.version):
            message = (
                f"predictions[{number}] is of {one.model} version {one.version}, and the token is that of "
                f"the replica of {caller.model} version {caller.version}; {way_in(Deed.PREDICT)}"
            )
            raise ApiError(HTTPStatus.FORBIDDEN, "forbidden", message, field=f"predictions[{number}]")


def _signed(label: Label, caller: Caller) -> Label:
    """The label under the name of the token that it came by; what its sender calls the source is kept after it."""
    own = label.source in (caller.name, UNNAMED_SOURCE)
    return replace(label, source=caller.name if own else f"{caller.name}/{label.source}")


def _label_request(one: LabelRequest) -> dict[str, object]:
    return {
        "request_id": one.request_id,
        "model": one.model,
        "answers": dict(one.answers),
        "disagree": one.disagree,
        "text": one.text,
    }
