"""The data plane's routing."""

from collections.abc import Sequence
from typing import Protocol

from controller.core.abilities import TrafficAbilities
from controller.core.traffic import Drift, Override, TrafficTable, WriteProgress


class Traffic(Protocol):
    """The data plane's routing, stored where a rollback can change it while nothing else works."""

    def abilities(self, model: str) -> TrafficAbilities:
        """Return what the data plane can do for the model.

        Raises:
            TransientError: the data plane does not answer.
        """

    def models(self) -> Sequence[str]:
        """Return the models that have a traffic table."""

    def read(self, model: str) -> TrafficTable | None:
        """Return the stored traffic table; None if the model has never been routed."""

    def write(self, table: TrafficTable, *, over: Drift | None = None) -> None:
        """Replace the model's table atomically. A table that somebody edited without Serin is replaced only if the edit
        is exactly ``over``.

        Raises:
            ConflictError: the stored generation is not ``table.generation - 1``, or the stored table is neither as
                Serin wrote it nor ``over``: somebody else wrote.
            PermanentError: a version has no endpoint, or the data plane cannot serve such a table.
        """

    def retreat(self, model: str, to: str | None, override: Override) -> TrafficTable:
        """Send every request to version ``to`` (None: to the known good version), whatever the stored table is, and
        return the new table. This rollback does not wait for the journal; ``override`` records who asked, when and why.

        Raises:
            UsageError: the model was never routed, or has no known good version.
            SerinError: the table cannot be written, as in `write`.
        """

    def progress(self, model: str) -> WriteProgress | None:
        """Return how far the table written last has come; None if the model has never been routed. A data plane that
        does not answer is reported in ``detail``.

        The call sends no user request, and is cheap enough for hundreds of models in each round.

        Raises:
            PermanentError: another process answers in place of the data plane.
        """

    def drift(self, model: str) -> Drift | None:
        """Return the change that somebody made to the stored table without Serin; None if the table is as written. An
        on-call rollback with `serin` is no such change: its table says so (``override``)."""
