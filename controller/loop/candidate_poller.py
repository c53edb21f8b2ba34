"""The watch for versions to be released: polls the registry. A webhook only makes the next poll come earlier."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from threading import Lock

from controller.core.release import Version
from controller.errors import CandidateRefusedError, PermanentError, TransientError
from controller.loop.jobs import InlineJobs, Jobs, Running
from controller.ports.artifacts import Artifacts
from controller.ports.clock import Clock
from controller.ports.registry import CANDIDATE, CHAMPION, Registry

Aliases = Mapping[str, Mapping[str, str]]  # by model


@dataclass(frozen=True, slots=True)
class _Answer:
    """The registry's answer about a candidate. ``version`` is None if the registry did not answer (``answered``)."""

    version: Version | None
    answered: bool = True


class CandidatePoller:
    """The poller of the alias ``candidate``. The aliases of all models are read in one request, at most every
    ``poll_s`` seconds, and every ``away_s`` seconds while the registry does not answer; the details of a candidate are
    read model by model. Any thread may call."""

    def __init__(
        self,
        registry: Registry,
        artifacts: Artifacts,
        clock: Clock,
        jobs: Jobs | None = None,
        *,
        poll_s: float = 2.0,
        away_s: float = 15.0,
    ) -> None:
        self._registry = registry
        self._artifacts = artifacts
        self._clock = clock
        self._jobs = jobs or InlineJobs()
        self._poll_s = poll_s
        self._away_s = away_s
        self._lock = Lock()
        self._models: set[str] = set()  # the models that callers have asked for
        self._aliases: Aliases = {}
        self._asked: frozenset[str] = frozenset()  # the models of the last request
        self._told: frozenset[str] = frozenset()  # the models in the registry's last answer
        self._due_s = -math.inf
        self._turn = 0  # the number of the request: one begun before a hint does not count as its answer
        self._due_at_s: dict[str, float] = {}  # model -> when its candidate's details are read again
        self._found: dict[str, Version | None] = {}
        self._refused: dict[str, CandidateRefusedError] = {}

    def hint(self) -> None:
        """Read the registry again at the next call, because it is said to have changed."""
        with self._lock:
            self._due_s = -math.inf
            self._turn += 1
            self._due_at_s.clear()

    def candidate(self, model: str) -> Version | None:
        """Return the version under the alias ``candidate``. None if there is none, if it is the champion already, or if
        it is not known yet.

        Raises:
            CandidateRefusedError: the alias points at a version whose source is not allowed.
        """
        now_s = self._clock.monotonic_s()
        aliases = self._aliases_at(model, now_s).get(model, {})
        number = aliases.get(CANDIDATE)
        if number is None or number == aliases.get(CHAMPION):
            self._forget(model)
            return None
        known, refused = self._found.get(model), self._refused.get(model)
        if number not in (known.number if known else number, refused.version if refused else number):
            self._forget(model)
            known = refused = None
        elif now_s < self._due_at_s.get(model, now_s):
            if refused is not None:
                raise refused
            return known
        ask = partial(self._identified, model, number)
        try:
            found = self._jobs.ask("registry", ("candidate", model), number, ask, patience_s=0)
        except PermanentError as error:
            self._due_at_s[model] = now_s + self._poll_s
            self._found.pop(model, None)
            self._refused[model] = CandidateRefusedError(number, str(error))
            raise self._refused[model] from error
        if isinstance(found, Running):
            if refused is not None:
                raise refused
            return known
        self._due_at_s[model] = now_s + (self._poll_s if found.answered else self._away_s)
        if refused is not None and not found.answered:
            raise refused
        self._refused.pop(model, None)
        self._found[model] = found.version
        return found.version

    def standing(self, model: str) -> str | None:
        """Return the version number that the alias ``candidate`` last pointed at; "": at none; None: not read yet."""
        with self._lock:
            return self._aliases.get(model, {}).get(CANDIDATE, "") if model in self._told else None

    def _forget(self, model: str) -> None:
        self._found.pop(model, None)
        self._refused.pop(model, None)

    def _aliases_at(self, model: str, now_s: float) -> Aliases:
        """Return the aliases as last read; read again if that is due, or if the model was not in the last request."""
        with self._lock:
            self._models.add(model)
            if now_s < self._due_s and model in self._asked:
                return self._aliases
            asked, turn = frozenset(self._models), self._turn
        found = self._jobs.ask("registry", "aliases", turn, partial(self._read, asked), patience_s=0)
        if isinstance(found, Running):
            return self._aliases
        with self._lock:
            self._asked, aliases = found
            if turn == self._turn:
                self._due_s = now_s + (self._poll_s if aliases is not None else self._away_s)
                self._turn += 1
            if aliases is not None:
                self._aliases, self._told = aliases, self._asked
            return self._aliases

    def _read(self, models: frozenset[str]) -> tuple[frozenset[str], Aliases | None]:
        try:
            return models, self._registry.aliases_by_model(models)
        except TransientError:
            return models, None

    def _identified(self, model: str, number: str) -> _Answer:
        try:
            return _Answer(self._artifacts.identify(model, number))
        except TransientError:
            return _Answer(None, answered=False)
