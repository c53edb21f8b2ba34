"""The versions and routes of a cluster for people to see. While the cluster does not answer, the last known state is
shown."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from controller.core.abilities import TrafficAbilities
from controller.core.traffic import TrafficTable
from controller.errors import SerinError
from controller.ports.clock import Clock
from controller.ports.runtime import DeploymentStatus
from controller.ports.traffic import Traffic

Running = Mapping[str, Mapping[str, DeploymentStatus]]
Seen = TypeVar("Seen")

_AWAY_S: Final = 5.0
"""How long a cluster that did not answer is not asked again: nobody who asks for the status should have to wait for
it."""


class ClusterSight:
    """Implements ``Sight``. Any thread may ask."""

    def __init__(self, running: Callable[[], Running], traffic: Traffic, clock: Clock) -> None:
        """``running`` returns what runs, by model and version; it may raise as ``Deployments.status`` does."""
        self._ask_running = running
        self._traffic = traffic
        self._clock = clock
        self._tables: Sequence[TrafficTable] = ()
        self._running: Running = {}
        self._edits: Sequence[str] = ()
        self._away: tuple[float, str] | None = None  # when it last failed to answer (monotonic), and the error

    def tables(self) -> Sequence[TrafficTable]:
        self._tables = self._asked(self.read_tables, self._tables)
        return self._tables

    def running(self) -> Running:
        self._running = self._asked(self._ask_running, self._running)
        return self._running

    def troubles(self) -> Sequence[str]:
        self._edits = self._asked(self._read_edits, self._edits)
        if self._away is None:
            return self._edits
        seen = bool(self._tables or self._running)
        shown = "the last known state is shown" if seen else "its versions and its traffic are not shown"
        return (f"the cluster cannot be read ({self._away[1]}): {shown}", *self._edits)

    def abilities(self) -> TrafficAbilities | None:
        return self._asked(lambda: self._traffic.abilities(""), None)

    def _asked(self, ask: Callable[[], Seen], otherwise: Seen) -> Seen:
        now_s = self._clock.monotonic_s()
        if self._away is not None and now_s - self._away[0] < _AWAY_S:
            return otherwise
        try:
            found = ask()
        except SerinError as error:
            self._away = (self._clock.monotonic_s(), str(error))
            return otherwise
        self._away = None
        return found

    def read_tables(self) -> Sequence[TrafficTable]:
        """Return the current table of every model. Raises TransientError if the cluster does not answer."""
        found = (self._traffic.read(model) for model in self._traffic.models())
        return tuple(table for table in found if table is not None)

    def _read_edits(self) -> Sequence[str]:
        models = sorted({*self._traffic.models(), *self._ask_running()})
        drifts = ((model, self._traffic.drift(model)) for model in models)
        return tuple(
            f"{drift.what}; undo the edit, or replace it: `serin rollback {model}`"
            for model, drift in drifts
            if drift is not None
        )
