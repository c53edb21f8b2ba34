"""Does a replica grow? 200,000 requests of mixed shapes at full speed, and what its processes hold before and after.

    make bench-soak

A process's private memory (what it shares with no other) is where a leak is; descriptors and threads can leak as well.
The growth is that after the first tenth, when every shape has been seen and every pool has its size.
"""

import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from serving.contract import BATCH_SIZE_METRIC, PREDICT_ROUTE, REQUESTS_METRIC
from serving.packaging.build import build_package
from tests.bench._load import Plan, Stream, load
from tests.bench._table import Bar, machine, report
from tests.serving.replica import REPOSITORY, Replica, replica

CHECKPOINT: Final = REPOSITORY / "suites" / "intents" / "checkpoints" / "v1"
REQUESTS: Final = 200_000
ROUNDS: Final = 10
CONNECTIONS: Final = (24, 8)  # of single texts, of lists
GROWTH_MB_MAX: Final = 4.0
PATIENCE_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Held:
    """What the replica's processes hold, in the order of their start."""

    private_mb: Sequence[float]
    descriptors: int
    threads: int


def held(running: Replica) -> Held:
    family = running.family()
    return Held(
        [process.memory_full_info().uss / 1e6 for process in family],
        sum(process.num_fds() for process in family),
        sum(process.num_threads() for process in family),
    )


def texts() -> tuple[list[str], list[list[str]]]:
    """Of one to seventy words, and lists of them."""
    draw = random.Random(1)
    words = ["where", "is", "my", "order", "refund", "please", "nonsense", "zażółć"]
    single = [" ".join(draw.choices(words, k=draw.randint(1, 70))) for _ in range(1000)]
    return single, [draw.sample(single, draw.randint(1, 6)) for _ in range(200)]


def rows(package: Path) -> Iterator[Bar]:
    single, lists = texts()
    streams = [Stream(CONNECTIONS[0], single), Stream(CONNECTIONS[1], lists)]
    after: list[Held] = []
    with replica(package) as running:
        began_s = time.monotonic()
        for _ in range(ROUNDS):
            plan = Plan(running.url + PREDICT_ROUTE, streams, PATIENCE_S, REQUESTS // ROUNDS)
            with load(plan) as it:
                statuses = {answer.status for answer in it.result().answers}
            if statuses != {200}:
                raise RuntimeError(f"requests were answered {statuses}")
            after.append(held(running))
        took_s = time.monotonic() - began_s
        counted, computed = running.total(REQUESTS_METRIC), running.total(f"{BATCH_SIZE_METRIC}_sum")
    first, last = after[0], after[-1]
    growth = [now - then for now, then in zip(last.private_mb, first.private_mb, strict=True)]
    yield Bar("requests, all answered", counted, "", at_least=REQUESTS, at_most=REQUESTS)
    yield Bar("texts", computed, "")
    yield Bar("requests a second", REQUESTS / took_s, "1/s")
    yield Bar("growth of the process that grew most", max(growth), "MB", at_most=GROWTH_MB_MAX)
    yield Bar("growth of all processes", sum(growth), "MB")
    yield Bar("private memory of all processes, after a tenth", sum(first.private_mb), "MB")
    yield Bar("private memory of all processes, at the end", sum(last.private_mb), "MB")
    yield Bar("descriptors more than after a tenth", last.descriptors - first.descriptors, "", at_most=0)
    yield Bar("threads more than after a tenth", last.threads - first.threads, "", at_most=0)


def main() -> int:
    about = machine()
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "demo"
        build_package(CHECKPOINT, package)
        return report("soak", [*rows(package), *about])


if __name__ == "__main__":
    sys.exit(main())
