"""The data plane's routing."""

from collections.abc import Sequence
from typing import Protocol

from controller.core.traffic import TrafficTable


class Traffic(Protocol):
    """The data plane's routing, held where a rollback can reach it with nothing else alive."""

    def models(self) -> Sequence[str]:
        """Those that have a table."""

    def read(self, model: str) -> TrafficTable | None:
        """The table as written, or None where the model has never been routed."""

    def write(self, table: TrafficTable) -> None:
        """Replace the model's table atomically.

        Raises:
            ConflictError: the stored generation is not ``table.generation - 1``: somebody wrote meanwhile.
        """

    def confirmed_generation(self, model: str) -> int | None:
        """The generation that the data plane itself says it routes by; None where it does not know the model."""
