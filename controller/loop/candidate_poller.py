"""Watch the registry for a version that wants to be released. Polling is the truth; a webhook only makes it sooner."""

from controller.core.release import Version
from controller.errors import TransientError
from controller.loop.packages import PackageStore
from controller.ports.clock import Clock
from controller.ports.registry import CANDIDATE, CHAMPION, Registry


class CandidatePoller:
    """What the alias ``candidate`` points at, asked at most every ``poll_s``, and less often while nobody answers."""

    def __init__(
        self, registry: Registry, packages: PackageStore, clock: Clock, *, poll_s: float = 2.0, away_s: float = 15.0
    ) -> None:
        self._registry = registry
        self._packages = packages
        self._clock = clock
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
        now_s = self._clock.now_s()
        if now_s < self._due_at_s.get(model, now_s):
            return self._found.get(model)
        self._due_at_s[model] = now_s + self._poll_s
        self._found[model] = None
        try:
            aliases = self._registry.aliases(model)
            number = aliases.get(CANDIDATE)
            if number is not None and number != aliases.get(CHAMPION):
                self._found[model] = self._packages.identify(model, number)
        except TransientError:
            self._due_at_s[model] = now_s + self._away_s
        return self._found[model]
