"""Sampled predictions on their way to the controller: a bounded queue that no request ever waits for.

What does not fit or cannot be delivered is dropped and counted. One background thread sends batches; it sleeps while
there is nothing to send.

The controller decides how large a share of the requests is sampled, and says so in its answer to each batch. A replica
that has nothing to send sends an empty batch every `ASKS_EVERY_S` seconds, so that it soon learns of a larger share,
however small its own is. If no controller answers, or one of an older release that does not say, the share stays as it
is.
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
_BACKOFFS_S: Final = (0.25, 0.5, 1.0)  # between attempts, of which there is one more


class DropReason(StrEnum):
    """The reason why a sampled prediction never reached the controller."""

    FULL = "full"  # the queue had no place: the controller is slower than the traffic
    UNDELIVERABLE = "undeliverable"  # every attempt failed, or the controller refused the batch


@dataclass(frozen=True, slots=True)
class CapturedPrediction:
    """One sampled prediction. It has the text only if the operator asked for texts, and a text is redacted before it
    leaves."""

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
    """The counters of predictions that were delivered, and of those that were dropped."""

    def captured(self, predictions: int) -> None: ...

    def dropped(self, predictions: int, reason: DropReason) -> None: ...


def encode_batch(batch: Sequence[CapturedPrediction]) -> bytes:
    """Return the body of one delivery. Predictions without a ``text`` or without ``tags`` leave these fields out."""
    predictions = [
        {key: value for key, value in asdict(entry).items() if value is not None and value != {}} for entry in batch
    ]
    return json.dumps({"schema": PREDICTIONS_SCHEMA, "predictions": predictions}).encode()


class Capture:
    """The queue and its sender. The request path calls ``chance_of`` and ``offer``, which never block and never raise.

    ``ratio``: the share of requests that is sampled now. Only the sender's thread writes it, and each request reads it
    once, so that a sample states the very chance by which it was chosen.
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
        """Return the chance by which the request was chosen for the sample; 0 if it was not chosen. If a caller makes
        up an id that looks like that of an answer in a list (``id/0``), the part before the slash decides, as it does
        for whoever reads the sample."""
        ratio = self.ratio
        return ratio if self._receiver is not None and is_sampled(request_of(request_id), ratio) else 0.0

    @property
    def ratio_told(self) -> float | None:
        """Return the share of requests that is sampled now; None if no samples are sent anywhere."""
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
        """Send what is queued within ``timeout_s`` seconds, without waiting between attempts."""
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
        """Return the prediction in the form in which it may leave. If redaction fails, or was not set up, its text is
        left out."""
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
        """Send an empty batch to get an answer, in one attempt only: the next one comes soon."""
        self._post(encode_batch([]))

    def _post(self, body: bytes) -> Reply:
        assert self._receiver is not None  # noqa: S101  (the thread runs only with one)
        answer = self._receiver.post(body)
        if answer.ratio is not None and answer.ratio != self.ratio:
            _log.info("from now on %.4g %% of the requests are sampled", 100 * answer.ratio)
            self.ratio = answer.ratio
        return answer.reply
