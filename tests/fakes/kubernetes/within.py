"""The way of the cluster's own parts to what it holds: past HTTP, faults and rights."""

import json
from collections.abc import Mapping
from urllib.parse import urlencode

from controller.adapters.kubernetes.connection import Answer
from controller.errors import Source
from tests.fakes.kubernetes.errors import ApiError
from tests.fakes.kubernetes.handling import handle
from tests.fakes.kubernetes.requests import read
from tests.fakes.kubernetes.store import Store


class Within:
    """Asked as a `Connection` is, and answered by what answers behind HTTP."""

    def __init__(self, store: Store, namespace: str) -> None:
        self.namespace = namespace
        self._store = store

    def ask(
        self,
        method: str,
        path: str,
        *,
        source: Source,  # noqa: ARG002 - nothing here is away
        query: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = "application/json",
    ) -> Answer:
        target = f"{path}?{urlencode(query)}" if query else path
        headers = {"User-Agent": "serin", **({"Content-Type": content_type} if body is not None else {})}
        sent = json.loads(json.dumps(body))  # who asks keeps its own
        try:
            return Answer(*handle(self._store, read(self._store, method, target, headers, sent)))
        except ApiError as error:
            return Answer(error.code, error.status())
