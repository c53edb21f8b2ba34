"""A GPU beside this machine's processors: the full-size model in fp32 and fp16 on CUDA, bare and served.

Needs a GPU, ``onnxruntime-gpu`` in the place of ``onnxruntime``, and ``onnx``; nothing of it runs in `make test`. Every
ratio is of two figures of one round. Answers are held against those of the same weights in fp32 on the processors.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime

from serving.contract import PREDICT_ROUTE
from serving.inference.engine import Engine
from serving.package.artifact import CONFIG_FILE, TOKENIZER_FILE, config_labels, read_manifest
from serving.packaging.build import build_package
from serving.settings import Provider
from tests.bench._distilbert import write_checkpoint
from tests.bench._table import Bar, machine, report
from tests.bench.served.measure import CONNECTIONS, Speed, Target, at_rate, median, saturated
from tests.bench.served.models import DEMO_CHECKPOINT, MODEL, VERSION, few, texts_of
from tests.serving.replica import Replica, replica

ROUNDS: Final = 3
TEXTS: Final = 1200
BATCHES: Final = (1, 8, 32, 128)
CUDA_FLAGS: Final = ("--provider", "cuda")
FP16_SHIFT_MAX: Final = 0.02
"""The most that a probability may move from fp32's: half precision has three digits, and random weights saturate."""


def rows(folder: Path) -> Iterator[Bar]:
    """Every figure, one package after the other."""
    packages = _packages(folder)
    single = packages["fp32"]
    texts = few(texts_of(), TEXTS)
    expected = _probabilities(Engine(single, read_manifest(single)[0], threads=None), texts[:64])
    for name, package in packages.items():
        engine = Engine(package, read_manifest(package)[0], provider=Provider.CUDA)
        moved = float(np.abs(_probabilities(engine, texts[:64]) - expected).max())
        yield Bar(f"{name}: a probability moves from fp32's on a CPU by at most", moved, "", at_most=FP16_SHIFT_MAX)
        yield from _speeds(name, package, engine, texts)
    yield from _beside_the_processors(single, texts)


def _packages(folder: Path) -> dict[str, Path]:
    """A full-size checkpoint's packages, by variant."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        labels = config_labels((DEMO_CHECKPOINT / CONFIG_FILE).read_bytes())
        checkpoint = Path(scratch) / "checkpoint"
        write_checkpoint(checkpoint, DEMO_CHECKPOINT / TOKENIZER_FILE, labels)
        packages = {variant: folder / variant for variant in ("fp32", "fp16")}
        for variant, package in packages.items():
            build_package(checkpoint, package, variant=variant)
    return packages


def _probabilities(engine: Engine, texts: Sequence[str]) -> np.ndarray:
    return np.array([prediction.probabilities for prediction in engine.predict(texts)])


def _speeds(name: str, package: Path, engine: Engine, texts: Sequence[str]) -> Iterator[Bar]:
    bare: dict[int, list[float]] = {size: [] for size in BATCHES}
    full: list[Speed] = []
    calm: list[Speed] = []
    with replica(package, *CUDA_FLAGS, model=MODEL, version=VERSION) as it:
        target = Target("Serin", it.url + PREDICT_ROUTE, it.family())
        saturated(target, texts[: 4 * CONNECTIONS], 1)
        for _ in range(ROUNDS):
            for size in BATCHES:
                bare[size].append(_per_s(engine, texts, size))
            full.append(saturated(target, texts, 2))
            calm.append(at_rate(target, texts, 1, full[-1].per_s / 2))
        gpu = _gpu_metrics(it)
        memory_mb = target.memory_mb()
    for size, speeds in bare.items():
        yield Bar(f"{name}: bare engine on CUDA, batches of {size} of like length", median(speeds), "texts/s")
    best = max(median(speeds) for speeds in bare.values())
    yield Bar(f"{name}: served, {CONNECTIONS} connections", median(speed.per_s for speed in full), "texts/s")
    yield Bar(f"{name}: served / the bare engine's best", median(speed.per_s for speed in full) / best, "x")
    yield Bar(f"{name}: served, processor time of a text", median(speed.cpu_ms for speed in full), "ms")
    for percent in (50, 99):
        yield Bar(f"{name}: P{percent} at half of that rate", median(speed.pct(percent) for speed in calm), "ms")
    yield Bar(f"{name}: memory of the replica's processes", memory_mb, "MB")
    yield Bar(f"{name}: GPU metrics that the replica tells of", gpu, "series", at_least=2)


def _per_s(engine: Engine, texts: Sequence[str], size: int) -> float:
    by_length = sorted(texts, key=len)
    asked = by_length if size > 1 else by_length[:: len(by_length) // 200]
    engine.predict(asked[:size])
    began_s = time.perf_counter()
    for at in range(0, len(asked), size):
        engine.predict(asked[at : at + size])
    return len(asked) / (time.perf_counter() - began_s)


def _gpu_metrics(it: Replica) -> int:
    return sum(name.startswith("serin_gpu_") for name, _ in it.samples())


def _beside_the_processors(package: Path, texts: Sequence[str]) -> Iterator[Bar]:
    """The same package served by all of this machine's processors, and by the GPU, in turn."""
    few_texts = few(texts, 300)
    ratios = []
    with (
        replica(package, version=VERSION) as slow,
        replica(package, *CUDA_FLAGS, version=VERSION) as fast,
    ):
        targets = [Target("Serin", one.url + PREDICT_ROUTE, one.family()) for one in (slow, fast)]
        for target in targets:
            saturated(target, few_texts[: 2 * CONNECTIONS], 1)
        for _ in range(ROUNDS):
            slow_per_s, fast_per_s = (saturated(target, few_texts, 1).per_s for target in targets)
            ratios.append(fast_per_s / slow_per_s)
    yield Bar("fp32: served on CUDA / served on all processors", median(ratios), "x")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gpu", description=__doc__)
    parser.parse_args()
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        print("bench gpu needs a GPU and onnxruntime-gpu in the place of onnxruntime")
        return 2
    about = machine()
    with tempfile.TemporaryDirectory() as folder:
        return report("gpu", [*rows(Path(folder)), *about])


if __name__ == "__main__":
    sys.exit(main())
