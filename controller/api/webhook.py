"""MLflow's webhooks: a hint that the registry changed. Polling stays the truth; a hook only makes the next look sooner.

MLflow signs as Standard Webhooks does, under header names of its own and with the secret as raw bytes.
"""

import hmac
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final, Protocol

from standardwebhooks import Webhook

from controller.api.errors import ApiError
from controller.api.http import Call, Reply
from controller.ports.clock import Clock

TOLERANCE_S: Final = 300.0  # as Standard Webhooks has it; the signature covers the timestamp
_ID_HEADER: Final = "x-mlflow-delivery-id"
_TIMESTAMP_HEADER: Final = "x-mlflow-timestamp"
_SIGNATURE_HEADER: Final = "x-mlflow-signature"


class Deliveries(Protocol):
    """The deliveries that were seen, so that a recorded one cannot be played again."""

    def is_new(self, delivery_id: str, *, at_s: float, forget_before_s: float) -> bool:
        """Remember the delivery; False where it was seen since ``forget_before_s``."""


class MlflowWebhook:
    def __init__(
        self, secret: Callable[[], bytes], deliveries: Deliveries, clock: Clock, wake: Callable[[], None]
    ) -> None:
        """``secret`` is read for each delivery: it may have been renewed."""
        self._secret = secret
        self._deliveries = deliveries
        self._clock = clock
        self._wake = wake

    def receive(self, call: Call) -> Reply:
        """Wake the loop for a delivery that is genuine, fresh and new. MLflow repeats one that it saw no answer to, so
        a known one is answered as well as a new one."""
        now_s = self._clock.now_s()
        delivery_id = self._verified(call, now_s)
        # Older than this, its own timestamp refuses it: a delivery is remembered for as long as it could be replayed.
        new = self._deliveries.is_new(delivery_id, at_s=now_s, forget_before_s=now_s - 2 * TOLERANCE_S)
        if new:
            self._wake()
        return Reply({"new": new})

    def _verified(self, call: Call, now_s: float) -> str:
        """The delivery's id. The library signs and we compare, because its own check reads the wall clock."""
        delivery_id = call.headers.get(_ID_HEADER, "")
        timestamp = call.headers.get(_TIMESTAMP_HEADER, "")
        if not (delivery_id and timestamp.isascii() and timestamp.isdecimal()):
            raise _refused(f"{_ID_HEADER} and {_TIMESTAMP_HEADER} must be there, the latter in unix seconds")
        sent_s = float(timestamp)
        if abs(now_s - sent_s) > TOLERANCE_S:
            raise _refused(f"it was sent more than {TOLERANCE_S:.0f} s from now by this machine's clock")
        try:
            text = call.body.decode()
        except UnicodeDecodeError as error:
            raise _refused("its body is not UTF-8") from error
        expected: str = Webhook(self._secret()).sign(delivery_id, datetime.fromtimestamp(sent_s, UTC), text)
        given = call.headers.get(_SIGNATURE_HEADER, "").split(" ")
        if not any(hmac.compare_digest(expected.encode(), one.encode()) for one in given):
            raise _refused("its signature does not fit the secret")
        return delivery_id


def _refused(why: str) -> ApiError:
    return ApiError(HTTPStatus.UNAUTHORIZED, "webhook", f"webhook refused: {why}")
