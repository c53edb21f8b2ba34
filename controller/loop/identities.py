"""What the journal knows versions by: the fingerprint of their first sight, whatever the registry says since."""

from dataclasses import replace

from controller.core.release import Version
from controller.ports.journal import Versions


class Identities:
    """Answers from the journal, each by one look at an index of it."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions

    def of(self, model: str, number: str) -> Version:
        """The version that served last under this number; its number alone where the journal knows no more."""
        known = self._versions.known(model, number)
        return Version(number) if known is None else Version(number, *known)

    def recognised(self, model: str, version: Version) -> Version:
        """The version as the registry names it, with the fingerprint of its first sight if there was one."""
        first = self._versions.fingerprint(model, version.number, version.source_id)
        return replace(version, fingerprint=first or version.fingerprint)

    def released(self, model: str, version: Version) -> bool:
        """Whether a release to promote the version was ever begun."""
        return self._versions.released(model, version.number, version.source_id)
