"""Many releases of a scenario, in several processes, kept as they come: what was played is not played again.

Results lie under a digest of the sources of the gates and of this world, so that a change of it starts anew.
"""

import hashlib
import json
import math
import multiprocessing
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench._table import RESULTS
from tests.bench.world.release import Ended, play
from tests.bench.world.rivals import RULES, Found
from tests.bench.world.scenarios import Scenario

CHUNK = 10
FIRST = 400  # releases of each world come before more of any
SEED = 2026
Work = Sequence[tuple[Scenario, int]]
_ROOT = Path(__file__).parents[3]
_BESIDE = frozenset({"bounds", "forecast", "measures", "offline", "page", "plots", "preview", "rows", "runs"})


@dataclass(frozen=True, slots=True)
class Played:
    """How one release ended, and when each of the other rules would have rolled it back, by kind of evidence."""

    ended: Ended
    rivals: dict[str, Found]


@dataclass(frozen=True, slots=True)
class _Task:
    scenario: Scenario
    chunk: int
    file: Path
    until_s: float  # of the clock of `time.monotonic`


def kept_in() -> Path:
    """The folder of what the present gates and world played."""
    return RESULTS / "gates-runs" / _digest()


def play_missing(work: Work, kept: Path, *, processes: int, minutes: float = math.inf) -> None:
    """Play what ``kept`` lacks of each scenario, in whole chunks, for so many minutes at most."""
    until_s = time.monotonic() + 60 * minutes
    tasks = [
        (key, _Task(scenario, chunk, file, until_s))
        for scenario, runs in work
        for key, chunk, file in _chunks(kept, scenario, runs)
        if not file.exists()
    ]
    ordered = [task for _, task in sorted(tasks, key=lambda pair: pair[0])]
    with multiprocessing.Pool(processes, maxtasksperchild=200) as pool:
        for done, name in enumerate(pool.imap_unordered(_play_chunk, ordered), start=1):
            if name:
                print(f"{done} of {len(ordered)}: {name}", flush=True)


def read(work: Work, kept: Path) -> dict[str, list[Played]]:
    """What ``kept`` has of each scenario, by name."""
    return {
        scenario.name: [
            one for _, _, file in _chunks(kept, scenario, runs) if file.exists() for one in read_chunk(file)
        ]
        for scenario, runs in work
    }


def _chunks(kept: Path, scenario: Scenario, runs: int) -> Iterator[tuple[tuple[bool, float], int, Path]]:
    """The chunks of a scenario, each with its place in the order: some of everything first, then all in proportion."""
    folder = kept / hashlib.sha256(scenario.name.encode()).hexdigest()[:12]
    count = -(-runs // CHUNK)
    for chunk in range(count):
        first = min(FIRST // CHUNK, count)
        later = chunk >= first
        yield (later, (chunk + 0.5) / (count if later else first)), chunk, folder / f"{chunk}.json"


def _play_chunk(task: _Task) -> str:
    """Return the name of what was played, or nothing where time is up."""
    scenario, rows = task.scenario, []
    rng = np.random.default_rng([SEED, zlib.crc32(scenario.name.encode()), task.chunk])
    for _ in range(CHUNK):
        if time.monotonic() >= task.until_s:
            return ""
        ended, seen = play(scenario, rng)
        rows.append(Played(ended, {name: rule(seen) for name, rule in RULES.items()} if scenario.watch_on else {}))
    write_chunk(task.file, rows)
    return scenario.name


def write_chunk(file: Path, rows: Sequence[Played]) -> None:
    """At once or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".part")
    unfinished.write_text(json.dumps([asdict(row) for row in rows], separators=(",", ":")), encoding="utf-8")
    unfinished.replace(file)


def read_chunk(file: Path) -> list[Played]:
    rows = json.loads(file.read_text(encoding="utf-8"))
    return [Played(_ended(row["ended"]), {name: tuple(of) for name, of in row["rivals"].items()}) for row in rows]


def _ended(row: dict[str, Any]) -> Ended:
    return Ended(**row | {"blamed": tuple(row["blamed"]), "waited": tuple(row["waited"])})


def _digest() -> str:
    """Of the sources that play a release; the planner, say, is none of them."""
    digest = hashlib.sha256()
    sources = [*_ROOT.glob("gates/**/*.py"), *_ROOT.glob("tests/bench/world/*.py"), _ROOT / "controller/core/policy.py"]
    for source in sorted(one.relative_to(_ROOT) for one in sources):
        if _BESIDE.isdisjoint((*source.parts, source.stem)):
            digest.update(source.as_posix().encode() + (_ROOT / source).read_bytes())
    return digest.hexdigest()[:16]
