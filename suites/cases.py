"""The file format of a suite: JSON Lines, one labelled case a line."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FIELDS = {"id", "text", "label", "slices"}
_REQUIRED = ("id", "text", "label")
_HALF_A_PAIR = re.compile("[\ud800-\udfff]")  # JSON can write it; neither a replica nor a journal takes it


class SuiteError(ValueError):
    """A suite file that cannot be used; names the file, the line and the field."""


@dataclass(frozen=True, slots=True)
class Case:
    """One text and its true label. ``slices`` are names of groups that a policy may set floors for."""

    id: str
    text: str
    label: str
    slices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Suite:
    """A file of cases as it was read: ``sha256`` is that of its bytes."""

    name: str
    sha256: str
    cases: tuple[Case, ...]


def cases_of(suites: Sequence[Suite]) -> tuple[Case, ...]:
    """All suites' cases. Ids differ within a file; two files may use the same, so the file's name goes before."""
    if len(suites) == 1:
        return suites[0].cases
    return tuple(Case(f"{suite.name}:{c.id}", c.text, c.label, c.slices) for suite in suites for c in suite.cases)


def load(path: Path) -> Suite:
    """The file, with every case in order.

    Raises:
        SuiteError: the file is missing, empty, or a line is not a case; or two cases share an id.
    """
    try:
        content = path.read_bytes()
        lines = content.decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(f"{path}: cannot be read: {error}") from error
    cases = tuple(_parse(path, number, line) for number, line in enumerate(lines, 1) if line.strip())
    if not cases:
        raise SuiteError(f"{path}: holds no case; write one JSON object a line with {', '.join(_REQUIRED)}")
    seen: set[str] = set()
    for case in cases:
        if case.id in seen:
            raise SuiteError(f"{path}: two cases have the id {case.id!r}; ids must be unique")
        seen.add(case.id)
    return Suite(path.name, hashlib.sha256(content).hexdigest(), cases)


def _parse(path: Path, number: int, line: str) -> Case:
    where = f"{path}, line {number}"
    try:
        document: Any = json.loads(line)
    except json.JSONDecodeError as error:
        raise SuiteError(f"{where}: not JSON: {error}") from error
    if not isinstance(document, dict):
        raise SuiteError(f"{where}: expected an object with {', '.join(_REQUIRED)}")
    unknown = sorted(set(document) - _FIELDS)
    if unknown:
        raise SuiteError(f"{where}: unknown field {unknown[0]!r}; a case has {', '.join(sorted(_FIELDS))}")
    for name in _REQUIRED:
        if not (isinstance(document.get(name), str) and document[name].strip()):
            raise SuiteError(f"{where}: {name} must be a text that is not empty")
    slices = document.get("slices", [])
    if not (isinstance(slices, list) and all(isinstance(name, str) for name in slices)):
        raise SuiteError(f"{where}: slices must be a list of names")
    if len(set(slices)) != len(slices):
        raise SuiteError(f"{where}: slices must name each slice once")
    case = Case(document["id"], document["text"], document["label"], tuple(slices))
    if _HALF_A_PAIR.search("".join((case.id, case.text, case.label, *case.slices))):
        raise SuiteError(f"{where}: half of a surrogate pair stands alone, which is no text")
    return case
