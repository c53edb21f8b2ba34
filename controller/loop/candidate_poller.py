"""Watch the registry for a version that wants to be released. Polling is the truth; a webhook only makes it sooner."""

from dataclasses import dataclass
from functools import partial

from controller.core.release import Version
from controller.errors import TransientError
from controller.loop.jobs import InlineJobs, Jobs, Running
from controller.ports.artifacts import Artifacts
from controller.ports.clock import Clock
from controller.ports.registry import CANDIDATE, CHAMPION, Registry


@dataclass(frozen=True, slots=True)
class _Answer:
    version: Version | None
    answered: bool = True


class CandidatePoller:
    """The poller of what the alias ``candidate`` points at, asked at most every ``poll_s``, and less often while nobody
    answers."""

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
        self._due_at_s: dict[str, float] = {}
        self._found: dict[str, Version | None] = {}

    def hint(self) -> None:
        """Somebody says that the registry changed: ask again at the next occasion."""
        self._due_at_s.clear()

    def candidate(self, model: str) -> Version | None:
        """The version under the alias ``candidate``, unless it is the champion already; None while not known.

        Raises:
            PermanentError: the alias points at a version whose source is not allowed.
        """
        now_s = self._clock.monotonic_s()
        if now_s < self._due_at_s.get(model, now_s):
            return self._found.get(model)
        found = self._jobs.ask("registry", ("candidate", model), "candidate", partial(self._asked, model), patience_s=0)
        if isinstance(found, Running):
            return self._found.get(model)
        self._due_at_s[model] = now_s + (self._poll_s if found.answered else self._away_s)
        self._found[model] = found.version
        return found.version

    def _asked(self, model: str) -> _Answer:
        try:
            aliases = self._registry.aliases(model)
            number = aliases.get(CANDIDATE)
            if number is None or number == aliases.get(CHAMPION):
                return _Answer(None)
            return _Answer(self._artifacts.identify(model, number))
        except TransientError:
            return _Answer(None, answered=False)
