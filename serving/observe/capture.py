"""Sampled predictions on their way to the controller: a bounded queue that no request ever waits for.

What does not fit or cannot be delivered is dropped and counted. One background thread sends batches; it sleeps while
there is nothing to send.

How large a share of the requests is sampled is the controller's to say, in its answer to each batch. Who has nothing to
send asks with an empty one now and then, so that a share that grows again is heard of within `ASKS_EVERY_S`, however
small it was. While no controller answers, or one of an older release that says nothing, the last one stays.
"""

import json
import logging
import queue
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Final, Protocol

from serving.contract import ASKS_EVERY_S, PREDICTIONS_SCHEMA, Traffic, is_sampled, request_of
from serving.observe.receiver import Receiver, Reply
from serving.redaction.redactor import redactor_of
from serving.settings import CaptureSettings

_log = logging.getLogger(__name__)

QUEUE_PREDICTIONS_MAX: Final = 10_000
BATCH_PREDICTIONS_MAX: Final = 500
_BATCH_WAIT_S: Final = 0.25
_BACKOFFS_S: Final = (0.25, 0.5, 1.0)  # one attempt more than waits


class DropReason(StrEnum):
    """The reason that a sampled prediction never reached the controller."""

    FULL = "full"  # the queue had no place: the controller is slower than the traffic
    UNDELIVERABLE = "undeliverable"  # every attempt failed, or the controller refused the batch


@dataclass(frozen=True, slots=True)
class CapturedPrediction:
    """One sampled prediction. The text itself is there only if the operator asked for it, and leaves redacted."""

    request_id: str
    model: str
    model_version: str
    traffic: Traffic
    at_s: float
    label: str
    confidence: float
    probabilities: Mapping[str, float]
    inclusion_probability: float
    text_digest: str
    tokens: int
    tags: Mapping[str, str] = field(default_factory=dict)
    text: str | None = None


class CaptureCounts(Protocol):
    """The counter of what was delivered and what was given up."""

    def captured(self, predictions: int) -> None: ...

    def dropped(self, predictions: int, reason: DropReason) -> None: ...


def encode_batch(batch: Sequence[CapturedPrediction]) -> bytes:
    """The body of one delivery; ``text`` is left out where it was not asked for, ``tags`` where there are none."""
    predictions = [
        {key: value for key, value in asdict(entry).items() if value is not None and value != {}} for entry in batch
    ]
    return json.dumps({"schema": PREDICTIONS_SCHEMA, "predictions": predictions}).encode()


class Capture:
    """The queue and its sender. The request path calls ``chance_of`` and ``offer``, which never block and never raise.

    ``ratio``: the share of requests that is sampled now. Written by the sender's thread alone, and read once for each
    request: what a sample says of its own chance is the chance that it was chosen by.
    """

    def __init__(
        self,
        settings: CaptureSettings,
        counts: CaptureCounts,
        *,
        queue_max: int = QUEUE_PREDICTIONS_MAX,
        asks_every_s: float = ASKS_EVERY_S,
    ) -> None:
        self.ratio = settings.ratio
        self._asks_every_s = asks_every_s
        self._counts = counts
        self._queue: queue.Queue[CapturedPrediction | None] = queue.Queue(queue_max)
        self._stopping = threading.Event()
        self._receiver = Receiver(settings.url, settings.token_file, ca_file=settings.ca_file) if settings.url else None
        self._redactor = redactor_of(settings.recognisers) if settings.with_text else None
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)

    def chance_of(self, request_id: str) -> float:
        """Return the chance that the request is sampled by, where it is; 0 where it is not. Of an id that a caller made
        up like that of a list's answer the part before counts, as it does for whoever reads the sample."""
        ratio = self.ratio
        return ratio if self._receiver is not None and is_sampled(request_of(request_id), ratio) else 0.0

    @property
    def ratio_told(self) -> float | None:
        """Return the share of requests that is sampled now; None where none leave."""
        return self.ratio if self._receiver is not None else None

    def offer(self, prediction: CapturedPrediction) -> None:
        """Accept a prediction, or drop and count it."""
        try:
            self._queue.put_nowait(prediction)
        except queue.Full:
            self._counts.dropped(1, DropReason.FULL)

    def start(self) -> None:
        if self._receiver is not None:
            self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Send what is queued within ``timeout_s``, without waiting between attempts."""
        if not self._thread.is_alive():
            return
        self._stopping.set()
        try:
            self._queue.put_nowait(None)  # wakes a sender that waits for its first prediction
        except queue.Full:
            _log.debug("the capture queue is full: its sender is awake")
        self._thread.join(timeout_s)

    def _run(self) -> None:
        self._ask()
        while not (self._stopping.is_set() and self._queue.empty()):
            try:
                first = self._queue.get(timeout=self._asks_every_s)
            except queue.Empty:
                self._ask()
                continue
            batch = [] if first is None else [first]
            self._fill(batch)
            if len(batch) < BATCH_PREDICTIONS_MAX:
                self._stopping.wait(_BATCH_WAIT_S)
                self._fill(batch)
            if batch:
                self._send(batch)
        if self._receiver is not None:
            self._receiver.close()

    def _fill(self, batch: list[CapturedPrediction]) -> None:
        while len(batch) < BATCH_PREDICTIONS_MAX:
            try:
                entry = self._queue.get_nowait()
            except queue.Empty:
                return
            if entry is not None:
                batch.append(entry)

    def _redacted(self, entry: CapturedPrediction) -> CapturedPrediction:
        """The prediction as it may leave. If redaction fails, or was not set up, the text stays here."""
        if entry.text is None:
            return entry
        text = None
        if self._redactor is not None:
            try:
                text = self._redactor.redact(entry.text)
            except Exception as error:  # noqa: BLE001  (a recogniser may be anybody's; its message may quote the text)
                _log.error("a recogniser failed (%s): the prediction is sent without its text", type(error).__name__)
        return replace(entry, text=text)

    def _send(self, batch: Sequence[CapturedPrediction]) -> None:
        if self._deliver(encode_batch([self._redacted(entry) for entry in batch])):
            self._counts.captured(len(batch))
        else:
            self._counts.dropped(len(batch), DropReason.UNDELIVERABLE)

    def _deliver(self, body: bytes) -> bool:
        for backoff_s in (*_BACKOFFS_S, None):
            reply = self._post(body)
            if reply is not Reply.TRY_AGAIN:
                return reply is Reply.TAKEN
            if backoff_s is not None:
                self._stopping.wait(backoff_s)
        return False

    def _ask(self) -> None:
        """Send an empty batch to get the answer: only once, because the next occasion comes soon."""
        self._post(encode_batch([]))

    def _post(self, body: bytes) -> Reply:
        assert self._receiver is not None  # noqa: S101  (the thread runs only with one)
        answer = self._receiver.post(body)
        if answer.ratio is not None and answer.ratio != self.ratio:
            _log.info("from now on %.4g %% of the requests are sampled", 100 * answer.ratio)
            self.ratio = answer.ratio
        return answer.reply
