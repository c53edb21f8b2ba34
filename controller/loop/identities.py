"""The identities by which the journal knows versions: the fingerprint of a version's first sight counts, whatever the
registry says later."""

from dataclasses import replace

from controller.core.release import SERVED, Version
from controller.core.serving import ServingPolicy
from controller.journal.codec import release_of
from controller.ports.journal import Journal


class Identities:
    """The identities of versions, each found by one look-up in an index of the journal."""

    def __init__(self, journal: Journal) -> None:
        self._versions = journal
        self._served: dict[tuple[str, str], tuple[str, ServingPolicy]] = {}  # model, number -> release id, settings

    def of(self, model: str, number: str) -> Version:
        """Return the version that served last under this number; only its number if the journal knows no more."""
        known = self._versions.known(model, number)
        return Version(number) if known is None else Version(number, *known)

    def recognised(self, model: str, version: Version) -> Version:
        """Return the version with the fingerprint of its first sight; unchanged if there was none."""
        first = self._versions.fingerprint(model, version.number, version.source_id)
        return replace(version, fingerprint=first or version.fingerprint)

    def served_with(self, model: str, number: str) -> ServingPolicy:
        """Return the settings that the version was last promoted with; the defaults if the journal knows none."""
        newest = self._versions.newest(model, SERVED, version=number)
        if newest is None:
            return ServingPolicy()
        known = self._served.get((model, number))
        if known is None or known[0] != newest.release_id:
            record = self._versions.release(newest.release_id)
            settings = release_of(record).served_with(Version(number)) if record is not None else ServingPolicy()
            known = self._served[model, number] = newest.release_id, settings
        return known[1]

    def released(self, model: str, version: Version) -> bool:
        """Return whether a release to promote the version was ever begun."""
        return self._versions.released(model, version.number, version.source_id)
