"""The registry of versions."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """One version in the registry. ``source_id`` is the logged model behind it (``m-...``), which outlives renames;
    a version number alone is no identity, because a recreated model starts again at 1."""

    model: str
    version: str
    source_id: str
    ready: bool  # the registry has finished taking it in
    fingerprint: str = ""  # of the package as it was registered, by its tags; "": they do not say


@dataclass(frozen=True, slots=True)
class LoggedCheckpoint:
    """The folder of a model that was logged as it was trained, and the run that logged it; "": none did."""

    folder: Path
    run: str


CANDIDATE = "candidate"
"""The alias that asks for a release of the version it points at."""
CHAMPION = "champion"
"""The alias that tells which version serves."""
FINGERPRINT_TAG = "serin.fingerprint"
"""The tag of a version that holds the SHA-256 of its package's manifest, which has the digest of everything else.

Files stay changeable after registration, and so do tags: what to compare with until the journal knows the version.
"""


class Registry(Protocol):
    def aliases_by_model(self, models: Collection[str]) -> Mapping[str, Mapping[str, str]]:
        """As `aliases`, of many at once: by model, those that are registered."""

    def aliases(self, model: str) -> Mapping[str, str]:
        """Alias -> version, all of the model's."""

    def version(self, model: str, version: str) -> RegisteredVersion:
        """Raises PermanentError where there is no such version or its source is not allowed."""

    def fetch(self, version: RegisteredVersion, into: Path) -> Path:
        """Download the version's package (data only; nothing of it is executed) and return its directory.

        The files are not yet trusted: verify them against their manifest.
        """

    def move_alias(self, model: str, alias: str, version: str, *, expected: str | None) -> None:
        """Point the alias at the version, having found it at ``expected`` (or at the version already).

        Reads before and after the write, because the registry has no compare-and-swap.

        Raises:
            ConflictError: the alias stood, or stands afterwards, somewhere else; the message says where.
        """

    def drop_alias(self, model: str, alias: str, *, expected: str) -> None:
        """Remove the alias if it points at ``expected``."""

    def tag(self, model: str, version: str, tags: Mapping[str, str]) -> None:
        """Set tags on a version, for people to read. Of what is set here nothing is read back."""
