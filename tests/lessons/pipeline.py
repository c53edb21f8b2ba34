"""`serin` as a pipeline runs it: a process of its own, with an environment of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.patience import PATIENCE_S

INTENTS = Path(__file__).parents[2] / "suites" / "intents"
SERIN = Path(sys.executable).with_name("serin")


def environment(temporary: Path, **changes: str) -> dict[str, str]:
    """Without a home of anybody's; temporary folders are made in ``temporary``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SERIN_")}
    return {**kept, "TMPDIR": str(temporary), "SERIN_HOME": str(temporary / "no-home"), **changes}


def serin(*arguments: object, temporary: Path, **changes: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [SERIN, *map(str, arguments)],
        capture_output=True,
        env=environment(temporary, **changes),
        timeout=PATIENCE_S,
        check=False,
    )


def started(*arguments: object, temporary: Path, **how: Any) -> subprocess.Popen[bytes]:
    """The caller ends it."""
    return subprocess.Popen([SERIN, *map(str, arguments)], env=environment(temporary), **how)


def replicas_of(package: Path) -> list[psutil.Process]:
    """Every process that serves the package, whoever started it."""
    return [
        process
        for process in psutil.process_iter(["cmdline", "status"])
        if process.info["status"] != psutil.STATUS_ZOMBIE
        and {str(package), "serving"} <= set(process.info["cmdline"] or ())
    ]


def cases(count: int, **changes: Any) -> list[dict[str, Any]]:
    """The first cases of the committed suite, changed."""
    lines = (INTENTS / "suite.jsonl").read_text(encoding="utf-8").splitlines()[:count]
    return [json.loads(line) | changes for line in lines]


def written(path: Path, documents: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("\n".join(json.dumps(document) for document in documents), encoding="utf-8")
    return path
