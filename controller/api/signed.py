"""Deliveries of webhooks that are signed as Standard Webhooks does: believed by their signature, once, for a while."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final, Protocol

from standardwebhooks import Webhook

from controller.api.errors import ApiError
from controller.api.http import Call
from controller.ports.clock import Clock

TOLERANCE_S: Final = 300.0  # as Standard Webhooks has it; the signature covers the timestamp


class Deliveries(Protocol):
    """The deliveries that were seen, so that a recorded one cannot be played again."""

    def is_new(self, delivery_id: str, *, at_s: float, forget_before_s: float) -> bool:
        """Remember the delivery; False where it was seen since ``forget_before_s``."""


@dataclass(frozen=True, slots=True)
class Headers:
    """The names of the headers that a delivery is told by."""

    id: str = "webhook-id"
    timestamp: str = "webhook-timestamp"
    signature: str = "webhook-signature"


class SignedDeliveries:
    def __init__(
        self, secret: Callable[[], bytes], deliveries: Deliveries, clock: Clock, headers: Headers = Headers()
    ) -> None:
        """``secret`` is read for each delivery: it may have been renewed."""
        self._secret = secret
        self._deliveries = deliveries
        self._clock = clock
        self._headers = headers

    def is_new(self, call: Call) -> bool:
        """Return whether the delivery came for the first time; one that is known is answered as well as a new one.

        Raises:
            ApiError: it is not genuine, or not of these minutes (401).
        """
        now_s = self._clock.now_s()
        delivery_id = self._verified(call, now_s)
        # Older than this, its own timestamp refuses it: a delivery is remembered for as long as it could be replayed.
        return self._deliveries.is_new(delivery_id, at_s=now_s, forget_before_s=now_s - 2 * TOLERANCE_S)

    def _verified(self, call: Call, now_s: float) -> str:
        """The delivery's id. The library signs and we compare, because its own check reads the wall clock."""
        names = self._headers
        delivery_id = call.headers.get(names.id, "")
        timestamp = call.headers.get(names.timestamp, "")
        if not (delivery_id and timestamp.isascii() and timestamp.isdecimal()):
            raise _refused(f"{names.id} and {names.timestamp} must be there, the latter in unix seconds")
        sent_s = float(timestamp)
        if abs(now_s - sent_s) > TOLERANCE_S:
            raise _refused(f"it was sent more than {TOLERANCE_S:.0f} s from now by this machine's clock")
        try:
            text = call.body.decode()
        except UnicodeDecodeError as error:
            raise _refused("its body is not UTF-8") from error
        expected: str = Webhook(self._secret()).sign(delivery_id, datetime.fromtimestamp(sent_s, UTC), text)
        given = call.headers.get(names.signature, "").split(" ")
        if not any(hmac.compare_digest(expected.encode(), one.encode()) for one in given):
            raise _refused("its signature does not fit the secret")
        return delivery_id


def _refused(why: str) -> ApiError:
    return ApiError(HTTPStatus.UNAUTHORIZED, "webhook", f"webhook refused: {why}")
