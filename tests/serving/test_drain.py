"""A replica that is told to end answers whatever reaches it, and closes no connection under a request."""

import http.client
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from serving.contract import PREDICT_ROUTE, REQUESTS_METRIC
from tests.patience import PATIENCE_S
from tests.serving.replica import Replica, replica, until

pytestmark = pytest.mark.integration

CLIENTS = 12
BODY = b'{"text": "where is my order"}'


class Clients:
    """So many, each on a connection that it keeps, asking again as soon as they are answered, until nobody listens."""

    def __init__(self, running: Replica) -> None:
        self._running = running
        self.outcomes: Counter[str] = Counter()
        self._lock = threading.Lock()

    def run(self) -> None:
        address = urlsplit(self._running.url)
        with closing(
            http.client.HTTPConnection(address.hostname or "", address.port, timeout=PATIENCE_S)
        ) as connection:
            while (outcome := self._ask(connection)) != "nobody listens":
                with self._lock:
                    self.outcomes[outcome] += 1

    def _ask(self, connection: http.client.HTTPConnection) -> str:
        try:
            if connection.sock is None:
                connection.connect()
        except ConnectionRefusedError:
            return "nobody listens"
        try:
            connection.request("POST", PREDICT_ROUTE, BODY)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return type(error).__name__
        return str(answer.status)


@pytest.mark.parametrize("flags", [(), ("--api-processes", "2", "--workers", "2")], ids=["one each", "two each"])
def test_a_stop_under_load_loses_no_request(built_package: Path, flags: Sequence[str]) -> None:
    """Each connection is closed with an answer that says so, none with a request on its way."""
    with replica(built_package, *flags) as running, ThreadPoolExecutor(CLIENTS) as pool:
        clients = Clients(running)
        done = [pool.submit(clients.run) for _ in range(CLIENTS)]
        until(lambda: running.total(REQUESTS_METRIC) > 200, "load has begun")
        running.process.terminate()
        for one in done:
            one.result()
        assert running.process.wait(PATIENCE_S) == 0
    assert clients.outcomes.keys() == {"200"}, clients.outcomes
