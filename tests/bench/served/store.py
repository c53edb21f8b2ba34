"""Parts that were measured stay measured: an interrupted run goes on where it was, until what it measures changes."""

import dataclasses
import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from tests.bench._table import Bar
from tests.serving.replica import REPOSITORY

SOURCES: Final = (
    "serving",
    "tests/bench/rivals",
    *(
        f"tests/bench/served/{name}.py"
        for name in ("measure", "models", "own", "rivals", "switches", "within", "without")
    ),
    "tests/bench/_load.py",
    "tests/bench/batch.py",
    "constraints.txt",
)
"""A change in one of these makes every part out of date."""


class Store:
    """Rows by the name of their part, each in a file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / _digest()

    def rows(self, part: str, measure: Callable[[], Iterable[Bar]]) -> list[Bar]:
        file = self._folder / f"{part}.json"
        if file.exists():
            print(f"{part}: measured before", flush=True)
        else:
            began_s, load = time.monotonic(), os.getloadavg()[0]
            print(f"{part}: load average {load:.1f} …", end=" ", flush=True)
            rows = [*measure(), Bar(f"{part}: load average before", load, "")]
            print(f"{time.monotonic() - began_s:.0f} s", flush=True)
            if not all(math.isfinite(row.value) for row in rows):
                return rows  # what could not be measured is tried again the next time
            self._folder.mkdir(parents=True, exist_ok=True)
            whole = file.with_suffix(".part")
            whole.write_text(json.dumps([dataclasses.asdict(row) for row in rows]), encoding="utf-8")
            whole.rename(file)
        return [Bar(**row) for row in json.loads(file.read_text(encoding="utf-8"))]

    def forget(self) -> None:
        for file in self._folder.glob("*.json"):
            file.unlink()


def _digest() -> str:
    digest = hashlib.sha256()
    for source in SOURCES:
        path = REPOSITORY / source
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and file.suffix != ".pyc":
                digest.update(f"{file.relative_to(REPOSITORY)}\n".encode() + file.read_bytes())
    return digest.hexdigest()[:16]
