"""Many releases of a scenario, in several processes, kept as they come: what was played is not played again.

Results lie under a digest of the gates and of this world, so that a change of either starts anew.
"""

import hashlib
import json
import multiprocessing
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

CHUNK = 50
SEED = 2026
_REPOSITORY = Path(__file__).parents[3]
_SOURCES = ("gates/*.py", "tests/bench/world/*.py")
_NOT_PLAYED = {"page.py", "plots.py", "rows.py", "runs.py"}


@dataclass(frozen=True, slots=True)
class Played:
    """How one release ended, and when each of the other rules would have rolled it back, by kind of evidence."""

    ended: Ended
    rivals: dict[str, Found]


def played(work: Sequence[tuple[Scenario, int]], *, processes: int) -> dict[str, list[Played]]:
    """Play each scenario so many times (rounded up to whole chunks of 50); by the scenario's name."""
    folder = RESULTS / "gates-runs" / _digest()
    folder.mkdir(parents=True, exist_ok=True)
    files = {scenario.name: folder / f"{_slug(scenario)}.jsonl" for scenario, _ in work}
    missing = [
        (scenario, chunk)
        for scenario, runs in work
        for chunk in range(-(-runs // CHUNK))
        if chunk not in _chunks(files[scenario.name])
    ]
    with multiprocessing.Pool(processes, maxtasksperchild=50) as pool:
        for done, (name, chunk, line) in enumerate(pool.imap_unordered(_play_chunk, missing), start=1):
            with files[name].open("a", encoding="utf-8") as file:
                file.write(line + "\n")
            print(f"{done} of {len(missing)} chunks: {name} {chunk}", flush=True)
    return {
        scenario.name: [
            one
            for chunk, rows in sorted(_chunks(files[scenario.name]).items())
            if chunk < -(-runs // CHUNK)
            for one in _read(rows)
        ]
        for scenario, runs in work
    }


def _play_chunk(task: tuple[Scenario, int]) -> tuple[str, int, str]:
    scenario, chunk = task
    rng = np.random.default_rng([SEED, zlib.crc32(scenario.name.encode()), chunk])
    rows = []
    for _ in range(CHUNK):
        ended, seen = play(scenario, rng)
        rivals = {name: rule(seen) for name, rule in RULES.items()} if len(seen) == scenario.looks else {}
        rows.append({"ended": asdict(ended), "rivals": rivals})
    return scenario.name, chunk, json.dumps({"chunk": chunk, "rows": rows}, separators=(",", ":"))


def _chunks(file: Path) -> dict[int, list[dict[str, Any]]]:
    """Complete lines only: the last one may have been cut off."""
    if not file.exists():
        return {}
    found = {}
    for line in file.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("}\n"):
            entry = json.loads(line)
            found[entry["chunk"]] = entry["rows"]
    return found


def _read(rows: Sequence[dict[str, Any]]) -> Iterator[Played]:
    for row in rows:
        yield Played(Ended(**row["ended"]), {name: tuple(found) for name, found in row["rivals"].items()})


def _slug(scenario: Scenario) -> str:
    return hashlib.sha256(scenario.name.encode()).hexdigest()[:12]


def _digest() -> str:
    digest = hashlib.sha256()
    for pattern in _SOURCES:
        for file in sorted(_REPOSITORY.glob(pattern)):
            if file.name not in _NOT_PLAYED:
                digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
