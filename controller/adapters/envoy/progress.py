"""The progress of a revision of the route file, asked of Envoy once for all models and kept for a moment."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Final

from controller.adapters.envoy.running import PROBES, accepted_revision, served_revision
from controller.core.traffic import WriteStage
from controller.errors import TransientError

_KEPT_S: Final = 1.0  # what is served stays so while Envoy answers
_ASKED_AGAIN_S: Final = 0.1  # what is not served yet, or does not answer
_STUCK_S: Final = 2.0  # after the file was written: Envoy takes it over within a fraction of that
_LOG_BYTES: Final = 65_536
_LOGGED: Final = re.compile(  # when, how bad, by which part, and where in its code
    r"^\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+)\]\[\d+\]\[\w+\]\[(\w+)\] (?:\[[^]]*\] )?", re.MULTILINE
)
_IGNORED: Final = "Unknown field"  # which Envoy leaves out, and takes the rest
_SAID_MAX: Final = 300  # characters


@dataclass(frozen=True, slots=True)
class _Found:
    """The revisions found at a moment of the monotonic clock, or why Envoy did not say."""

    at_s: float
    served: int = 0
    accepted: int = 0
    silence: str = ""


class RouteProgress:
    """Asks the running Envoy of ``directory``. ``log``: where it writes why it does not take a file."""

    def __init__(self, directory: Path, log: Path | None, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._log = log
        self._clock_s = clock_s
        self._lock = Lock()
        self._found: _Found | None = None

    def forget(self) -> None:
        """Ask again at the next call: a file was written."""
        with self._lock:
            if self._found is not None:
                self._found = _Found(self._clock_s() - _ASKED_AGAIN_S, self._found.served, self._found.accepted)

    def of(self, revision: int, written_at_s: float) -> tuple[WriteStage, str]:
        """Return how far the revision has got, and why no further. ``written_at_s``: since when it exists.

        Raises:
            PermanentError: something else answers in Envoy's place.
        """
        found = self._asked(revision)
        if found.silence:
            return WriteStage.WRITTEN, found.silence
        if found.served >= revision:
            return WriteStage.SERVED, ""
        if found.accepted >= revision:
            stage, why = WriteStage.ACCEPTED, f"some of Envoy's workers still route by revision {found.served}"
        else:
            refusal = _refusal(self._log, since_s=written_at_s)
            if refusal:
                return WriteStage.REJECTED, f"Envoy rejects routes.json: {refusal}"
            stage, why = WriteStage.WRITTEN, f"Envoy has not read revision {revision} of routes.json"
        waited_s = time.time() - written_at_s
        return stage, why if not 0 <= waited_s < _STUCK_S else ""

    def _asked(self, revision: int) -> _Found:
        """One caller asks; others who come meanwhile wait for its answer."""
        with self._lock:
            found, now_s = self._found, self._clock_s()
            if found is not None:
                kept_s = _KEPT_S if found.served >= revision and not found.silence else _ASKED_AGAIN_S
                if now_s - found.at_s < kept_s:
                    return found
            self._found = self._ask(revision, found.served if found is not None else 0)
            return self._found

    def _ask(self, revision: int, served_before: int) -> _Found:
        """A revision that was served stays so: that Envoy still answers is all that is asked then."""
        try:
            served = served_revision(self._directory, probes=1 if served_before >= revision else PROBES)
            accepted = served if served >= revision else accepted_revision(self._directory)
        except TransientError as error:
            return _Found(self._clock_s(), silence=str(error))
        return _Found(self._clock_s(), served, accepted)


def _refusal(log: Path | None, *, since_s: float) -> str:
    """Return the reason that Envoy logged last for not taking a configuration, since unix time ``since_s``; empty where
    it logged none."""
    if log is None:
        return ""
    try:
        with log.open("rb") as file:
            file.seek(max(file.seek(0, 2) - _LOG_BYTES, 0))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    entries = list(_LOGGED.finditer(text))
    for entry, following in zip(entries[::-1], [None, *entries[:0:-1]], strict=True):
        at_s = datetime.strptime(entry[1], "%Y-%m-%d %H:%M:%S.%f").astimezone().timestamp()
        if at_s < since_s - 1:
            return ""
        said = text[entry.end() : following.start() if following is not None else len(text)]
        if entry[2] == "config" and not said.startswith(_IGNORED):
            return _shortened(" ".join(said.split()))
    return ""


def _shortened(said: str) -> str:
    """The reason without the file, all of which Envoy repeats before it comes to the point."""
    return said if len(said) <= _SAID_MAX else f"… {said[-_SAID_MAX:]}"
