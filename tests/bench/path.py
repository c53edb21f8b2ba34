"""The way of a request: through Envoy and LitServe, to LitServe alone, and the bare engine, in turn in one run.

The demo's model v1 on held-out texts, one engine thread each. The bare engine is ``serving.inference.engine`` called in
this process, one text a call (what a request would cost if there were no server) and in batches of the server's size,
sorted by length (as fast as the engine can be fed). All figures are medians over rounds; ratios are taken within a
round.
"""

import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Final

import numpy as np
import psutil

from controller.adapters.envoy.traffic import EnvoyTraffic
from controller.core.traffic import TrafficTable
from serving.contract import PREDICT_ROUTE
from serving.inference.engine import Engine
from serving.package.artifact import read_manifest
from serving.packaging.build import build_package
from serving.settings import Batching
from suites.intents.generator import held_out
from tests.bench._load import Answer, Plan, Stream, load
from tests.bench._table import Bar, machine, report
from tests.contracts.traffic import is_served
from tests.controller.envoy_support import RunningEnvoy, running_envoy, set_endpoint
from tests.patience import eventually
from tests.serving.replica import REPOSITORY, Replica, replica

CHECKPOINT: Final = REPOSITORY / "suites" / "intents" / "checkpoints" / "v1"
MODEL, VERSION = "intent", "1"
CONNECTIONS: Final = (1, 8, 32)
ROUNDS: Final = 3
SECONDS: Final = 1.5
WARM_S: Final = 0.2  # of each measurement, left out
ONE, BATCHES = "bare engine, text by text", "bare engine, perfect batches"
ENVOY, DIRECT = "Envoy + LitServe", "LitServe alone"
SATURATED: Final = f"{ENVOY}, {CONNECTIONS[-1]} connections"
HALF: Final = f"{ENVOY}, half of that rate"


@dataclass(frozen=True, slots=True)
class Speed:
    """Texts a second, and how long one call took."""

    per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Figure:
    """What is told of each speed."""

    name: str
    unit: str
    of: Callable[[Speed], float]


THROUGHPUT: Final = Figure("texts/s", "1/s", attrgetter("per_s"))
LATENCIES: Final = tuple(Figure(f"P{pct}", "ms", attrgetter(f"p{pct}_ms")) for pct in (50, 95, 99))


@dataclass(frozen=True, slots=True)
class Round:
    """Everything measured once: speeds by what was measured, processor time a text by what spent it."""

    speeds: Mapping[str, Speed]
    cpu_ms: Mapping[str, float]


def main() -> int:
    about = machine()
    texts = [example.text for example in held_out(5600)[600:]]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        package = Path(folder) / "package"
        build_package(CHECKPOINT, package)
        served = stack.enter_context(replica(package, version=VERSION))
        envoy = stack.enter_context(running_envoy(Path(folder) / "envoy"))
        traffic = EnvoyTraffic(envoy.directory)
        set_endpoint(traffic, MODEL, VERSION, served.url)
        traffic.write(TrafficTable(MODEL, {VERSION: 100.0}, generation=1))
        eventually(lambda: is_served(traffic, MODEL, 1), what="Envoy to route")
        manifest, _ = read_manifest(package)
        bench = Bench(Engine(package, manifest), served, envoy, texts)
        rounds = [bench.round() for _ in range(ROUNDS)]
    return report("path", [*_rows(rounds), *about])


class Bench:
    """What is measured, and on which texts."""

    def __init__(self, engine: Engine, served: Replica, envoy: RunningEnvoy, texts: Sequence[str]) -> None:
        self._engine = engine
        self._texts = texts
        size = Batching().texts_max
        by_length = sorted(texts, key=len)
        self._batches = [by_length[at : at + size] for at in range(0, len(texts) - size + 1, size)]
        self._urls = {ENVOY: f"{envoy.url}/models/{MODEL}{PREDICT_ROUTE}", DIRECT: served.url + PREDICT_ROUTE}
        _, http, worker = served.family()
        self._processes = {"HTTP process": http, "worker": worker, "Envoy": psutil.Process(envoy.process.pid)}

    def round(self) -> Round:
        speeds, cpu_ms = {}, {}
        for name, batches in ((ONE, [[text] for text in self._texts]), (BATCHES, self._batches)):
            speeds[name], cpu_ms[name] = self._bare(batches)
        spent: dict[str, dict[str, float]] = {}
        for connections, target in itertools.product(CONNECTIONS, (ENVOY, DIRECT)):
            name = _at(target, connections)
            speeds[name], spent[name] = self._served(target, Stream(connections, self._texts))
        interval_s = 2 * CONNECTIONS[-1] / speeds[SATURATED].per_s
        speeds[HALF], _ = self._served(ENVOY, Stream(CONNECTIONS[-1], self._texts, interval_s))
        parts = {f"{SATURATED}: {process}": spent_ms for process, spent_ms in spent[SATURATED].items()}
        return Round(speeds, cpu_ms | parts)

    def _bare(self, batches: Sequence[Sequence[str]]) -> tuple[Speed, float]:
        """Batch after batch; sorted ones are visited from all over the line, so that every length is seen."""
        took_ms, texts = [], 0
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        for at in itertools.cycle(np.random.default_rng(1).permutation(len(batches))):
            before_s = time.perf_counter()
            if before_s > began_s + SECONDS:
                break
            self._engine.predict(batches[at])
            took_ms.append((time.perf_counter() - before_s) * 1000)
            texts += len(batches[at])
        speed = Speed(texts / (time.perf_counter() - began_s), *_percentiles(took_ms))
        return speed, (time.process_time() - began_cpu_s) * 1000 / texts

    def _served(self, target: str, stream: Stream) -> tuple[Speed, dict[str, float]]:
        before = {process: _cpu_s(about) for process, about in self._processes.items()}
        with load(Plan(self._urls[target], [stream], SECONDS)) as running:
            result = running.result()
        spent_s = {process: _cpu_s(about) - before[process] for process, about in self._processes.items()}
        count = len(result.answers)
        cpu_ms = {process: seconds * 1000 / count for process, seconds in (spent_s | {"load": result.cpu_s}).items()}
        return _speed(result.answers), cpu_ms


def _speed(answers: Sequence[Answer]) -> Speed:
    wrong = [answer for answer in answers if answer.status != 200]
    assert not wrong, f"{len(wrong)} of {len(answers)} requests were not answered, the first: {wrong[0]}"
    from_s, to_s = answers[0].sent_s + WARM_S, answers[-1].sent_s
    counted = [answer for answer in answers if from_s <= answer.sent_s < to_s]
    took_ms = [((answer.answered_s or 0) - answer.sent_s) * 1000 for answer in counted]
    return Speed(len(counted) / (to_s - from_s), *_percentiles(took_ms))


def _percentiles(took_ms: Sequence[float]) -> tuple[float, float, float]:
    p50, p95, p99 = np.percentile(took_ms, (50, 95, 99))
    return float(p50), float(p95), float(p99)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _rows(rounds: Sequence[Round]) -> list[Bar]:
    """Ratios to the bare engine first, then the figures that they are made of. None has a bar yet."""
    names = list(rounds[0].speeds)
    through_envoy = [name for name in names if name.startswith(ENVOY)]
    return [
        *(_ratio(rounds, name, THROUGHPUT, to) for name in through_envoy if name != HALF for to in (BATCHES, ONE)),
        *(_ratio(rounds, name, figure, ONE) for name in through_envoy for figure in LATENCIES),
        _median("the hop through Envoy: P50, 1 connection", "ms",
                [one.speeds[_at(ENVOY, 1)].p50_ms - one.speeds[_at(DIRECT, 1)].p50_ms for one in rounds]),
        *(
            _median(f"{name}: {figure.name}", figure.unit, [figure.of(one.speeds[name]) for one in rounds])
            for name in names
            for figure in (THROUGHPUT, *LATENCIES)
        ),
        *(
            _median(f"processor time a text, {part}", "ms", [one.cpu_ms[part] for one in rounds])
            for part in rounds[0].cpu_ms
        ),
    ]  # fmt: skip


def _ratio(rounds: Sequence[Round], name: str, figure: Figure, to: str) -> Bar:
    ratios = [figure.of(one.speeds[name]) / figure.of(one.speeds[to]) for one in rounds]
    return _median(f"{name}: {figure.name} ÷ {to}", "ratio", ratios)


def _median(what: str, unit: str, values: Sequence[float]) -> Bar:
    return Bar(what, statistics.median(values), unit)


def _at(target: str, connections: int) -> str:
    return f"{target}, {connections} connection{'s' if connections > 1 else ''}"


if __name__ == "__main__":
    sys.exit(main())
