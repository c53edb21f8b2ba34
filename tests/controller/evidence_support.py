"""Evidence files and policy files for the commands that read them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from controller.core.policy import ReleasePolicy
from controller.offline.evidence_file import Recorded, RecordedLook, evidence_of, line_of, looks_of
from tests.controller.report_support import Journal


def recorded(journal: Journal) -> tuple[RecordedLook, ...]:
    return tuple(looks_of(journal.entries))


def lines_of(journal: Journal) -> tuple[Recorded, ...]:
    """All that is exported: what the suites were judged by, and the looks."""
    return tuple(evidence_of(journal.entries))


def write_evidence(path: Path, lines: Iterable[Recorded]) -> Path:
    path.write_text("".join(line_of(line) + "\n" for line in lines), encoding="utf-8")
    return path


def write_policy(path: Path, policy: ReleasePolicy) -> Path:
    """As a user would write it, with every key; JSON is YAML."""
    document: dict[str, Any] = TypeAdapter(ReleasePolicy).dump_python(policy, mode="json")
    path.write_text(json.dumps({"apiVersion": "serin/v1", "kind": "ReleasePolicy"} | document), encoding="utf-8")
    return path
