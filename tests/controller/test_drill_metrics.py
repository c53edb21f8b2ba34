"""What a Prometheus tells a drill: that it tells nothing is never taken for a count of nothing."""

import pytest

from controller.bootstrap.drill_metrics import ALERTS, alerts_of, batches, refused_of, requests_of
from controller.errors import TransientError
from tests.controller.answering import answering


@pytest.mark.parametrize(
    ("status", "body"), [(503, b'{"data": {"result": []}}'), (200, b"<html>"), (200, b"[]"), (200, b'{"data": null}')]
)
def test_a_prometheus_that_does_not_answer_has_counted_nothing(status: int, body: bytes) -> None:
    """Refusals of years would be new ones, had there been none when the drill began."""
    with answering(lambda _path: (status, body)) as url:
        assert "cannot be read" in alerts_of(url, "intent")[1][ALERTS]
        assert batches(url, 1.0, "intent") is None
        assert requests_of(url, "intent", 60.0, "7") is None
        with pytest.raises(TransientError, match="cannot be read"):
            refused_of(url, "intent")
