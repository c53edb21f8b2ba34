"""How it is measured: the bare engine without a server, and any server from outside."""

import itertools
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import psutil

from serving.inference.engine import Engine
from serving.package.artifact import read_manifest
from tests.bench._load import Answer, Plan, Spacing, Stream, load
from tests.bench.served.models import Subject

CONNECTIONS: Final = 32
PATIENCE_S: Final = 180.0  # for a measurement of so many requests
BATCH_SIZES: Final = (1, 2, 4, 8, 16)
_PROCESS_CLOCK: Final = 2  # of all its threads, as scheduled: Linux's CPUCLOCK_SCHED
_WARM_RATIO: Final = 0.15  # of an overload, left out at its beginning


@dataclass(frozen=True, slots=True)
class Target:
    """Something that serves a subject: where, the processes that do, and the field that it takes texts in."""

    name: str
    url: str
    processes: Sequence[psutil.Process]
    field: str = ""

    def cpu_s(self) -> float:
        """By each process's own clock: the tables of processes tell it in steps of 10 ms."""
        return sum(time.clock_gettime(_clock_of(process.pid)) for process in self.processes)

    def memory_mb(self) -> float:
        """Proportional: what several processes share is counted once."""
        return sum(process.memory_full_info().pss for process in self.processes) / 1e6


@dataclass(frozen=True, slots=True)
class Speed:
    """Answers a second, how long each took, the processor time of each, and that of the load as a share of a core."""

    per_s: float
    took_ms: Sequence[float]
    cpu_ms: float
    load_ratio: float = 0.0

    def pct(self, percent: float) -> float:
        return float(np.percentile(self.took_ms, percent)) if len(self.took_ms) else float("nan")


@dataclass(frozen=True, slots=True)
class Overload:
    """What became of more requests than can be served. Goodput is answers a second."""

    goodput_per_s: float
    accepted_p99_ms: float
    refused_p99_ms: float
    refused_ratio: float


class Bare:
    """The engine without a server. Every measurement takes the same texts, each as often as the others."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._engine = Engine(subject.package, read_manifest(subject.package)[0])
        tokens = [len(text.ids) for text in self._engine.tokenizer.tokenize(subject.texts)]
        self._by_length = [subject.texts[at] for at in np.argsort(tokens)]
        self._size = max(BATCH_SIZES, key=lambda size: self._run(self._batches(size)).per_s)

    def singles(self) -> Speed:
        return self._run([[text] for text in self._subject.texts])

    def perfect_batches(self) -> Speed:
        """Of texts of like length, in the size that suits this engine best."""
        return self._run(self._batches(self._size))

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


def _clock_of(pid: int) -> int:
    """A process's processor time as a clock, numbered as by clock_getcpuclockid(3)."""
    return (~pid << 3) | _PROCESS_CLOCK


def saturated(target: Target, texts: Sequence[str], passes: int) -> Speed:
    """Every connection sends again once it is answered; the rate is that from the first sending to the last answer."""
    return _served(target, Stream(CONNECTIONS, texts, field=target.field), len(texts) * passes)


def at_rate(target: Target, texts: Sequence[str], passes: int, per_s: float) -> Speed:
    """So many a second at random moments, whether or not the others are answered."""
    connections = 2 * CONNECTIONS
    stream = Stream(connections, texts, connections / per_s, Spacing.RANDOM, target.field)
    return _served(target, stream, len(texts) * passes)


def one_by_one(target: Target, texts: Sequence[str]) -> Speed:
    return _served(target, Stream(1, texts, field=target.field), len(texts))


def overloaded(target: Target, texts: Sequence[str], per_s: float, connections: int, seconds: float) -> Overload:
    stream = Stream(connections, texts, connections / per_s)
    with load(Plan(target.url, [stream], seconds, requests_max=1_000_000)) as running:
        answers = _warm(running.result().answers)
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


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def pooled(speeds: Iterable[Speed], percent: float) -> float:
    """Of all rounds together, in ms."""
    return float(np.percentile(np.concatenate([speed.took_ms for speed in speeds]), percent))


def _served(target: Target, stream: Stream, requests: int) -> Speed:
    before_s = target.cpu_s()
    with load(Plan(target.url, [stream], PATIENCE_S, requests)) as running:
        result = running.result()
    cpu_s = target.cpu_s() - before_s
    wrong = [answer for answer in result.answers if answer.status != 200]
    if wrong or len(result.answers) < requests:
        told = f", as {wrong[0]}" if wrong else ""
        raise RuntimeError(f"{target.name}: {len(wrong)} of {len(result.answers)} requests not answered{told}")
    took_s = max(_answered_s(answer) for answer in result.answers) - result.answers[0].sent_s
    return Speed(requests / took_s, _took_ms(result.answers), cpu_s * 1000 / requests, result.cpu_s / took_s)


def _warm(answers: Sequence[Answer]) -> list[Answer]:
    from_s, to_s = answers[0].sent_s, answers[-1].sent_s
    return [answer for answer in answers if answer.sent_s >= from_s + _WARM_RATIO * (to_s - from_s)]


def _answered_s(answer: Answer) -> float:
    return answer.sent_s if answer.answered_s is None else answer.answered_s


def _took_ms(answers: Sequence[Answer]) -> list[float]:
    return [(_answered_s(answer) - answer.sent_s) * 1000 for answer in answers]
