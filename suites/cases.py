"""The file format of a suite: JSON Lines, with one labelled case on each line."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from serving.text.jsonlines import Unreadable, lines, loads, read_bounded
from serving.text.printable import shown

_FIELDS = {"id", "text", "label", "slices", "inclusion_probability"}
_REQUIRED = ("id", "text", "label")
BYTES_MAX = 2**26
"""The size limit of a file: room for some hundred thousand cases. A replica is asked each of them."""
NAME_CHARS_MAX = 1_000


class SuiteError(ValueError):
    """A suite file that cannot be used. The message names the file, the line and the field."""


@dataclass(frozen=True, slots=True)
class Case:
    """One text and its true label. ``slices``: the names of groups that a policy may set floors for.

    ``inclusion_probability``: the chance that this case was chosen for the suite, above 0 and up to 1, if rare classes
    or doubtful texts were chosen more often than others. ``place``: the file and the line, for messages.
    """

    id: str
    text: str
    label: str
    slices: tuple[str, ...] = ()
    inclusion_probability: float = 1.0
    place: str = field(default="", compare=False)

    @property
    def named(self) -> str:
        """Return the beginning of a message about the case: ``cases.jsonl, line 7, case 'c7'``."""
        return f"{self.place}, case {shown(self.id)!r}" if self.place else f"case {shown(self.id)!r}"


@dataclass(frozen=True, slots=True)
class Suite:
    """A file of cases as it was read. ``sha256`` is the digest of its bytes."""

    name: str
    sha256: str
    cases: tuple[Case, ...]


def cases_of(suites: Sequence[Suite]) -> tuple[Case, ...]:
    """Return the cases of all suites. Ids are unique only within a file, so if there are several files, the file's name
    is put before each id."""
    if len(suites) == 1:
        return suites[0].cases
    names = [suite.name for suite in suites]
    named = [
        name if names.count(name) == 1 else f"{name}#{1 + names[:place].count(name)}"
        for place, name in enumerate(names)
    ]
    return tuple(
        replace(case, id=f"{name}:{case.id}") for name, suite in zip(named, suites, strict=True) for case in suite.cases
    )


def refuse_two_labels(one: Case, other: Case) -> None:
    """Raise SuiteError if two cases with the same text have different labels: at least one of them is wrong."""
    if one.label != other.label:
        raise SuiteError(
            f"{other.named}: its text is that of {one.named}, which is labelled {shown(one.label)!r}, but "
            f"this one {shown(other.label)!r}: one text has one true label"
        )


def load(path: Path) -> Suite:
    """Return the suite in the file, with its cases in order.

    Raises:
        SuiteError: the file is missing or empty, a line is not a case, two cases share an id, or one text has two
            labels.
    """
    try:
        content = read_bounded(path, BYTES_MAX)
    except Unreadable as error:
        raise SuiteError(f"{path}: {error}") from error
    cases = tuple(_parse(f"{path}, line {number}", line) for number, line in lines(content))
    if not cases:
        raise SuiteError(f"{path}: holds no case; write one JSON object per line with {', '.join(_REQUIRED)}")
    ids: dict[str, Case] = {}
    texts: dict[str, Case] = {}
    for case in cases:
        if (one := ids.setdefault(case.id, case)) is not case:
            raise SuiteError(
                f"{case.place}: two cases have the id {shown(case.id)!r}, see {one.place}; ids must be unique"
            )
        refuse_two_labels(texts.setdefault(case.text, case), case)
    return Suite(path.name, hashlib.sha256(content).hexdigest(), cases)


def _parse(where: str, line: bytes) -> Case:
    try:
        document: Any = loads(line)
    except Unreadable as error:
        raise SuiteError(f"{where}: {error}") from error
    if not isinstance(document, dict):
        raise SuiteError(f"{where}: expected an object with {', '.join(_REQUIRED)}")
    unknown = sorted(set(document) - _FIELDS)
    if unknown:
        raise SuiteError(f"{where}: unknown field {shown(unknown[0])!r}; a case has {', '.join(sorted(_FIELDS))}")
    if type(document.get("label")) is int:  # classes may be called 0 and 1, here as wherever labels are read
        document["label"] = str(document["label"])
    for name in _REQUIRED:
        if not (isinstance(document.get(name), str) and document[name].strip()):
            raise SuiteError(f"{where}: {name} must be a text that is not empty")
    slices = document.get("slices", [])
    if not (isinstance(slices, list) and all(isinstance(name, str) for name in slices)):
        raise SuiteError(f"{where}: slices must be a list of names")
    if len(set(slices)) != len(slices):
        raise SuiteError(f"{where}: slices must name each slice once")
    for key, name in (("id", document["id"]), ("label", document["label"]), *(("slices", name) for name in slices)):
        if len(name) > NAME_CHARS_MAX:
            raise SuiteError(f"{where}: {key}: a name has at most {NAME_CHARS_MAX:,} characters, one has {len(name):,}")
    chance = document.get("inclusion_probability", 1.0)
    if not (type(chance) in (int, float) and 0 < chance <= 1):
        raise SuiteError(f"{where}: inclusion_probability must be a number above 0 and up to 1")
    return Case(document["id"], document["text"], document["label"], tuple(slices), float(chance), where)
