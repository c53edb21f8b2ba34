"""Requests from strangers, and their results: the answers, and what a witness knows of them. On the machine itself the
witness is the access log, and the absence of the texts from all logs."""

import secrets
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from controller.adapters.local.drill_requests import asked
from controller.core.drills import Check
from gates.outcome import Outcome
from serving.text.jsonlines import Unreadable, lines, loads

REQUESTS: Final = 150  # the alert wants more than 100 within 15 minutes
EVERY_S: Final = 0.1
_TIMEOUT_S: Final = 5.0
_UNAUTHORIZED: Final = 401
_TAIL_BYTES: Final = 2**24


class Witness(Protocol):
    """The witness of refusals besides those who are refused."""

    def begin(self) -> None:
        """Take what there is by now for what was before."""

    def told(self) -> str:
        """Return what it knows of refusals since then, in a sentence; empty if nothing."""

    def checks(self, sent: int, word: str) -> Sequence[Check]:
        """Return what it found once so many were sent, all with this word."""


@dataclass
class Strangers:
    """``body``: makes the request's body from a word that occurs nowhere else."""

    url: str
    body: Mapping[str, object]
    field_path: str  # of the text in the body
    witness: Witness
    ca_file: Path | None = None
    requests: int = REQUESTS
    every_s: float = EVERY_S
    _word: str = field(default_factory=lambda: f"drill{secrets.token_hex(8)}")
    _statuses: Counter[str] = field(default_factory=Counter)
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _told: bool = False

    @property
    def targets(self) -> Sequence[str]:
        return [f"{self.requests} requests to {self.url}"]

    def begin(self) -> str:
        self.witness.begin()
        self._thread = threading.Thread(target=self._send, name="drill")
        self._thread.start()
        return f"{self.requests} requests without a token, or with an unknown one, are sent to {self.url}"

    def _send(self) -> None:
        for number in range(self.requests):
            if self._over.wait(self.every_s):
                return
            token = {} if number % 2 else {"authorization": f"Bearer {secrets.token_urlsafe(32)}"}
            document = {**self.body, self.field_path: self._word}
            answer = asked(self.url, document, token, timeout_s=_TIMEOUT_S, ca_file=self.ca_file)
            self._statuses[answer.how] += 1

    def end(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def broken_off(self) -> str:
        return ""

    def told(self) -> Sequence[str]:
        if self._told or not (told := self.witness.told()):
            return ()
        self._told = True
        return (told,)

    def is_over(self) -> bool:
        return self._thread is not None and not self._thread.is_alive()

    def checks(self) -> Sequence[Check]:
        sent, refused = self._statuses.total(), self._statuses[str(_UNAUTHORIZED)]
        others = ", ".join(f"{times} times {status}" for status, times in sorted(self._statuses.items()))
        own = Check(
            "Whoever shows no known token is refused",
            Outcome.PASS if sent and refused == sent else Outcome.FAIL if sent else Outcome.INCONCLUSIVE,
            f"{refused} of {sent} were ({others or 'none was sent'}).",
        )
        return (own, *self.witness.checks(sent, self._word))


@dataclass
class Logs:
    """Implements ``Witness``. ``access_log``: says who asked; ``folders``: log folders in which the word must not
    occur."""

    access_log: Path
    folders: Sequence[Path]
    _offset: int = 0

    def begin(self) -> None:
        self._offset = self.access_log.stat().st_size if self.access_log.exists() else 0

    def told(self) -> str:
        return f"{self.access_log.name} shows {refused} refused" if (refused := self._refused_in_log()) else ""

    def checks(self, sent: int, word: str) -> Sequence[Check]:
        logged = self._refused_in_log()
        kind = Outcome.PASS if logged >= sent else Outcome.FAIL
        named = Check("The access log lists those that were refused", kind, f"{logged} lines for {sent} requests.")
        told = [str(path) for path in self._files() if word.encode() in _tail(path)]
        kind = Outcome.FAIL if told else Outcome.PASS
        found = f"It is in {', '.join(told)}." if told else "It is in none of them."
        return (named, Check("No text is in a log", kind, found))

    def _files(self) -> Sequence[Path]:
        return sorted(path for folder in self.folders for path in folder.glob("*.log"))

    def _refused_in_log(self) -> int:
        try:
            with self.access_log.open("rb") as log:
                log.seek(self._offset)
                content = log.read(_TAIL_BYTES)
        except OSError:
            return 0
        return sum(1 for _, line in lines(content) if _status(line) == _UNAUTHORIZED)


def _status(line: bytes) -> object:
    try:
        found = loads(line)
    except Unreadable:
        return None
    return found.get("status") if isinstance(found, dict) else None


def _tail(path: Path) -> bytes:
    try:
        with path.open("rb") as log:
            log.seek(max(0, log.seek(0, 2) - _TAIL_BYTES))
            return log.read()
    except OSError:
        return b""
