"""What goes wrong when a test says so: answers that are refusals, servers that hang."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from tests.fakes.kubernetes.errors import ApiError
from tests.fakes.kubernetes.rights import Access

Concerns = Callable[[Access], bool]
_HANGS_S: Final = 600.0  # at most: no thread stays behind for ever


def everything(_: Access) -> bool:
    return True


def writes(access: Access) -> bool:
    return access.verb not in ("get", "list", "watch")


def _wait(over: threading.Event) -> None:
    over.wait(_HANGS_S)


@dataclass(slots=True)
class _Fault:
    concerns: Concerns
    left: int  # how many requests it meets yet
    error: ApiError | None = None
    before: Callable[[], None] | None = None


@dataclass(slots=True)
class Faults:
    """The faults in force, met in the order in which they were put in."""

    _faults: list[_Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, error: ApiError, *, times: int = 1, concerns: Concerns = everything) -> None:
        """Refuse the next requests of this kind."""
        with self._lock:
            self._faults.append(_Fault(concerns, times, error))

    def meanwhile(self, act: Callable[[], None], *, times: int = 1, concerns: Concerns = everything) -> None:
        """Call ``act`` just before such a request is carried out: somebody else was quicker."""
        with self._lock:
            self._faults.append(_Fault(concerns, times, before=act))

    @contextmanager
    def hanging(self, concerns: Concerns = everything) -> Iterator[None]:
        """Let such requests wait for an answer while the block lasts; then they are carried out."""
        over = threading.Event()
        fault = _Fault(concerns, 1_000_000, before=partial(_wait, over))
        with self._lock:
            self._faults.append(fault)
        try:
            yield
        finally:
            with self._lock:
                self._faults.remove(fault)
            over.set()

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def meet(self, access: Access) -> None:
        """Let the request meet what is in force. Raises the ApiError of the first fault that refuses it."""
        with self._lock:
            found = next((one for one in self._faults if one.left > 0 and one.concerns(access)), None)
            if found is not None:
                found.left -= 1
        if found is None:
            return
        if found.before is not None:
            found.before()
        if found.error is not None:
            raise found.error
