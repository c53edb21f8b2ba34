"""A feed of labels, read one by one, so that a wrong one refuses nothing but itself; and what became of each."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from pydantic import ValidationError

from controller.api.bodies import LabelBody, LabelsBody, first_fault
from controller.api.errors import ApiError
from controller.core.counted import agreed, counted
from controller.core.labels import LabelsTaken, UnknownName
from controller.ports.samples import Label
from gates.wording import perhaps, quoted_name
from serving.text.jsonlines import Unreadable, lines, loads, loads_marked, numbers_checked, texts_checked

AHEAD_S_MAX: Final = 86_400.0  # a label's time may be so far in the future: clocks differ, and time zones are mistaken


Reading = Callable[[], Any]
Item = tuple[int, Reading]
"""A place in a feed, and what gives the label there, or raises Unreadable."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A label that was not taken: its place in the feed, and why."""

    place: int  # a line from 1, or an index from 0
    request_id: str | None
    field: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Feed:
    """The part of a feed that was read. ``unit`` is what places count: ``line``, ``index``, or what a tool calls it."""

    unit: str
    labels: tuple[Label, ...]
    places: tuple[int, ...]  # of the labels
    refused: tuple[Refused, ...]

    @property
    def received(self) -> int:
        return len(self.labels) + len(self.refused)

    def answer(self, taken: LabelsTaken) -> "FeedAnswer":
        """Return what became of each label, with the places that the sender knows."""
        contradictions = [
            Refused(
                self.places[one.place], one.request_id, "label", "contradiction", _contradiction(one.before, one.now)
            )
            for one in taken.refused
        ]
        refused = sorted([*self.refused, *contradictions], key=lambda one: one.place)
        return FeedAnswer(self.unit, self.received, tuple(refused), taken)


@dataclass(frozen=True, slots=True)
class FeedAnswer:
    """The result of a feed."""

    unit: str
    received: int
    refused: tuple[Refused, ...]
    taken: LabelsTaken

    def as_json(self) -> dict[str, object]:
        names = self.taken.unknown_names
        return {
            "received": self.received,
            "taken": self.taken.taken,
            "repeated": self.taken.repeated,
            "corrected_late": self.taken.corrected_late,
            "refused": [self._refused(one) for one in self.refused],
            "unknown_classes": self.taken.unknown_classes,
            "unknown_names": [
                {"name": one.name, "labels": one.labels, "nearest": one.nearest or None} for one in names
            ],
            "unmatched_requests": self.taken.unmatched_requests,
            "unmatched_request_ids": list(self.taken.unmatched_ids),
        }

    @property
    def exit_code(self) -> int:
        """0 all taken or known, 1 some refused, 3 some that are no evidence, since they name no class."""
        if self.refused:
            return 1
        return 3 if self.taken.unknown_classes else 0

    @property
    def sentence(self) -> str:
        taken = self.taken
        parts = [counted(self.received, "label"), f"{taken.taken:,} taken", f"{taken.repeated:,} known before"]
        parts.append(f"{len(self.refused):,} refused")
        if taken.corrected_late:
            parts.append(f"{counted(taken.corrected_late, 'correction')} too late, kept on record")
        names = ", ".join(map(_named, taken.unknown_names))
        unknown, unmatched = taken.unknown_classes, taken.unmatched_requests
        parts.append(f"{unknown:,} {agreed(unknown, 'name')} no class" + (f" ({names})" if names else ""))
        ids = ", ".join(map(quoted_name, taken.unmatched_ids))
        parts.append(f"{unmatched:,} {agreed(unmatched, 'match')} no sampled request" + (f" ({ids})" if ids else ""))
        return "; ".join(parts) + "."

    def _refused(self, one: Refused) -> dict[str, object]:
        told = {"request_id": one.request_id, "field": one.field or None, "code": one.code, "message": one.message}
        return {self.unit: one.place, **told}


def read_lines(content: bytes, *, now_s: float, count_max: int | None = None) -> Feed:
    """The labels of JSON Lines.

    Raises:
        ApiError: not one of the lines is a label; says why the first one is none. Or there are more than ``count_max``.
    """
    if count_max is not None and sum(1 for _ in lines(content)) > count_max:
        message = f"labels: more than {count_max:,} lines; send them in parts, or give the file to 'serin labels'"
        raise ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", message, field="labels")
    return read_items("line", ((number, _of_line(line)) for number, line in lines(content)), now_s=now_s)


def read_body(content: bytes, *, now_s: float) -> Feed:
    """The labels of ``{"labels": [...]}``.

    Raises:
        ApiError: it is no such object, or not one of the labels can be read; says why.
    """
    try:
        document = loads_marked(content, twice_marked=True)
        if isinstance(document, dict):  # its labels are read one by one
            numbers_checked({key: value for key, value in document.items() if not isinstance(value, list)})
    except Unreadable as error:
        raise ApiError(HTTPStatus.BAD_REQUEST, "json", f"body: {error}", field=error.place or None) from error
    try:
        labels = LabelsBody.model_validate(document).labels
    except ValidationError as error:
        field, fault = first_fault(LabelsBody, error)
        message = f"{field or 'body'}: {fault}"
        raise ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", message, field=field or None) from error
    return read_items("index", ((index, _of_value(value)) for index, value in enumerate(labels)), now_s=now_s)


def _of_line(line: bytes) -> Reading:
    return lambda: loads(line)


def _of_value(value: Any) -> Reading:
    return lambda: texts_checked(numbers_checked(value))


def read_items(unit: str, items: Iterable[Item], *, now_s: float) -> Feed:
    """The labels of items that are read one by one.

    Raises:
        ApiError: there are items, and not one is a label; says why the first one is none.
    """
    labels: list[Label] = []
    places: list[int] = []
    refused: list[Refused] = []
    for place, reading in items:
        found = _label(place, reading, now_s)
        if isinstance(found, Refused):
            refused.append(found)
        else:
            labels.append(found)
            places.append(place)
    if refused and not labels:
        raise _nothing_read(unit, refused[0])
    return Feed(unit, tuple(labels), tuple(places), tuple(refused))


def _label(place: int, reading: Reading, now_s: float) -> Label | Refused:
    try:
        value = reading()
    except Unreadable as error:
        code = "json" if not error.place else "invalid"
        return Refused(place, None, error.place, code, str(error))
    request_id = _request_id(value)
    try:
        label = LabelBody.model_validate(value).to_label(now_s)
    except ValidationError as error:
        field, fault = first_fault(LabelBody, error)
        return Refused(place, request_id, field, "invalid", f"{field or 'label'}: {fault}")
    if label.at_s > now_s + AHEAD_S_MAX:
        days = (label.at_s - now_s) / AHEAD_S_MAX
        message = f"at_s: {label.at_s:.0f} is {days:,.1f} days in the future; it is when the label was given"
        return Refused(place, request_id, "at_s", "invalid", message)
    return label


def _request_id(value: object) -> str | None:
    found = value.get("request_id") if isinstance(value, Mapping) else None
    return found if isinstance(found, str) else None


def _nothing_read(unit: str, first: Refused) -> ApiError:
    """Return the error of a feed of which nothing was read. Where it stands is told as the sender counts: a line, or a
    place in the list."""
    where = f"labels[{first.place}]" if unit == "index" else f"{unit} {first.place}"
    between = "." if unit == "index" else " "
    field = f"{where}{between}{first.field}" if first.field else where
    status = HTTPStatus.BAD_REQUEST if first.code == "json" else HTTPStatus.UNPROCESSABLE_ENTITY
    return ApiError(status, first.code, f"{where}: {first.message}", field=field)


def _contradiction(before: str, now: str) -> str:
    return f"label: this source said {before!r} before and says {now!r} now; to correct it, send it with corrects: true"


def _named(one: UnknownName) -> str:
    hint = perhaps(one.name, one.nearest)
    return f"{quoted_name(one.name)} {counted(one.labels, 'time')}" + (f", {hint}" if hint else "")
