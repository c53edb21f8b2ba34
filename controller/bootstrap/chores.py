"""The chores of `serin up` beside its processes: room on the disk, Envoy's files, the clock."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from controller.adapters.envoy.admin import BOOTSTRAP_FILE
from controller.adapters.envoy.held import settle
from controller.adapters.envoy.tables import (
    CLUSTERS_FILE,
    ENDPOINTS_FILE,
    ENDPOINTS_FOLDER,
    ROUTES_FILE,
    mend_clusters,
    mend_routes,
)
from controller.adapters.local.clockwatch import ClockWatch
from controller.bootstrap.alerting import follow_policies
from controller.bootstrap.phases import PhaseChanges
from controller.config.settings import Home, Settings
from controller.errors import SerinError, Source, TransientError, our_fault
from controller.reserve import is_full, keep_reserve

_RESERVE_EVERY_S: Final = 5.0
_FILES_EVERY_S: Final = 0.5
_MEMORY_EVERY_S: Final = 1.0
_CLOCK_EVERY_S: Final = 1.0
_RULES_EVERY_S: Final = 2.0
_PHASES_EVERY_S: Final = 2.0

Chore = Callable[[], None]


def chores_of(home: Home, write_bootstrap: Chore, tell: Callable[[str], None]) -> Sequence[Chore]:
    """Each raises what keeps it from being done, and is called again."""
    clock = ClockWatch()

    def watch_clock() -> None:
        if (step := clock.step()) is not None:
            tell(step)

    def told(chore: Callable[[Path], tuple[str, ...]]) -> Chore:
        def do() -> None:
            for sentence in chore(home.envoy):
                tell(sentence)

        return do

    kept = {
        (ROUTES_FILE,): told(mend_routes),
        (ENDPOINTS_FILE, CLUSTERS_FILE, ENDPOINTS_FOLDER): told(mend_clusters),
        (BOOTSTRAP_FILE,): write_bootstrap,
    }
    return (
        _Every(_RESERVE_EVERY_S, lambda: _keep_reserve(home)),
        *(
            _Every(_FILES_EVERY_S, _WhenChanged([home.envoy / name for name in names], chore))
            for names, chore in kept.items()
        ),
        _Every(_MEMORY_EVERY_S, told(settle)),
        _Every(_CLOCK_EVERY_S, watch_clock),
    )


def rules_chore(home: Home, settings: Settings) -> Chore:
    """Return what has Prometheus follow the policies: by what they are now, every few seconds."""
    return _Every(_RULES_EVERY_S, follow_policies(home, settings))


def phases_chore(home: Home, tell: Callable[[str], None]) -> Chore:
    """Return what tells of releases, as they go on: every few seconds."""
    return _Every(_PHASES_EVERY_S, PhaseChanges(home, tell))


def _keep_reserve(home: Home) -> None:
    try:
        roomy = keep_reserve(home.path) and not is_full(home.path)
    except OSError as error:
        raise our_fault(Source.DISK, f"{home.path} cannot be written", error) from error
    if not roomy:
        raise TransientError(
            Source.DISK,
            f"the disk of {home.path} is almost full: make room. Rollbacks use the space that is reserved for them",
        )


class _Every:
    """A chore that is due once in so many seconds."""

    def __init__(self, period_s: float, chore: Chore) -> None:
        self._period_s = period_s
        self._chore = chore
        self._due_s = 0.0
        self._failed: Exception | None = None

    def __call__(self) -> None:
        """Raises what kept it from being done the last time, until it is done."""
        now_s = time.monotonic()
        if now_s >= self._due_s:
            self._due_s, self._failed = now_s + self._period_s, None
            try:
                self._chore()
            except (SerinError, OSError) as error:
                self._failed = error
        if self._failed is not None:
            raise self._failed


class _WhenChanged:
    """A chore that is due when one of the files is another than when it was done last."""

    def __init__(self, files: Sequence[Path], chore: Chore) -> None:
        self._files = files
        self._chore = chore
        self._done: Sequence[tuple[int, ...] | None] = ()

    def __call__(self) -> None:
        seen = self._seen()
        if self._done != seen:
            self._chore()
            self._done = seen

    def _seen(self) -> Sequence[tuple[int, ...] | None]:
        return [_signature(file) for file in self._files]


def _signature(file: Path) -> tuple[int, ...] | None:
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
