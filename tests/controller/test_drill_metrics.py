"""What a Prometheus tells a drill: that it tells nothing is never taken for a count of nothing."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from controller.bootstrap.drill_metrics import ALERTS, alerts_of, batches, refused_of, requests_of
from controller.errors import TransientError


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=lambda: listening.serve_forever(0.01), daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()


@pytest.mark.parametrize(
    ("status", "body"), [(503, b'{"data": {"result": []}}'), (200, b"<html>"), (200, b"[]"), (200, b'{"data": null}')]
)
def test_a_prometheus_that_does_not_answer_has_counted_nothing(status: int, body: bytes) -> None:
    """Refusals of years would be new ones, had there been none when the drill began."""
    with answering(status, body) as url:
        assert "cannot be read" in alerts_of(url, "intent")[1][ALERTS]
        assert batches(url, 1.0, "intent") is None
        assert requests_of(url, "intent", 60.0, "7") is None
        with pytest.raises(TransientError, match="cannot be read"):
            refused_of(url, "intent")
