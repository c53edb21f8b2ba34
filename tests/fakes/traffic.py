"""A data plane in memory. Passes the contract of tests/contracts/traffic.py."""

from controller.core.traffic import TrafficTable
from controller.errors import ConflictError, PermanentError, SerinError, Source


class MemoryTraffic:
    """Implements ``Traffic``. Routes to any version, or only to those in ``running`` where that is given.

    ``outage``: raised by every call while it is set. ``confirms``: whether writes are taken up by the data plane.
    ``history``: every table written, oldest first.
    """

    def __init__(self, *, running: set[tuple[str, str]] | None = None) -> None:
        self.running = running
        self.outage: SerinError | None = None
        self.confirms = True
        self.history: list[TrafficTable] = []
        self._tables: dict[str, TrafficTable] = {}
        self._confirmed: dict[str, int] = {}

    def models(self) -> tuple[str, ...]:
        self._check_reachable()
        return tuple(sorted(self._tables))

    def read(self, model: str) -> TrafficTable | None:
        self._check_reachable()
        return self._tables.get(model)

    def write(self, table: TrafficTable) -> None:
        self._check_reachable()
        stored = self._tables.get(table.model)
        if stored == table:
            return
        generation = stored.generation if stored else 0
        if generation != table.generation - 1:
            raise ConflictError(Source.TRAFFIC, f"the traffic table of {table.model} stands at generation {generation}")
        versions = set(table.weights_pct) | ({table.mirror.version} if table.mirror else set())
        missing = [v for v in sorted(versions) if self.running is not None and (table.model, v) not in self.running]
        if missing:
            raise PermanentError(f"version {', '.join(missing)} of {table.model} has no endpoint")
        self._tables[table.model] = table
        self.history.append(table)
        if self.confirms:
            self._confirmed[table.model] = table.generation

    def confirmed_generation(self, model: str) -> int | None:
        self._check_reachable()
        return self._confirmed.get(model)

    def _check_reachable(self) -> None:
        if self.outage is not None:
            raise self.outage
