"""Batch scoring beside the transformers pipeline with its batching: 66 M in fp32 and in int8, and the demo's model; the
same texts and cores.

Ours is the whole command, its start included; of the pipeline only the scoring counts. Rounds take turns; every figure
is the median of its rounds, ratios are taken within a round. The pipeline needs what ``tests/bench/rivals/prepare.sh``
installs.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from serving.process.cores import usable_cores
from tests.bench._table import RESULTS, Bar, machine, report
from tests.bench.served.models import Subject, few, models, texts_of
from tests.bench.served.rivals import PREPARE, environment
from tests.serving.replica import REPOSITORY

PIPELINE: Final = Path(__file__).parent / "rivals" / "batch_pipeline.py"
BATCHES: Final = (1, 8, 32)
"""1 is no batching at all, which is quickest here: padding eats what batches win. 8 is what the documentation shows."""
ASKED_OF: Final = (8, 32)
TEXTS: Final = 768  # enough that what a command takes to start is little of it, as in a real run
DEMO_SEEDS: Final = 8  # of ``texts_of``, for a model that is done with one of them before it has started
ROUNDS: Final = 2
ASKED: Final = 5.0


@dataclass(frozen=True, slots=True)
class Speed:
    """Texts a second, and processor ms a text."""

    per_s: float
    cpu_ms: float


def ours(subject: Subject, texts: Sequence[str], folder: Path) -> tuple[Speed, list[str]]:
    """The command from its start to its end, and the labels."""
    source, target = folder / "in.jsonl", folder / "out.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    command = [sys.executable, "-m", "serving.batch", "--artifact", subject.package, source, target, "--overwrite"]
    before, began_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, cwd=REPOSITORY, stderr=subprocess.DEVNULL)
    took_s, after = time.perf_counter() - began_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    labels = [json.loads(line)["label"] for line in target.read_text(encoding="utf-8").splitlines()]
    return Speed(len(texts) / took_s, 1000 * cpu_s / len(texts)), labels


def theirs(subject: Subject, texts: Sequence[str], folder: Path) -> tuple[Mapping[int, Speed], list[str]]:
    """The pipeline at each batch size, loaded once; and the labels without batching."""
    (folder / "texts.json").write_text(json.dumps(list(texts)), encoding="utf-8")
    arguments = [subject.checkpoint, folder / "texts.json", usable_cores(), *BATCHES]
    done = subprocess.run(
        [environment() / "bin" / "python", PIPELINE, *map(str, arguments)],
        check=True, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    speeds = {
        int(batch): Speed(len(texts) / entry["took_s"], 1000 * entry["cpu_s"] / len(texts))
        for batch, entry in found.items()
    }
    return speeds, found["1"]["labels"]


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
    ours_in: dict[str, list[Speed]] = {subject.name: [] for subject in subjects}
    theirs_in: list[Mapping[int, Speed]] = []
    agreed: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            speeds, expected = theirs(exact, texts, Path(folder))
            theirs_in.append(speeds)
            for subject in subjects:
                speed, labels = ours(subject, texts, Path(folder))
                ours_in[subject.name].append(speed)
                if subject is exact:
                    agreed.append(sum(map(str.__eq__, labels, expected)) / len(texts))
    yield Bar(f"{name}: same label as the pipeline", min(agreed), "", at_least=0.99)
    for batch in BATCHES:
        yield from _told(f"transformers pipeline, {name}, batch_size {batch}", [speeds[batch] for speeds in theirs_in])
    for own, found in ours_in.items():
        yield from _told(f"{own}: python -m serving.batch", found)
        for batch in BATCHES:
            yield from _compared(own, batch, found, [speeds[batch] for speeds in theirs_in])


def _compared(name: str, batch: int, ours: Sequence[Speed], theirs: Sequence[Speed]) -> Iterator[Bar]:
    pairs = list(zip(ours, theirs, strict=True))
    faster = statistics.median(own.per_s / other.per_s for own, other in pairs)
    cheaper = statistics.median(other.cpu_ms / own.cpu_ms for own, other in pairs)
    asked = ASKED if batch in ASKED_OF else None
    yield Bar(f"{name}: texts/s, ours / pipeline at batch_size {batch}", faster, "x", at_least=asked)
    yield Bar(f"{name}: processor time a text, pipeline at batch_size {batch} / ours", cheaper, "x")


def _told(name: str, speeds: Sequence[Speed]) -> list[Bar]:
    return [
        Bar(f"{name}: texts", statistics.median(speed.per_s for speed in speeds), "/s"),
        Bar(f"{name}: processor time a text", statistics.median(speed.cpu_ms for speed in speeds), "ms"),
    ]


def main() -> int:
    if not (environment() / "bin" / "python").exists():
        print(f"the transformers pipeline is not installed; install it with: {PREPARE}", file=sys.stderr)
        return 2
    before = machine()
    return report("batch", [*before, *measured()])


if __name__ == "__main__":
    sys.exit(main())
