"""The way back under load: how soon the last request reaches the rolled-back version, and whether any is lost.

A real Envoy, two real replicas, and a load from a process of its own, so that requests are always under way. No
controller, no Prometheus and no MLflow run. Each round sends all traffic to version 2 and then takes it back to version
1, the known good one: in this process by ``rollback_route``, and as the person on call does, by ``serin rollback``.
"""

import math
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller.adapters.envoy.rollback import rollback_route
from controller.adapters.envoy.traffic import EnvoyTraffic
from controller.config.settings import Home
from controller.core.traffic import TrafficTable
from serving.packaging.build import build_package
from suites.intents.generator import held_out
from tests.bench import rollback_cluster
from tests.bench._load import Answer, Plan, Stream, load
from tests.bench._table import Bar, machine, report
from tests.contracts.traffic import is_served
from tests.controller.envoy_support import running_envoy, set_endpoint
from tests.patience import eventually
from tests.serving.replica import REPOSITORY, replica

CHECKPOINTS: Final = REPOSITORY / "suites" / "intents" / "checkpoints"
MODEL: Final = "intent"
GOOD, BAD = "1", "2"
ROUNDS: Final = 10
BEFORE_S: Final = 0.5  # all traffic at the version that is to be rolled back
AFTER_S: Final = 0.3  # anything that still went there would be seen
SECONDS_MAX: Final = 60.0
WRITTEN_WITHIN_S: Final = 30.0

SWITCH_MS_MAX: Final = 50.0
LAST_REQUEST_MS_MAX: Final = 1000.0


@dataclass(frozen=True, slots=True)
class Round:
    """Moments of one rollback, ``time.monotonic()``: when it was asked for, when the route file stood, when told."""

    began_s: float
    written_s: float
    confirmed_s: float


@dataclass(frozen=True, slots=True)
class Found:
    """What the load saw of one round. The last request is the last one *sent* that the bad version answered."""

    written_ms: float
    confirmed_ms: float
    last_request_ms: float
    last_answer_ms: float
    in_flight: int
    late: int


def main() -> int:
    about = machine()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        home = Home(Path(folder))
        for version in (GOOD, BAD):
            build_package(CHECKPOINTS / f"v{version}", home.packages / version)
        good, bad = (stack.enter_context(replica(home.packages / name, version=name)) for name in (GOOD, BAD))
        envoy = stack.enter_context(running_envoy(home.envoy))
        traffic = EnvoyTraffic(home.envoy)
        set_endpoint(traffic, MODEL, GOOD, good.url)
        set_endpoint(traffic, MODEL, BAD, bad.url)
        traffic.write(TrafficTable(MODEL, {BAD: 100.0}, known_good=GOOD, generation=1))
        eventually(lambda: is_served(traffic, MODEL, 1), what="Envoy to route")
        running = stack.enter_context(load(_plan(f"{envoy.url}/models/{MODEL}/predict")))
        switched = [_round(home, traffic, _in_process) for _ in range(ROUNDS)]
        commanded = [_round(home, traffic, _command) for _ in range(ROUNDS)]
        answers = running.stop().answers
    found = [[_found(answers, around) for around in rounds] for rounds in (switched, commanded)]
    return report("rollback", [*_rows(answers, *found), *rollback_cluster.rows(), *about])


def _plan(url: str) -> Plan:
    """Some 80 requests/s of one text, and two callers with long lists who always have one under way."""
    texts = [example.text for example in held_out(1600)[600:]]
    lists = [texts[at : at + 32] for at in range(0, len(texts), 32)]
    return Plan(url, [Stream(8, texts, interval_s=0.1), Stream(2, lists)], seconds=SECONDS_MAX)


def _round(home: Home, traffic: EnvoyTraffic, roll_back: Callable[[Home], None]) -> Round:
    table = traffic.read(MODEL)
    assert table is not None
    away = table.next(weights_pct={BAD: 100.0}, override=None)
    if table.weights_pct != away.weights_pct:
        traffic.write(away)
        eventually(lambda: is_served(traffic, MODEL, away.generation), what="Envoy to route to the bad one")
    time.sleep(BEFORE_S)
    replacement = _Replacement(home.routes)
    began_s = time.monotonic()
    roll_back(home)
    confirmed_s = time.monotonic()
    time.sleep(AFTER_S)
    return Round(began_s, replacement.at_s(), confirmed_s)


def _in_process(home: Home) -> None:
    result = rollback_route(home.routes, MODEL, "benchmark", "bench", time.time())
    assert result.confirmed, "Envoy did not confirm the rollback"


def _command(home: Home) -> None:
    serin = Path(sys.executable).with_name("serin")
    arguments = [str(serin), "rollback", MODEL, "--reason", "benchmark", "--home", str(home.path)]
    told = subprocess.run(arguments, capture_output=True, text=True, timeout=30, check=False)
    assert told.returncode == 0, told.stderr
    assert "Envoy confirms it" in told.stdout, told.stdout


class _Replacement(threading.Thread):
    """Watches a file, twice a millisecond, until another one takes its place."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self._path = path
        self._before = path.stat().st_ino
        self._at_s = math.nan
        self.start()

    def run(self) -> None:
        deadline_s = time.monotonic() + WRITTEN_WITHIN_S
        while self._path.stat().st_ino == self._before and time.monotonic() < deadline_s:
            time.sleep(0.0005)
        self._at_s = time.monotonic()

    def at_s(self) -> float:
        self.join()
        return self._at_s


def _found(answers: Sequence[Answer], around: Round) -> Found:
    seen = [answer for answer in answers if around.began_s - BEFORE_S <= answer.sent_s <= around.confirmed_s + AFTER_S]
    by_bad = [answer for answer in seen if answer.version == BAD]
    assert any(answer.version == GOOD for answer in seen), "the load did not reach the end of the round"
    in_flight = [a for a in seen if a.sent_s <= around.written_s and not _over(a, around.written_s)]
    return Found(
        written_ms=(around.written_s - around.began_s) * 1000,
        confirmed_ms=(around.confirmed_s - around.began_s) * 1000,
        last_request_ms=(max(answer.sent_s for answer in by_bad) - around.began_s) * 1000,
        last_answer_ms=(max(answer.answered_s or math.inf for answer in by_bad) - around.began_s) * 1000,
        in_flight=len(in_flight),
        late=sum(answer.sent_s > around.confirmed_s for answer in by_bad),
    )


def _over(answer: Answer, at_s: float) -> bool:
    return answer.answered_s is not None and answer.answered_s <= at_s


def _rows(answers: Sequence[Answer], switched: Sequence[Found], commanded: Sequence[Found]) -> list[Bar]:
    rounds = [*switched, *commanded]
    seconds = answers[-1].sent_s - answers[0].sent_s
    in_flight = [found.in_flight for found in rounds]
    failed = sum(answer.status not in (200, None) for answer in answers)
    lost = sum(answer.answered_s is None for answer in answers)
    late = sum(found.late for found in rounds)
    return [
        *_times("in process", switched, switch_ms_max=SWITCH_MS_MAX),
        *_times("serin rollback", commanded, last_request_ms_max=LAST_REQUEST_MS_MAX),
        Bar("rollbacks", len(rounds), ""),
        Bar("requests in all", len(answers), ""),
        Bar("requests a second", len(answers) / seconds, "1/s"),
        Bar("requests in flight when the route was written, median", statistics.median(in_flight), ""),
        Bar("requests in flight when the route was written, fewest", min(in_flight), "", at_least=1),
        Bar("requests failed", failed, "", at_most=0),
        Bar("requests lost (no answer)", lost, "", at_most=0),
        Bar("sent after the confirmation, yet served by the rolled-back version", late, "", at_most=0),
    ]


def _times(
    way: str, found: Sequence[Found], *, switch_ms_max: float | None = None, last_request_ms_max: float | None = None
) -> list[Bar]:
    """All from the moment the rollback was asked for; the bars are on medians, for the machine may be shared."""
    moments = {
        "route file written": ([f.written_ms for f in found], None),
        "told that Envoy confirms": ([f.confirmed_ms for f in found], switch_ms_max),
        "last request sent to the rolled-back version": ([f.last_request_ms for f in found], last_request_ms_max),
        "last answer of the rolled-back version": ([f.last_answer_ms for f in found], None),
    }
    return [
        row
        for moment, (times_ms, ms_max) in moments.items()
        for row in (
            Bar(f"{way}: {moment}, median", statistics.median(times_ms), "ms", at_most=ms_max),
            Bar(f"{way}: {moment}, max", max(times_ms), "ms"),
        )
    ]


if __name__ == "__main__":
    sys.exit(main())
