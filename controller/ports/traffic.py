"""The data plane's routing."""

from collections.abc import Sequence
from typing import Protocol

from controller.core.abilities import TrafficAbilities
from controller.core.traffic import Drift, Override, TrafficTable, WriteProgress


class Traffic(Protocol):
    """The data plane's routing, held where a rollback can reach it with nothing else alive."""

    def abilities(self, model: str) -> TrafficAbilities:
        """Return what the data plane can do for the model.

        Raises:
            TransientError: it cannot be asked.
        """

    def models(self) -> Sequence[str]:
        """Those that have a table."""

    def read(self, model: str) -> TrafficTable | None:
        """The table as it stands there, or None where the model has never been routed."""

    def write(self, table: TrafficTable, *, over: Drift | None = None) -> None:
        """Replace the model's table atomically. What somebody else made of it is replaced only where it is just
        ``over``.

        Raises:
            ConflictError: the stored generation is not ``table.generation - 1``, or the stored table is not as it was
                written, and not ``over`` either: somebody wrote meanwhile.
            PermanentError: a version has no endpoint, or the data plane cannot serve such a table.
        """

    def retreat(self, model: str, to: str | None, override: Override) -> TrafficTable:
        """Send every request to version ``to``, or else to the known good one, whatever table stands there, and return
        the one that does from now on: the way back that waits for no record. It says who asked, when and why.

        Raises:
            UsageError: there is nowhere to go: the model was never routed, or has no known good version.
            SerinError: what else keeps it from being written, as `write`.
        """

    def progress(self, model: str) -> WriteProgress | None:
        """Return how far the table written last has come; None where the model has never been routed. A data plane
        that does not answer is a ``detail``.

        Costs no user's request, and little enough to be asked for hundreds of models at each round.

        Raises:
            PermanentError: something else answers in the data plane's place.
        """

    def drift(self, model: str) -> Drift | None:
        """Return what somebody made of the stored table past every writer of Serin's; None where it stands as it was
        written. An on-call rollback is a writer of Serin's: its table says so (``override``)."""
