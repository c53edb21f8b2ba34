"""Webhooks that are believed by their signature.

MLflow's is a hint that the registry changed. Polling stays the truth; a hook only makes the next look sooner. MLflow
signs as Standard Webhooks does, under header names of its own and with the secret as raw bytes. Argilla's bring labels.
"""

from collections.abc import Callable
from typing import Final

from controller.api.http import Call, Reply
from controller.api.signed import Deliveries, Headers, SignedDeliveries
from controller.ports.clock import Clock

_HEADERS: Final = Headers("x-mlflow-delivery-id", "x-mlflow-timestamp", "x-mlflow-signature")


class MlflowWebhook:
    def __init__(
        self, secret: Callable[[], bytes], deliveries: Deliveries, clock: Clock, wake: Callable[[], None]
    ) -> None:
        """``secret`` is read for each delivery: it may have been renewed."""
        self._signed = SignedDeliveries(secret, deliveries, clock, _HEADERS)
        self._wake = wake

    def receive(self, call: Call) -> Reply:
        """Wake the loop for a delivery that is genuine, fresh and new. MLflow repeats one that it saw no answer to, so
        a known one is answered as well as a new one."""
        new = self._signed.is_new(call)
        if new:
            self._wake()
        return Reply({"new": new})


class ArgillaWebhook:
    def __init__(self, signed: SignedDeliveries, taken: Callable[[Call], Reply]) -> None:
        """``taken`` takes in what a genuine delivery tells."""
        self._signed = signed
        self._taken = taken

    def receive(self, call: Call) -> Reply:
        """Take a delivery in that is genuine, fresh and new. A known one changes nothing: played again after a later
        one, it would correct that. Argilla gives each try an id of its own."""
        return self._taken(call) if self._signed.is_new(call) else Reply({"action": "known", "received": 0})
