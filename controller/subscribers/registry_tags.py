"""The registry is told how releases ended: tags for people to read, and the candidate alias of what was promoted."""

from typing import Final

from controller.core.events import PhaseEntered
from controller.core.release import TERMINAL, Phase
from controller.journal.codec import event_of
from controller.ports.journal import RecordedEntry, ReleaseLists, release_of_stream
from controller.ports.registry import CANDIDATE, Registry

REASON_CHARS_MAX: Final = 500


class RegistryTags:
    """Follows the ends of releases (`controller.subscribers.feed.Subscriber`)."""

    name: Final = "registry tags"
    kinds: Final = (PhaseEntered.__name__,)

    def __init__(self, registry: Registry, releases: ReleaseLists) -> None:
        self._registry = registry
        self._releases = releases

    def take(self, entry: RecordedEntry) -> None:
        event = event_of(entry)
        if not isinstance(event, PhaseEntered) or event.phase not in TERMINAL:
            return
        release = self._releases.summary(release_of_stream(entry.stream))
        if release is None:
            return
        reason = release.reason[:REASON_CHARS_MAX]
        tags = {"serin.outcome": release.phase, "serin.release": release.release_id, "serin.reason": reason}
        self._registry.tag(release.model, release.version, tags)
        if event.phase is Phase.PROMOTED:
            self._registry.drop_alias(release.model, CANDIDATE, expected=release.version)
