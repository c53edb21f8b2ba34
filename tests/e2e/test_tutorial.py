"""docs/tutorial.md, played: a team's own model with thirty imbalanced classes, on an installation of real processes."""

import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from suites.intents.demo.installation import SERIN, Installation, installation
from tests.e2e.conftest import WITHIN_S, alone
from tests.own_model import CLASSES, NEW_CLASS, POSITIONS, examples, write_cases, write_checkpoint
from tests.patience import eventually

pytestmark = pytest.mark.integration

PAGE = (Path(__file__).parents[2] / "docs/tutorial.md").read_text(encoding="utf-8")
LOST = CLASSES[8]
CASES = 500


def block(kind: str, *, of: str = "") -> str:
    """The page's first block of the kind after the heading that begins so."""
    found = re.search(rf"```{kind}\n(.*?)```", PAGE[PAGE.index(f"## {of}") :], re.DOTALL)
    assert found is not None
    return found[1]


def played(folder: Path, home: Path, part: str) -> list[subprocess.CompletedProcess[str]]:
    """The commands of a part of the page, one after the other."""
    done = []
    for line in block("sh", of=part).splitlines():
        name, *arguments = shlex.split(line)
        assert name == "serin"
        command = [SERIN, *arguments, *([] if arguments[0] == "policy" else ["--home", str(home)])]
        done.append(subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=1_500))
    return done


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the page says is there."""
    there = tmp_path / "work"
    write_checkpoint(there / "checkpoints" / "v1")
    write_checkpoint(there / "checkpoints" / "v2", classes=(*CLASSES, NEW_CLASS))
    write_checkpoint(there / "checkpoints" / "v3", classes=(*CLASSES, NEW_CLASS), lost=[LOST])
    write_cases(there / "cases.jsonl", examples(CASES, seed=11))
    write_cases(there / "held-out.jsonl", examples(1_000, seed=12))
    write_cases(there / "traffic.jsonl", examples(6_000, seed=13, classes=31))
    (there / "policy.yaml").write_text(block("yaml", of="1."), encoding="utf-8")
    (there / "users.py").write_text(block("python", of="4."), encoding="utf-8")
    return there


@contextmanager
def users(folder: Path, serin: Installation) -> Iterator[dict[str, Any]]:
    """The page's users while the block lasts; what they got is filled in at the end."""
    flags = [serin.gateway, serin.api, str(serin.label_token_file), "traffic.jsonl", "900"]
    process = subprocess.Popen([sys.executable, "users.py", *flags], cwd=folder, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = {}
    try:
        yield found
    finally:
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
        found.update(json.loads(output))


def release(serin: Installation, release_id: str) -> Any:
    found = serin.release(release_id)
    assert found is not None
    return found["state"]


def test_the_tutorial_takes_an_own_model_all_the_way(
    folder: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path / "home"
    (checked,) = played(folder, home, "1.")
    assert checked.returncode == 0, checked.stderr
    with alone(tmp_path_factory), installation(home, folder / "policy.yaml", lambda _: None) as serin:
        packaged, gated, registered, started = played(folder, home, "3.")
        assert (packaged.returncode, gated.returncode) == (0, 0), packaged.stderr + gated.stdout + gated.stderr
        assert f"Texts longer than {POSITIONS} tokens" in packaged.stdout
        assert "was last used with 12, which does not count" in packaged.stdout
        assert "fitted on held-out.jsonl, 1000 cases" in packaged.stdout
        assert "It has 30 classes; there is no champion" in registered.stdout
        assert started.returncode == 0, started.stdout + started.stderr

        write_cases(folder / "cases.jsonl", examples(CASES, seed=14, classes=31))
        with users(folder, serin) as got:
            policy = home / "policies" / "tickets.yaml"  # changed while users ask
            policy.write_text(policy.read_text().replace("probation_s: 3600", "probation_s: 1800"), encoding="utf-8")
            registered, started, status, reported = played(folder, home, "5.")
            assert f"and the champion (version 1) 30; new: '{NEW_CLASS}'" in registered.stdout
            assert started.returncode == 0, started.stdout + started.stderr + status.stdout
            second = release(serin, "tickets-v2-1")
            assert second["policy"]["probation_s"] == 1_800
            assert f"stable has no class '{NEW_CLASS}'" in second["verdicts"]["accuracy.suite"]["reason"]
            assert second["origin"]["fitted_on"].startswith("held-out.jsonl, 1000 cases")
            assert reported.returncode == 0
            page = (folder / "reports" / "tickets-v2-1.html").read_text(encoding="utf-8")
            assert "fitted on held-out.jsonl" in page
            eventually(lambda: serving(serin) == "2", within_s=WITHIN_S, what="version 2 serves")

            _, started = played(folder, home, "6.")
            assert started.returncode == 1, started.stdout + started.stderr
            third = release(serin, "tickets-v3-1")
            assert third["blamed"] == ["accuracy.suite"]
            assert f"of class {LOST} the candidate finds" in third["verdicts"]["accuracy.suite"]["reason"]
        assert serving(serin) == "2"
        assert got["sent"] > 100
        assert got["failed"] == 0


def serving(serin: Installation) -> str:
    import httpx

    answer = httpx.post(f"{serin.gateway}/models/tickets/predict", json={"text": "my order"}, trust_env=False)
    return str(answer.json()["model_version"])
