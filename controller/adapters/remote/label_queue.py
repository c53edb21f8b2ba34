"""The queue of requests to label of an installation on another machine, asked by its HTTP interface."""

from collections.abc import Sequence

from controller.adapters.remote.wire import Reading, Wire
from controller.label_queue import request_in
from controller.naming import model_named
from controller.ports.samples import LabelRequest
from serving.contract import LABEL_REQUESTS_ROUTE


class RemoteLabelQueue:
    """Implements ``controller.label_queue.LabelQueue``. Raises as `Wire.ask` does."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def label_requests(self, model: str, *, since_s: float, limit: int) -> Sequence[LabelRequest]:
        model_named(model)
        found = self._wire.document("GET", LABEL_REQUESTS_ROUTE, model=model, since_s=int(since_s), limit=limit)
        with Reading(self._wire):
            return tuple(map(request_in, found["label_requests"]))
