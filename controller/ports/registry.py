"""The registry of versions."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """One version in the registry. ``source_id`` is the logged model behind it (``m-...``), which survives renames.
    The version number alone is no identity: if the model is created again, its numbers start at 1 again."""

    model: str
    version: str
    source_id: str
    ready: bool  # the registry has finished registering the version
    fingerprint: str = ""  # of the package as registered, according to its tags; "": there is no such tag


@dataclass(frozen=True, slots=True)
class LoggedCheckpoint:
    """The folder of a model that was logged in training. ``run``: the run that logged it; "": none."""

    folder: Path
    run: str


CANDIDATE = "candidate"
"""The alias that asks for a release of the version it points at."""
CHAMPION = "champion"
"""The alias of the version promoted last."""
FINGERPRINT_TAG = "serin.fingerprint"
"""The tag of a version that holds the SHA-256 of its package's manifest, which has the digest of every other file.

Files and tags can both be changed after registration, so the tag counts only until the journal knows the version.
"""


class Registry(Protocol):
    def aliases_by_model(self, models: Collection[str]) -> Mapping[str, Mapping[str, str]]:
        """Return the `aliases` of many models at once, by model; models that are not registered are left out."""

    def aliases(self, model: str) -> Mapping[str, str]:
        """Return all aliases of the model, each with its version."""

    def version(self, model: str, version: str) -> RegisteredVersion:
        """Return the version. Raises PermanentError if it does not exist or its source is not allowed."""

    def fetch(self, version: RegisteredVersion, into: Path) -> Path:
        """Download the version's package into a directory and return that directory. Nothing of it is executed.

        The files are not yet trusted: verify them against their manifest.
        """

    def move_alias(self, model: str, alias: str, version: str, *, expected: str | None) -> None:
        """Move the alias from ``expected`` (None: it is not set) to the version; does nothing if it is there already.

        The alias is read before and after the write, because the registry has no compare-and-swap.

        Raises:
            ConflictError: the alias was, or is afterwards, somewhere else; the message says where.
        """

    def drop_alias(self, model: str, alias: str, *, expected: str) -> None:
        """Remove the alias if it points at ``expected``."""

    def tag(self, model: str, version: str, tags: Mapping[str, str]) -> None:
        """Set tags on a version, for people to read. Serin does not read these tags."""
