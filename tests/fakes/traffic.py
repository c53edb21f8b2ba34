"""A data plane in memory. Passes the contract of tests/contracts/traffic.py."""

from collections.abc import Mapping
from dataclasses import replace

from controller.core.abilities import Mirroring, TrafficAbilities
from controller.core.traffic import Drift, Override, TrafficTable, WriteProgress, WriteStage
from controller.errors import ConflictError, PermanentError, SerinError, Source, UsageError

ABLE = TrafficAbilities(
    name="memory",
    mirroring=Mirroring.GATEWAY_BOTH_WAYS,
    mirror_step_pct=0.0001,
    weight_step_pct=0.01,
    versions_max=10_000,
    sticky_by_header=True,
)


class MemoryTraffic:
    """Implements ``Traffic``. Routes to any version, or only to those in ``running`` where that is given.

    ``outage``: raised by every call while it is set. ``reaches``: how far what is written comes from now on, and
    ``detail`` why no further. ``able``: what it can do. ``history``: every table written, oldest first.
    """

    def __init__(self, *, running: set[tuple[str, str]] | None = None) -> None:
        self.running = running
        self.outage: SerinError | None = None
        self.reaches = WriteStage.SERVED
        self.detail = ""
        self.able = ABLE
        self.history: list[TrafficTable] = []
        self._tables: dict[str, TrafficTable] = {}
        self._written: dict[str, TrafficTable] = {}  # as a writer of Serin's left them
        self._served: dict[str, int] = {}  # generations

    def abilities(self, model: str) -> TrafficAbilities:  # noqa: ARG002 - the same for each
        self._check_reachable()
        return self.able

    def models(self) -> tuple[str, ...]:
        self._check_reachable()
        return tuple(sorted(self._tables))

    def read(self, model: str) -> TrafficTable | None:
        self._check_reachable()
        return self._tables.get(model)

    def write(self, table: TrafficTable, *, over: Drift | None = None) -> None:
        self._check_reachable()
        stored, edit = self._tables.get(table.model), self.drift(table.model)
        if edit != over and edit is not None:
            raise ConflictError(Source.TRAFFIC, f"the traffic table of {table.model} was edited by somebody else")
        if stored == table and edit is None:
            return
        generation = stored.generation if stored else 0
        if generation != table.generation - 1:
            raise ConflictError(Source.TRAFFIC, f"the traffic table of {table.model} is at generation {generation}")
        versions = set(table.weights_pct) | ({table.mirror.version} if table.mirror else set())
        missing = [v for v in sorted(versions) if self.running is not None and (table.model, v) not in self.running]
        if missing:
            raise PermanentError(f"version {', '.join(missing)} of {table.model} has no endpoint")
        self._tables[table.model] = self._written[table.model] = table
        self.history.append(table)

    def retreat(self, model: str, to: str | None, override: Override) -> TrafficTable:
        table = self.read(model)
        target = to or (table.known_good if table is not None else None)
        if table is None or target is None:
            raise UsageError(f"{model} has nowhere to go back to")
        back = table.back(target, override)
        self.write(back, over=self.drift(model))
        return back

    def edit(self, model: str, weights_pct: Mapping[str, float]) -> None:
        """What somebody does past every writer of Serin's."""
        self._tables[model] = replace(self._tables[model], weights_pct=weights_pct)

    def delete(self, model: str) -> None:
        """As ``edit``: the table is gone."""
        del self._tables[model]

    def stop(self) -> None:
        """Nothing is taken up any more."""
        self.reaches, self.detail = WriteStage.WRITTEN, "the data plane does not answer"

    def go_on(self) -> None:
        """Everything is, at once."""
        self.reaches, self.detail = WriteStage.SERVED, ""

    def progress(self, model: str) -> WriteProgress | None:
        self._check_reachable()
        table = self._tables.get(model)
        if table is None:
            return None
        if self.reaches is WriteStage.SERVED:
            self._served[model] = table.generation
        if self._served.get(model) == table.generation:
            return WriteProgress(table.generation, WriteStage.SERVED)
        return WriteProgress(table.generation, self.reaches, self.detail)

    def drift(self, model: str) -> Drift | None:
        self._check_reachable()
        found, written = self._tables.get(model), self._written.get(model)
        if found == written:
            return None
        if found is None:
            return Drift("", f"the table of {model} was deleted")
        shares = ", ".join(f"version {version} {pct:g} %" for version, pct in found.weights_pct.items())
        return Drift(shares, f"the table of {model} is not as Serin wrote it (now {shares})", "ben")

    def _check_reachable(self) -> None:
        if self.outage is not None:
            raise self.outage
