"""The terms that tools for annotation share with Serin: what a request carries there and back, and how their times are
read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from controller.api.labels import Item, Reading
from controller.ports.samples import LabelRequest
from serving.text.jsonlines import Unreadable

REQUEST_ID: Final = "serin_request_id"
PROBABILITY: Final = "serin_inclusion_probability"
CHOSEN: Final = "serin_chosen"
MODEL: Final = "serin_model"


class Chosen(StrEnum):
    """The reason why a request is asked for."""

    CHANCE = "chance"
    DISAGREEMENT = "disagreement"  # of two versions: its label is directed


@dataclass(frozen=True, slots=True)
class Event:
    """The labels that a webhook tells of, each to be read. Of any other action there are none."""

    action: str
    items: tuple[Item, ...] = ()
    skipped: int = 0  # annotators may pass a text over: that is no label


def readable(readings: Sequence[Reading | None]) -> tuple[tuple[Item, ...], int]:
    """Return the labels to be read with their places, and how many are none (None), as of a text that was passed
    over."""
    kept = tuple((number, one) for number, one in enumerate(readings) if one is not None)
    return kept, len(readings) - len(kept)


def carried_by(request: LabelRequest) -> dict[str, object]:
    """Return what the request carries through a tool, by flat keys, so that each can be a metadata property."""
    return {
        REQUEST_ID: request.request_id,
        PROBABILITY: request.inclusion_probability,
        CHOSEN: (Chosen.DISAGREEMENT if request.directed else Chosen.CHANCE).value,
        MODEL: request.model,
    }


def brought_back(carried: Any, place: str) -> dict[str, object]:
    """Return what a label is told of by what its request carried, under the keys of a label.

    Raises:
        Unreadable: the request is none of Serin's, or what it carried was changed; names the key.
    """
    values = mapping(carried, place)
    if REQUEST_ID not in values:
        raise Unreadable("missing: this was not handed out by Serin", f"{place}.{REQUEST_ID}")
    chosen = values.get(CHOSEN, Chosen.CHANCE)
    if chosen not in list(Chosen):
        raise Unreadable(f"must be one of {', '.join(Chosen)}", f"{place}.{CHOSEN}")
    return {
        "request_id": values[REQUEST_ID],
        "directed": chosen == Chosen.DISAGREEMENT,
        "inclusion_probability": values.get(PROBABILITY, 1.0),
    }


def mapping(value: Any, place: str) -> Mapping[str, Any]:
    """Return the value, which is an object. Raises Unreadable where it is none."""
    if not isinstance(value, Mapping):
        raise Unreadable("missing" if value is None else "must be an object", place)
    return value


def sequence(value: Any, place: str) -> list[Any]:
    """Return the value, which is a list. Raises Unreadable where it is none."""
    if not isinstance(value, list):
        raise Unreadable("missing" if value is None else "must be a list", place)
    return value


def seconds_of(time: Any, place: str) -> float:
    """Return unix seconds of an ISO 8601 time; without an offset it is UTC. Raises Unreadable where it is none."""
    try:
        found = datetime.fromisoformat(time)
    except (TypeError, ValueError):
        raise Unreadable("must be a time as 2026-11-27T08:30:00Z", place) from None
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
