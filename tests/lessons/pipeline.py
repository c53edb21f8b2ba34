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


_EACH = """
import json, os, sys
from controller.bootstrap import gate
from controller.cli import app, main
from controller.config import policy_file
from controller.offline import ci_gate, ci_gate_files

codes = []
for number, arguments in enumerate(json.load(sys.stdin)):
    child = os.fork()
    if not child:
        for stream in (1, 2):
            os.dup2(os.open(f"{number}.{stream}", os.O_CREAT | os.O_WRONLY, 0o600), stream)
        sys.argv = ["serin", *arguments]
        sys.exit(main())
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(json.dumps(codes))
"""


def serin_each(
    calls: Sequence[Sequence[object]], *, temporary: Path, folder: Path
) -> list[subprocess.CompletedProcess[bytes]]:
    """As `serin` for each of the calls, one after another, each a process of its own that finds Serin imported: what is
    printed is kept in the folder, which is made."""
    folder.mkdir()
    lists = [list(map(str, arguments)) for arguments in calls]
    done = subprocess.run(
        [sys.executable, "-c", _EACH], input=json.dumps(lists), text=True, cwd=folder, stdout=subprocess.PIPE,
        env=environment(temporary), timeout=PATIENCE_S, check=True,
    )  # fmt: skip
    return [
        subprocess.CompletedProcess(arguments, code, *((folder / f"{n}.{stream}").read_bytes() for stream in (1, 2)))
        for n, (arguments, code) in enumerate(zip(lists, json.loads(done.stdout), strict=True))
    ]


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
