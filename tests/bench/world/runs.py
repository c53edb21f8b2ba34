"""Many releases of a scenario, in several processes, kept as they come: what was played is not played again.

Results lie under a digest of what playing loads of the gates and of this world, so that a change of it starts anew.
"""

import hashlib
import json
import multiprocessing
import operator
import sys
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench._table import RESULTS
from tests.bench.world.release import Ended, play
from tests.bench.world.rivals import RULES, Found
from tests.bench.world.scenarios import Scenario

CHUNK = 10
SEED = 2026
_PLAYED = ("gates.", "tests.bench.world.")
_BESIDE = frozenset(f"tests.bench.world.{name}" for name in ("page", "plots", "preview", "rows", "runs"))


@dataclass(frozen=True, slots=True)
class Played:
    """How one release ended, and when each of the other rules would have rolled it back, by kind of evidence."""

    ended: Ended
    rivals: dict[str, Found]


def played(work: Sequence[tuple[Scenario, int]], *, processes: int) -> dict[str, list[Played]]:
    """Play each scenario so many times (rounded up to whole chunks of 10); by the scenario's name."""
    kept = RESULTS / "gates-runs" / _digest()
    files = {
        scenario.name: [_file(kept, scenario, chunk) for chunk in range(-(-runs // CHUNK))] for scenario, runs in work
    }
    missing = sorted(  # some of everything first: what goes wrong shows early
        (
            (scenario, chunk, file)
            for scenario, _ in work
            for chunk, file in enumerate(files[scenario.name])
            if not file.exists()
        ),
        key=operator.itemgetter(1),
    )
    with multiprocessing.Pool(processes, maxtasksperchild=50) as pool:
        for done, name in enumerate(pool.imap_unordered(_play_chunk, missing), start=1):
            print(f"{done} of {len(missing)}: {name}", flush=True)
    return {name: [one for file in chunks for one in read_chunk(file)] for name, chunks in files.items()}


def _play_chunk(task: tuple[Scenario, int, Path]) -> str:
    scenario, chunk, file = task
    rng = np.random.default_rng([SEED, zlib.crc32(scenario.name.encode()), chunk])
    rows = []
    for _ in range(CHUNK):
        ended, seen = play(scenario, rng)
        rows.append(Played(ended, {name: rule(seen) for name, rule in RULES.items()} if seen else {}))
    write_chunk(file, rows)
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


def _file(kept: Path, scenario: Scenario, chunk: int) -> Path:
    return kept / hashlib.sha256(scenario.name.encode()).hexdigest()[:12] / f"{chunk}.json"


def _digest() -> str:
    """Of the sources that are loaded to play a release; the planner, say, is none of them."""
    digest = hashlib.sha256()
    for name, module in sorted(sys.modules.items()):
        if name.startswith(_PLAYED) and name not in _BESIDE and module.__file__:
            digest.update(Path(module.__file__).read_bytes())
    return digest.hexdigest()[:16]
