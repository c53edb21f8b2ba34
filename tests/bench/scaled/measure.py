"""What the simulation is fed with, measured here: two encoders served side by side, what a replica's metrics are, and
what a sampled answer takes in the store."""

import platform
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import httpx

from controller.adapters.envoy.traffic import EnvoyTraffic
from controller.adapters.sql.database import connect
from controller.adapters.sql.samples import SqlSamples
from controller.adapters.sql.upgrade import upgrade_store
from controller.core.traffic import TrafficTable
from controller.ports.samples import Prediction
from serving.contract import PREDICT_ROUTE
from serving.inference.engine import Engine
from serving.package.artifact import CONFIG_FILE, TOKENIZER_FILE, config_labels, read_manifest
from serving.packaging.build import build_package
from tests.bench._distilbert import LAYERS, write_checkpoint
from tests.bench.scaled.figures import Encoder, Figures
from tests.bench.served.measure import Target, median, one_by_one
from tests.bench.served.models import DEMO_CHECKPOINT, MODEL, VERSION, few, texts_of
from tests.bench.served.own import ONE_THREAD, start
from tests.controller.envoy_support import running_envoy, set_endpoint
from tests.patience import eventually
from tests.serving.replica import Replica, replica

ROUNDS: Final = 2
STARTS: Final = 3
TEXTS: Final = 40
SAMPLES: Final = 50_000
ENCODERS: Final = (  # name, millions of parameters, layers, variant
    ("DistilBERT int8", 66, LAYERS, "int8"),
    ("DistilBERT fp32", 66, LAYERS, "fp32"),
    ("BERT int8", 109, 2 * LAYERS, "int8"),
    ("BERT fp32", 109, 2 * LAYERS, "fp32"),
)
"""BERT base has twice DistilBERT's layers and is the same otherwise; it, too, with random weights."""
JOURNAL_MB_DAY: Final = 6.5  # make bench-journal, docs/benchmarks/journal.md
INTAKE_PER_CPU_S: Final = 14_500.0  # make bench-intake: the least of SQLite and PostgreSQL, alone and paired


def measured() -> Figures:
    """Every figure. Encoders are asked in turn, so that what the machine does besides falls on all of them."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        packages = _packages(Path(folder))
        texts = few(texts_of(), TEXTS)
        replicas = {
            name: stack.enter_context(replica(package, *ONE_THREAD, version=VERSION))
            for name, package in packages.items()
        }
        served: dict[str, list[float]] = {name: [] for name in packages}
        alone: dict[str, list[list[float]]] = {name: [] for name in packages}
        engines = {name: Engine(package, read_manifest(package)[0]) for name, package in packages.items()}
        for turn in range(ROUNDS + 1):
            for name, one in replicas.items():
                cpu_ms = one_by_one(_target(one), texts).cpu_ms
                by_text = _text_cpu_ms(engines[name], texts)
                if turn:  # the first warms them
                    served[name].append(cpu_ms)
                    alone[name].append(by_text)
        series = len(replicas[ENCODERS[0][0]].samples())
        gateway_series = _gateway_series(Path(folder), replicas)
        memory_mb = {name: _target(one).memory_mb() for name, one in replicas.items()}
        expected = {name: max(engines[name].predict(texts[:1])[0].probabilities) for name in packages}
        stack.close()  # one alone is to start
        encoders = tuple(
            Encoder(
                name,
                parameters_m,
                tuple(median(tries) for tries in zip(*alone[name], strict=True)),
                median(served[name]),
                median(start(packages[name], texts[0], expected[name])[0] for _ in range(STARTS)),
                memory_mb[name],
            )
            for name, parameters_m, _, _ in ENCODERS
        )
        sample_bytes = _sample_bytes(Path(folder))
    return Figures(_machine(), encoders, series, gateway_series, JOURNAL_MB_DAY, sample_bytes, INTAKE_PER_CPU_S)


def _packages(folder: Path) -> dict[str, Path]:
    labels = config_labels((DEMO_CHECKPOINT / CONFIG_FILE).read_bytes())
    found = {}
    for name, _, layers, variant in ENCODERS:
        checkpoint = folder / f"checkpoint-{layers}"
        if not checkpoint.exists():
            write_checkpoint(checkpoint, DEMO_CHECKPOINT / TOKENIZER_FILE, labels, layers=layers)
        found[name] = folder / name.replace(" ", "-")
        build_package(checkpoint, found[name], variant=variant)
    return found


def _target(one: Replica) -> Target:
    return Target("Serin", one.url + PREDICT_ROUTE, one.family())


def _gateway_series(folder: Path, replicas: Mapping[str, Replica]) -> int:
    """Of the statistics of a real Envoy between two versions, what the second adds."""
    counts = []
    for names in (ENCODERS[:1], ENCODERS[:2]):
        with running_envoy(folder / f"envoy-{len(names)}") as envoy:
            traffic = EnvoyTraffic(envoy.directory)
            for number, (name, *_) in enumerate(names):
                set_endpoint(traffic, MODEL, str(number), replicas[name].url, replicas[name].shadow_url)
            share = 100.0 / len(names)
            traffic.write(TrafficTable(MODEL, {str(number): share for number in range(len(names))}, generation=1))
            eventually(partial(_is_served, traffic), what="Envoy to route")
            for _ in range(20):
                httpx.post(f"{envoy.url}/models/{MODEL}{PREDICT_ROUTE}", json={"text": "hello"}, trust_env=False)
            told = httpx.get(f"{envoy.admin_url}/stats/prometheus", trust_env=False).text
        counts.append(sum(line[:1].isalpha() for line in told.splitlines()))
    return counts[1] - counts[0]


def _is_served(traffic: EnvoyTraffic) -> bool:
    progress = traffic.progress(MODEL)
    return progress is not None and progress.is_served


def _text_cpu_ms(engine: Engine, texts: list[str]) -> list[float]:
    spent_ms = []
    for text in texts:
        before_s = time.process_time()
        engine.predict([text])
        spent_ms.append((time.process_time() - before_s) * 1000)
    return spent_ms


def _sample_bytes(folder: Path) -> float:
    """Of one sampled answer without its text, of two versions to the same requests, indexes and all."""
    path = folder / "samples.db"
    url = f"sqlite:///{path}"
    upgrade_store(url)
    database = connect(url)
    samples = SqlSamples(database)
    empty = path.stat().st_size
    batch: list[Prediction] = []
    for prediction in _predictions():
        batch.append(prediction)
        if len(batch) == 1000:
            samples.add_predictions(batch)
            batch.clear()
    database.close()
    return (path.stat().st_size - empty) / SAMPLES


def _predictions() -> Iterator[Prediction]:
    probabilities = {f"class_{number}": 0.125 for number in range(8)}
    for number in range(SAMPLES):
        request, version = divmod(number, 2)
        yield Prediction(
            f"{request:032x}", "intent", str(version + 1), ("live", "shadow")[version], 1.8e9 + request / 40,
            "class_1", 0.125, probabilities, 1.0, f"{request:064x}", tokens=38,
        )  # fmt: skip


def _machine() -> str:
    """The processor as Linux names it."""
    named = (line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("model name"))  # fmt: skip
    return next(named, platform.machine())
