"""Batch scoring beside the transformers pipeline with its batching: 66 M in fp32 and in int8, and the demo's model; the
same texts and cores.

Both are timed twice over: the whole process, from its start to its end; and the scoring alone, which carries the bar,
since a start of seconds, most of it torch's, says nothing of a file that takes an hour. The pipeline tells how long it
scored after its first text; of the command it is what all texts take longer than one. Rounds take turns; every figure
is the median of its rounds, ratios are taken within a round. The pipeline needs what ``tests/bench/rivals/prepare.sh``
installs.
"""

import dataclasses
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from serving.resources.cores import usable_cores
from tests.bench._table import RESULTS, Bar, machine, report
from tests.bench.served.measure import Bare
from tests.bench.served.models import Subject, few, models, texts_of
from tests.bench.served.rivals import PREPARE, environment
from tests.serving.replica import REPOSITORY

PIPELINE: Final = Path(__file__).parent / "rivals" / "batch_pipeline.py"
BATCHES: Final = (1, 8, 32)
"""1 is no batching at all, which is quickest here: padding eats what batches win. 8 is what the documentation shows."""
ASKED_OF: Final = (8, 32)
TEXTS: Final = 768
DEMO_SEEDS: Final = 8  # of ``texts_of``, for a model that is done with one of them before it has started
ROUNDS: Final = 2
ASKED: Final = 5.0


@dataclass(frozen=True, slots=True)
class Timing:
    """What a process took for so many texts, and how much of that was scoring: seconds, and processor seconds."""

    texts: int
    whole_s: float
    scoring_s: float
    scoring_cpu_s: float

    @property
    def per_s(self) -> float:
        return self.texts / self.scoring_s

    @property
    def whole_per_s(self) -> float:
        return self.texts / self.whole_s

    @property
    def start_s(self) -> float:
        return self.whole_s - self.scoring_s

    @property
    def cpu_ms(self) -> float:
        return 1000 * self.scoring_cpu_s / self.texts


def ours(subject: Subject, texts: Sequence[str], folder: Path) -> tuple[Timing, list[str]]:
    """The command, and the labels."""
    start_s, start_cpu_s, _ = _command(subject, texts[:1], folder)
    whole_s, cpu_s, labels = _command(subject, texts, folder)
    share = len(texts) / (len(texts) - 1)  # of the scoring, the first text is in both
    return Timing(len(texts), whole_s, (whole_s - start_s) * share, (cpu_s - start_cpu_s) * share), labels


def _command(subject: Subject, texts: Sequence[str], folder: Path) -> tuple[float, float, list[str]]:
    """Seconds and processor seconds from its start to its end, and the labels."""
    source, target = folder / "in.jsonl", folder / "out.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    command = [sys.executable, "-m", "serving.batch", "--artifact", subject.package, source, target, "--overwrite"]
    before, began_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, cwd=REPOSITORY, stderr=subprocess.DEVNULL)
    took_s, after = time.perf_counter() - began_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return took_s, cpu_s, [json.loads(line)["label"] for line in target.read_text(encoding="utf-8").splitlines()]


def theirs(subject: Subject, texts: Sequence[str], batch: int, folder: Path) -> tuple[Timing, list[str]]:
    """The pipeline at a batch size, and the labels."""
    (folder / "texts.json").write_text(json.dumps(list(texts)), encoding="utf-8")
    arguments = [subject.checkpoint, folder / "texts.json", usable_cores(), batch]
    began_s = time.perf_counter()
    done = subprocess.run(
        [environment() / "bin" / "python", PIPELINE, *map(str, arguments)],
        check=True, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    whole_s = time.perf_counter() - began_s
    found = json.loads(done.stdout.splitlines()[-1])
    return Timing(len(texts), whole_s, found["took_s"], found["cpu_s"]), found["labels"]


def measured() -> list[Bar]:
    """The rows of the table."""
    built = models(RESULTS / "serving-models")
    texts = list(dict.fromkeys(texts_of()))  # ours computes equal texts once
    many = list(dict.fromkeys(text for seed in range(DEMO_SEEDS) for text in texts_of(seed)))
    return [
        *_beside("66 M fp32", (built.fp32, built.int8), few(texts, TEXTS)),
        *_beside("demo model", (built.demo,), many),
    ]


def _beside(name: str, subjects: Sequence[Subject], texts: Sequence[str]) -> Iterator[Bar]:
    """Packages of one checkpoint beside the pipeline; the first is as exact as it."""
    exact = subjects[0]
    ours_in: dict[str, list[Timing]] = {subject.name: [] for subject in subjects}
    theirs_in: dict[int, list[Timing]] = {batch: [] for batch in BATCHES}
    bare_ms: dict[str, list[float]] = {subject.name: [] for subject in subjects}
    agreed: list[float] = []
    bare = [Bare(dataclasses.replace(it, texts=few(texts, len(it.texts)), passes=1)) for it in subjects]
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            expected: dict[int, list[str]] = {}
            for batch in BATCHES:
                timing, expected[batch] = theirs(exact, texts, batch, Path(folder))
                theirs_in[batch].append(timing)
            for subject, engine in zip(subjects, bare, strict=True):
                timing, labels = ours(subject, texts, Path(folder))
                ours_in[subject.name].append(timing)
                bare_ms[subject.name].append(engine.perfect_batches().cpu_ms)
                if subject is exact:
                    agreed.append(sum(map(str.__eq__, labels, expected[1])) / len(texts))
    yield Bar(f"{name}: same label as the pipeline", min(agreed), "", at_least=0.99)
    for batch, found in theirs_in.items():
        yield from _told(f"transformers pipeline, {name}, batch_size {batch}", found)
    for own, found in ours_in.items():
        yield from _told(f"{own}: python -m serving.batch", found)
        of_bare = statistics.median(ms / timing.cpu_ms for ms, timing in zip(bare_ms[own], found, strict=True))
        yield Bar(f"{own}: processor time of a perfect batch's text ÷ one of python -m serving.batch", of_bare, "ratio")
        for batch in BATCHES:
            yield from _compared(own, batch, found, theirs_in[batch])


def _compared(name: str, batch: int, ours: Sequence[Timing], theirs: Sequence[Timing]) -> Iterator[Bar]:
    def ratio(of: Callable[[Timing, Timing], float]) -> float:
        return statistics.median(of(own, other) for own, other in zip(ours, theirs, strict=True))

    beside = f"pipeline at batch_size {batch}"
    asked = ASKED if batch in ASKED_OF else None
    yield Bar(f"{name}: texts/s, ours / {beside}", ratio(lambda own, it: own.per_s / it.per_s), "x", at_least=asked)
    yield Bar(
        f"{name}: texts/s with the start, ours / {beside}", ratio(lambda own, it: own.whole_per_s / it.whole_per_s), "x"
    )
    yield Bar(f"{name}: processor time a text, {beside} / ours", ratio(lambda own, it: it.cpu_ms / own.cpu_ms), "x")


def _told(name: str, timings: Sequence[Timing]) -> Iterator[Bar]:
    figures: Mapping[tuple[str, str], Callable[[Timing], float]] = {
        ("texts", "/s"): lambda timing: timing.per_s,
        ("texts with the start", "/s"): lambda timing: timing.whole_per_s,
        ("start", "s"): lambda timing: timing.start_s,
        ("processor time a text", "ms"): lambda timing: timing.cpu_ms,
    }
    for (what, unit), figure in figures.items():
        yield Bar(f"{name}: {what}", statistics.median(map(figure, timings)), unit)


def main() -> int:
    if not (environment() / "bin" / "python").exists():
        print(f"the transformers pipeline is not installed; install it with: {PREPARE}", file=sys.stderr)
        return 2
    before = machine()
    return report("batch", [*before, *measured()])


if __name__ == "__main__":
    sys.exit(main())
