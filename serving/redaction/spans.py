"""The place where something was found."""

from typing import Final, NamedTuple

EMAIL: Final = "EMAIL"
PHONE: Final = "PHONE"
CARD: Final = "CARD"
IBAN: Final = "IBAN"
NATIONAL_ID: Final = "NATIONAL_ID"
HOST: Final = "HOST"
SECRET: Final = "SECRET"  # noqa: S105  (the name of a kind)


class Span(NamedTuple):
    """Characters ``start`` to ``end`` (exclusive) are of this kind: capitals and underscores."""

    start: int
    end: int
    kind: str
