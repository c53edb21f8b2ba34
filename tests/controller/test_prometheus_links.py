"""The broken link between a version and what is read of it is named."""

from collections.abc import Sequence
from typing import Any

import pytest

from controller.adapters.prometheus.explained import ExplainedMetrics
from controller.adapters.prometheus.links import broken_links
from controller.errors import AmbiguousError, Source, TransientError
from controller.ports.metrics import CounterCursor
from tests.fakes.clock import FakeClock
from tests.fakes.metrics import FakeMetrics

AT_S = 1_800_000_000.0


def up(version: str | None = "7", *, job: str = "serin", every_s: float = 1.0) -> dict[str, Any]:
    labels = {"model": "intent", "job": job, "instance": "10.0.0.1:8080"}
    labels |= {"model_version": version} if version else {}
    return {"metric": labels, "values": [[AT_S - every_s * ago, "1"] for ago in (3, 2, 1)]}


def process(**labels: str) -> dict[str, Any]:
    return {"metric": {"model": "intent", "model_version": "7", **labels}, "value": [AT_S, "1"]}


RENAMED = process(exported_model="intent", exported_model_version="7")


@pytest.mark.parametrize(
    ("targets", "processes", "told"),
    [
        ([up()], [process()], []),
        ([], [], ["no target"]),
        ([up("6")], [], ["no target"]),
        ([], [process()], ["no label model_version"]),
        ([up()], [RENAMED], ["honor_labels"]),
        ([up(), up(job="serin-again")], [process()], ["2 jobs scrape it (serin, serin-again)"]),
        ([up(every_s=30.0)], [process()], ["scraped every 30 s, but scrape_interval_s in the settings is 1"]),
        ([up(every_s=30.0), up(job="b", every_s=30.0)], [RENAMED], ["honor_labels", "2 jobs", "every 30 s"]),
    ],
)
def test_each_broken_link_is_named(
    targets: list[dict[str, Any]], processes: list[dict[str, Any]], told: list[str]
) -> None:
    asked: list[str] = []

    def query(promql: str, at_s: float) -> list[dict[str, Any]]:
        asked.append(promql)
        assert at_s == AT_S
        return targets if promql.startswith("up{") else processes

    found = list(broken_links(query, "intent", ["7"], at_s=AT_S, scrape_interval_s=1.0, only=',cluster="eu"'))
    assert len(found) == len(told), found
    for sentence, part in zip(found, told, strict=True):
        assert sentence.startswith("version 7: ")
        assert part in sentence
    assert all('model="intent",cluster="eu"}' in one for one in asked)


class Unread(FakeMetrics):
    """Counts that cannot be read while ``links`` says why, or nobody answers at all."""

    links: Sequence[str] | None = ()

    def __init__(self) -> None:
        super().__init__()
        self.away = "version 7 has no samples"
        self.asked: list[tuple[str, tuple[str, ...], float]] = []

    def broken_links(self, model: str, versions: Sequence[str], *, at_s: float) -> Sequence[str]:
        self.asked.append((model, tuple(versions), at_s))
        if self.links is None:
            raise TransientError(Source.METRICS, "connection refused")
        return self.links


def test_2_a_look_that_cannot_be_read_names_the_broken_link() -> None:
    """Behaviour 2 of what must hold on Kubernetes. It is asked once a minute at most: the sentence stays as it is."""
    unread, clock = Unread(), FakeClock()
    metrics = ExplainedMetrics(unread, clock)

    def told() -> str:
        with pytest.raises(TransientError) as raised:
            metrics.counts("intent", ["6", "7"], None, at_s=AT_S)
        return str(raised.value)

    unread.links = None
    assert told() == "version 7 has no samples"
    clock.pass_s(60.0)
    unread.links = ("version 7: no target",)
    for _ in range(5):
        assert told() == "version 7 has no samples; version 7: no target"
        clock.pass_s(10.0)
    assert unread.asked == [("intent", ("6", "7"), AT_S)] * 2
    clock.pass_s(60.0)
    unread.links = ()
    assert told() == "version 7 has no samples"
    unread.away = None
    assert metrics.counts("intent", ["6", "7"], None, at_s=AT_S).cursor.at_s == AT_S


def test_a_doubt_that_is_explained_is_one_still() -> None:
    """Who may count anew once it is over goes by what it is."""
    doubted = Unread()
    doubted.away, doubted.doubted_s, doubted.links = None, AT_S, ("version 7: no target",)
    with pytest.raises(AmbiguousError, match="as one; version 7: no target") as raised:
        ExplainedMetrics(doubted, FakeClock()).counts("intent", ["6", "7"], CounterCursor({}, AT_S - 1), at_s=AT_S)
    assert raised.value.seen_s == AT_S
