"""What the journal knows versions by: the fingerprint of their first sight, whatever the registry says since."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from controller.core.release import Phase, Release, Version
from controller.journal.codec import release_of
from controller.ports.journal import Journal

_HISTORY_MAX = 10_000
_SERVED = frozenset({Phase.PROMOTED, Phase.PROBATION})


@dataclass(slots=True)
class _Known:
    """Of one model. A number may have been given again, so fingerprints are known by number and source."""

    fingerprints: dict[tuple[str, str], str] = field(default_factory=dict)
    served: dict[str, Version] = field(default_factory=dict)  # by number: the one that served last
    seen: dict[str, Version] = field(default_factory=dict)  # by number: the one that was seen last

    def take_in(self, releases: Iterable[Release]) -> None:
        """From the oldest on: the first sight of a version counts, and the last one to serve under its number."""
        for release in releases:
            for version in (release.stable, release.fallback, release.candidate):
                if version is None or not (version.source_id and version.fingerprint):
                    continue
                first = self.fingerprints.setdefault((version.number, version.source_id), version.fingerprint)
                known = replace(version, fingerprint=first)
                self.seen[version.number] = known
                if version is not release.candidate or release.phase in _SERVED:
                    self.served[version.number] = known


class Identities:
    """Answers from the journal, read once a model and kept up to date by ``note``."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._known: dict[str, _Known] = {}

    def of(self, model: str, number: str) -> Version:
        """The version that served last under this number; its number alone where the journal knows no more."""
        known = self._of_model(model)
        return known.served.get(number) or known.seen.get(number) or Version(number)

    def recognised(self, model: str, version: Version) -> Version:
        """The version as the registry names it, with the fingerprint of its first sight if there was one."""
        first = self._of_model(model).fingerprints.get((version.number, version.source_id), "")
        return replace(version, fingerprint=first or version.fingerprint)

    def note(self, release: Release) -> None:
        """Take in what a release has come to know."""
        if release.model in self._known:
            self._known[release.model].take_in((release,))

    def _of_model(self, model: str) -> _Known:
        if model not in self._known:
            known = _Known()
            records = self._journal.releases(model=model, limit=_HISTORY_MAX)
            known.take_in(release_of(record) for record in reversed(records))
            self._known[model] = known
        return self._known[model]
