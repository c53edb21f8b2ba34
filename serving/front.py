"""Between LitServe's request handlers and the workers: admits, sends out, and turns outcomes into responses."""

import asyncio
from collections.abc import Callable
from typing import Any

from fastapi import HTTPException, Request
from starlette.responses import Response

from serving.calls import Call, Identity, answer, captured, read_call
from serving.capture import Capture
from serving.link import Dispatcher, Job, Outcome
from serving.metrics import ApiMetrics
from serving.schema import ApiError
from serving.settings import Settings

Reply = Callable[[str, Response | HTTPException], None]


class Front:
    """One for the HTTP process. To LitServe it is the request queue (``put``); ``reply(uid, …)`` wakes its handler."""

    def __init__(
        self, settings: Settings, identity: Identity, metrics: ApiMetrics, capture: Capture, reply: Reply
    ) -> None:
        self.dispatcher = Dispatcher(self._deliver)
        self._settings = settings
        self._identity = identity
        self._metrics = metrics
        self._capture = capture
        self._reply = reply
        self._open: dict[str, tuple[Call, asyncio.TimerHandle]] = {}

    async def admit(self, request: Request) -> Call:
        """A valid call for which there is room.

        Raises:
            ApiError: 503 when too many wait already, or what is wrong with the request.
        """
        if len(self._open) >= self._settings.limits.queue_requests_max:
            raise ApiError(503, "overloaded", "too many requests are waiting", headers={"retry-after": "1"})
        return await read_call(request, self._settings.limits)

    def put(self, item: tuple[int | None, str, float, Call]) -> None:
        """Take LitServe's (consumer, uid, monotonic time in s, payload)."""
        _, uid, submitted_s, call = item
        timeout_s = self._settings.limits.answer_timeout_s
        timer = asyncio.get_running_loop().call_later(timeout_s, self._expire, uid)
        self._open[uid] = (call, timer)
        self._metrics.depth(len(self._open))
        if not self.dispatcher.ready:
            self._metrics.cold()
        self.dispatcher.submit(Job(uid, call.texts, submitted_s + timeout_s))

    def _deliver(self, outcome: Outcome) -> None:
        if (call := self._close(outcome.uid)) is None:
            return  # it had timed out, and was answered so
        if outcome.error is not None:
            self._reply(outcome.uid, _failure(500, "inference_failed", outcome.error))
            return
        for row in outcome.rows:
            self._metrics.text(call.caller.traffic, row.tokens, row.unknown_tokens, truncated=row.truncated)
        if self._capture.wants(call.caller.request_id):
            for prediction in captured(call, outcome, self._identity, self._settings.capture):
                self._capture.offer(prediction)
        self._reply(outcome.uid, answer(call, outcome, self._identity))

    def _expire(self, uid: str) -> None:
        if self._close(uid) is not None:
            self._reply(uid, _failure(504, "timeout", "the model did not answer in time"))

    def _close(self, uid: str) -> Call | None:
        entry = self._open.pop(uid, None)
        if entry is None:
            return None
        call, timer = entry
        timer.cancel()
        self._metrics.depth(len(self._open))
        return call


def _failure(status: int, code: str, message: str) -> HTTPException:
    detail: Any = {"code": code, "message": message}
    return HTTPException(status, detail)
