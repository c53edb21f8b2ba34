"""What the bars "metrics cost" and "tracing off costs" rest on: the tree without them, and how a share is told."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest

from serving.contract import PREDICT_ROUTE, REQUESTS_METRIC
from tests.bench.served.switches import Interval, interval
from tests.bench.served.without import EDITS, Switch, edited
from tests.patience import PATIENCE_S
from tests.serving.replica import REPOSITORY, replica


@pytest.mark.parametrize("switch", list(Switch))
def test_what_is_taken_out_stands_in_the_source(switch: Switch) -> None:
    """Else what it costs would be measured against a tree that still has it."""
    for module in EDITS[switch]:
        source = (REPOSITORY / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
        compile(edited(switch, module, source), module, "exec")


def test_a_line_that_is_not_there_any_more_cannot_be_taken_out() -> None:
    with pytest.raises(ValueError, match=r"serving\.http\.middleware has no 'trace = None' any more"):
        edited(Switch.TRACING, "serving.http.middleware", "")


def test_an_interval_is_where_the_figure_would_lie_again() -> None:
    """Rounds around 10 and 200 give a share of 5; more of them a narrower one, and one far out moves it hardly."""
    draw = np.random.default_rng(3)

    def share(rounds: int) -> Interval:
        parts, wholes = draw.normal(10, 1, rounds), draw.normal(200, 2, rounds)
        parts[0] = 1000
        return interval(lambda part, whole: 100 * part / whole, parts, wholes)

    few_rounds, many_rounds = share(20), share(2000)
    for found in (few_rounds, many_rounds):
        assert found.low < 5 < found.high
        assert found.low < found.value < found.high
    assert many_rounds.high - many_rounds.low < 0.2 < few_rounds.high - few_rounds.low


@pytest.mark.integration
@pytest.mark.parametrize("switch", list(Switch))
def test_a_replica_without_it_answers_as_before(built_package: Path, switch: Switch) -> None:
    with replica(built_package, "--without", switch, module="tests.bench.served.without") as running:
        answers = [
            httpx.post(running.url + PREDICT_ROUTE, json={"text": "where is my order"}, trust_env=False)
            for _ in range(3)
        ]
        assert [answer.status_code for answer in answers] == [200] * 3
        assert running.total(REQUESTS_METRIC) == (0 if switch is Switch.METRICS else 3)


@pytest.mark.integration
def test_the_way_without_an_engine_is_gone_by_every_request(built_package: Path) -> None:
    """Each block tells a time that a request can take."""
    command = [sys.executable, "-m", "tests.bench.served.within", str(built_package)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert all(5 < spent_us < 5000 for spent_us in json.loads(done.stdout))
    assert done.stderr == ""
