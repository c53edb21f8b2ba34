"""Files of rows for the runs, and the runs themselves, as commands."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.patience import PATIENCE_S
from tests.serving.replica import REPOSITORY

Rows = Sequence[Mapping[str, Any]]


def command(artifact: Path, *arguments: object) -> list[str]:
    return [sys.executable, "-m", "serving.batch", "--artifact", str(artifact), *map(str, arguments)]


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write_jsonl(path: Path, rows: Rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def score(artifact: Path, *arguments: object, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        command(artifact, *arguments),
        cwd=REPOSITORY,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
