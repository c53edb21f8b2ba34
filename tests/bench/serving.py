"""Serving beside the bare engine: a full-size DistilBERT (random weights) in int8, and the demo's model, same texts.

Everything of a model is measured in one run, in turn, one engine thread each; ratios are taken within a round, and
every figure is the median of its rounds. The bare engine is ``serving.engine`` in this process: text by text (what a
request would cost if there were no server) and in perfect batches (texts sorted by their tokens, as fast as it can be
fed). The load comes from a process of its own.

Whoever else serves the same model is one more ``Target``: a name, a URL, and the processes to count.
"""

import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
import psutil

from controller.adapters.envoy import EnvoyTraffic
from controller.core.traffic import TrafficTable
from serving.artifact import CONFIG_FILE, TOKENIZER_FILE, config_labels, read_manifest
from serving.contract import PREDICT_ROUTE
from serving.engine import Engine
from serving.packaging import build_package
from suites.intents.generator import held_out
from tests.bench._distilbert import write_checkpoint
from tests.bench._load import Answer, Plan, Stream, load
from tests.bench._table import Bar, machine, report
from tests.controller.envoy_support import eventually, running_envoy
from tests.serving.replica import REPOSITORY, end, replica, until

CHECKPOINT: Final = REPOSITORY / "suites" / "intents" / "checkpoints" / "v1"
FULL, DEMO = "66 M int8", "demo model"
MODEL, VERSION = "intent", "1"
ROUNDS: Final = 2
STARTS: Final = 3
CONNECTIONS: Final = 32
WARM_RATIO: Final = 0.15  # of each measurement, left out at its beginning
TEXTS: Final = 1200
LENGTHS: Final = (1, 1, 1, 1, 1, 2, 2, 3, 5, 8)
"""How many sentences make a text: most are one question, a few are whole letters."""
OVERLOAD: Final = 3
OVERLOAD_S: Final = 8.0
PATIENCE_S: Final = 120.0  # for a measurement of so many requests
BATCH_SIZES: Final = (4, 8, 16)
ONE_THREAD: Final = ("--threads", "1")
REFUSED_MS: Final = 50.0


@dataclass(frozen=True, slots=True)
class Subject:
    """A model, how many texts each measurement of it takes, and the latency that its users are promised."""

    name: str
    package: Path
    texts: Sequence[str]
    passes: int
    objective_ms: float


@dataclass(frozen=True, slots=True)
class Target:
    """Something that serves the subject: where, and the processes that do."""

    name: str
    url: str
    processes: Sequence[psutil.Process]

    def cpu_s(self) -> float:
        return sum(times.user + times.system for times in (process.cpu_times() for process in self.processes))

    def memory_mb(self) -> float:
        """Proportional: what several processes share is counted once."""
        return sum(process.memory_full_info().pss for process in self.processes) / 1e6


@dataclass(frozen=True, slots=True)
class Speed:
    """Answers a second, how long each took, and the processor time of each."""

    per_s: float
    took_ms: Sequence[float]
    cpu_ms: float

    def pct(self, percent: float) -> float:
        return float(np.percentile(self.took_ms, percent)) if len(self.took_ms) else float("nan")


@dataclass(frozen=True, slots=True)
class Overload:
    """What became of more requests than can be served. Goodput is answers a second."""

    goodput_per_s: float
    accepted_p99_ms: float
    refused_p99_ms: float
    refused_ratio: float


def texts_of(seed: int = 7) -> list[str]:
    """A realistic mix of lengths, out of the demo's held-out sentences."""
    draw = np.random.default_rng(seed)
    sentences = [example.text for example in held_out(5600)[600:]]
    return [
        ". ".join(draw.choice(sentences, size=sentences_of, replace=False))
        for sentences_of in draw.choice(LENGTHS, size=TEXTS)
    ]


class Bare:
    """The engine without a server. Every measurement takes the same texts, each as often as the others."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._engine = Engine(subject.package, read_manifest(subject.package)[0])
        tokens = [len(text.ids) for text in self._engine.tokenizer.tokenize(subject.texts)]
        self._by_length = [subject.texts[at] for at in np.argsort(tokens)]

    def singles(self) -> Speed:
        return self._run([[text] for text in self._subject.texts])

    def perfect_batches(self) -> Speed:
        """Of texts of like length, in the size that suits this engine best."""
        return max((self._run(self._batches(size)) for size in BATCH_SIZES), key=lambda speed: speed.per_s)

    def _batches(self, size: int) -> list[list[str]]:
        return [self._by_length[at : at + size] for at in range(0, len(self._by_length), size)]

    def _run(self, batches: Sequence[Sequence[str]]) -> Speed:
        took_ms = []
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        for batch in itertools.chain.from_iterable(itertools.repeat(batches, self._subject.passes)):
            before_s = time.perf_counter()
            self._engine.predict(batch)
            took_ms.append((time.perf_counter() - before_s) * 1000)
        texts = len(self._subject.texts) * self._subject.passes
        spent_ms = (time.process_time() - began_cpu_s) * 1000
        return Speed(texts / (time.perf_counter() - began_s), took_ms, spent_ms / texts)


def served(target: Target, stream: Stream, requests: int) -> Speed:
    """So many requests; the rate is that between the first and the last sending, when all connections are busy."""
    answers, cpu_s = _answers(target, stream, PATIENCE_S, requests)
    wrong = [answer for answer in answers if answer.status != 200]
    if wrong:
        raise RuntimeError(f"{target.name}: {len(wrong)} of {len(answers)} requests not answered, as {wrong[0]}")
    warm = _warm(answers)
    from_s, to_s = warm[0].sent_s, warm[-1].sent_s
    per_s = sum(from_s <= _answered_s(answer) <= to_s for answer in answers) / (to_s - from_s)
    return Speed(per_s, _took_ms(warm), cpu_s * 1000 / len(answers))


def overloaded(target: Target, stream: Stream, seconds: float) -> Overload:
    answers = _warm(_answers(target, stream, seconds, requests=1_000_000)[0])
    accepted = [answer for answer in answers if answer.status == 200]
    refused = [answer for answer in answers if answer.status == 503]
    between_s = max(_answered_s(answer) for answer in answers) - answers[0].sent_s
    lost = len(answers) - len(accepted) - len(refused)
    if lost or not accepted:
        raise RuntimeError(f"{target.name}: of {len(answers)} requests {lost} were neither answered nor refused")
    return Overload(
        goodput_per_s=len(accepted) / between_s,
        accepted_p99_ms=float(np.percentile(_took_ms(accepted), 99)),
        refused_p99_ms=float(np.percentile(_took_ms(refused), 99)) if refused else float("nan"),
        refused_ratio=len(refused) / len(answers),
    )


def _answers(target: Target, stream: Stream, seconds: float, requests: int) -> tuple[Sequence[Answer], float]:
    before_s = target.cpu_s()
    with load(Plan(target.url, [stream], seconds, requests)) as running:
        result = running.result()
    return result.answers, target.cpu_s() - before_s


def _warm(answers: Sequence[Answer]) -> list[Answer]:
    from_s, to_s = answers[0].sent_s, answers[-1].sent_s
    return [answer for answer in answers if answer.sent_s >= from_s + WARM_RATIO * (to_s - from_s)]


def _answered_s(answer: Answer) -> float:
    return answer.sent_s if answer.answered_s is None else answer.answered_s


def _took_ms(answers: Sequence[Answer]) -> list[float]:
    return [(_answered_s(answer) - answer.sent_s) * 1000 for answer in answers]


def speed_rows(subject: Subject) -> Iterator[Bar]:
    """The server beside the bare engine, then far beyond what it can take."""
    bare, texts = Bare(subject), subject.texts
    requests = len(texts) * subject.passes
    rounds = []
    with replica(subject.package, *ONE_THREAD, version=VERSION) as it:
        target = Target("LitServe", it.url + PREDICT_ROUTE, it.family())
        for _ in range(ROUNDS):
            single, batches = bare.singles(), bare.perfect_batches()
            full = served(target, Stream(CONNECTIONS, texts), 2 * requests)
            half = served(target, Stream(CONNECTIONS, texts, 2 * CONNECTIONS / full.per_s), requests)
            rounds.append((single, batches, full, half))
        memory_mb = target.memory_mb()
    name = subject.name
    ratios: tuple[tuple[str, Callable[[Speed, Speed, Speed, Speed], float]], ...] = (
        ("saturated requests/s ÷ perfect batches", lambda _, batches, full, __: full.per_s / batches.per_s),
        ("processor time of a perfect batch's text ÷ a served one's", lambda _, b, full, __: b.cpu_ms / full.cpu_ms),
        ("P99 at half of that rate ÷ P99 of bare single texts", lambda s, _, __, half: half.pct(99) / s.pct(99)),
        ("P50 at half of that rate ÷ P50 of bare single texts", lambda s, _, __, half: half.pct(50) / s.pct(50)),
    )
    bars = dict(zip((what for what, _ in ratios), _BARS, strict=False)) if name == FULL else {}
    for what, of in ratios:
        yield Bar(f"{name}: {what}", _median(of(*one) for one in rounds), "ratio", **bars.get(what, {}))
    for at, what in enumerate(("bare, single", "bare, perfect batches", "saturated", "half of that rate")):
        for unit, of_speed in _FIGURES:
            yield Bar(f"{name}: {what}", _median(of_speed(one[at]) for one in rounds), unit)
    limit = {"at_most": 350.0} if name == FULL else {}
    yield Bar(f"{name}: memory of the replica, all processes", memory_mb, "MB", **limit)
    yield from _overload_rows(subject, _median(one[2].per_s for one in rounds))


_BARS: Final = ({"at_least": 0.92}, {"at_least": 0.92}, {"at_most": 3.0})  # of the ratios, in their order
_FIGURES: Final[tuple[tuple[str, Callable[[Speed], float]], ...]] = (
    ("texts/s", lambda speed: speed.per_s),
    ("P50 ms", lambda speed: speed.pct(50)),
    ("P99 ms", lambda speed: speed.pct(99)),
    ("processor ms/text", lambda speed: speed.cpu_ms),
)


def _overload_rows(subject: Subject, rate_per_s: float) -> Iterator[Bar]:
    objective = ("--objective-ms", f"{subject.objective_ms:g}", "--max-wait-ms", f"{subject.objective_ms / 2:g}")
    # A connection holds one request at a time: enough of them that those which wait do not thin out the offer.
    connections = int(OVERLOAD * rate_per_s * subject.objective_ms / 1000) + CONNECTIONS
    with replica(subject.package, *ONE_THREAD, *objective, version=VERSION) as it:
        target = Target("LitServe", it.url + PREDICT_ROUTE, it.family())
        served(target, Stream(4, subject.texts), len(subject.texts) // 2)
        stream = Stream(connections, subject.texts, connections / (OVERLOAD * rate_per_s))
        found = overloaded(target, stream, OVERLOAD_S)
    name = f"{subject.name}: {OVERLOAD} times the saturated rate"
    late, slow = ({"at_most": 1.0}, {"at_most": REFUSED_MS}) if subject.name == FULL else ({}, {})
    yield Bar(f"{name}, P99 of the accepted ÷ objective", found.accepted_p99_ms / subject.objective_ms, "ratio", **late)
    yield Bar(f"{name}, P99 of the refused", found.refused_p99_ms, "ms", **slow)
    yield Bar(f"{name}, refused", found.refused_ratio, "ratio")
    yield Bar(f"{name}, answered ÷ the saturated rate", found.goodput_per_s / rate_per_s, "ratio")


def start_s(package: Path, text: str) -> float:
    """From the start of the process to the first answer, in s."""
    with tempfile.TemporaryDirectory() as folder:
        port_file = Path(folder) / "port"
        began_s = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "serving", "--artifact", str(package), "--model", MODEL, "--version", VERSION,
             "--port", "0", "--port-file", str(port_file)],
            cwd=REPOSITORY, stdout=subprocess.DEVNULL, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            until(port_file.exists, "the replica listens")
            url = f"http://127.0.0.1:{port_file.read_text().strip()}{PREDICT_ROUTE}"
            request = urllib.request.Request(url, json.dumps({"text": text}).encode())
            with urllib.request.urlopen(request) as answer:  # noqa: S310  (waits until a worker is ready)
                took_s = time.perf_counter() - began_s
                if not json.load(answer)["probabilities"]:
                    raise RuntimeError("the first answer is none")
            return took_s
        finally:
            end(process)


def envoy_rows(subject: Subject) -> Iterator[Bar]:
    """What a hop through Envoy adds, with one request at a time."""
    hops = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        it = stack.enter_context(replica(subject.package, version=VERSION))
        envoy = stack.enter_context(running_envoy(Path(folder)))
        traffic = EnvoyTraffic(envoy.directory)
        traffic.set_endpoint(MODEL, VERSION, it.url)
        traffic.write(TrafficTable(MODEL, {VERSION: 100.0}, generation=1))
        eventually(lambda: traffic.confirmed_generation(MODEL) == 1, what="Envoy to route")
        direct = Target("LitServe", it.url + PREDICT_ROUTE, it.family())
        through = Target("Envoy", f"{envoy.url}/models/{MODEL}{PREDICT_ROUTE}", it.family())
        for _ in range(ROUNDS):
            both = [
                served(target, Stream(1, subject.texts), len(subject.texts)).pct(50) for target in (through, direct)
            ]
            hops.append(both[0] - both[1])
    yield Bar("a hop through Envoy, P50", _median(hops), "ms", at_most=0.5)


def _median(values: Iterator[float] | Sequence[float]) -> float:
    return statistics.median(values)


def main() -> int:
    if find_spec("onnx") is None:
        print("bench serving builds a full-size graph with onnx, which is not installed: pip install 'serin[export]'")
        return 2
    about = machine()
    texts = texts_of()
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, packages = Path(folder) / "full", Path(folder) / "packages"
        labels = config_labels((CHECKPOINT / CONFIG_FILE).read_bytes())
        write_checkpoint(checkpoint, CHECKPOINT / TOKENIZER_FILE, labels)
        build_package(checkpoint, packages / "int8", variant="int8")
        build_package(checkpoint, packages / "fp32")
        build_package(CHECKPOINT, packages / "demo")
        full = Subject(FULL, packages / "int8", texts[:200], passes=1, objective_ms=1000.0)
        demo = Subject(DEMO, packages / "demo", texts, passes=2, objective_ms=100.0)
        rows = [*speed_rows(full), *speed_rows(demo)]
        for variant, at_most in (("int8", 1.5), ("fp32", 2.5)):
            starts = [start_s(packages / variant, texts[0]) for _ in range(STARTS)]
            rows.append(Bar(f"66 M {variant}: process start to first answer", _median(starts), "s", at_most=at_most))
        rows += envoy_rows(demo)
    return report("serving", [*rows, *about])


if __name__ == "__main__":
    sys.exit(main())
