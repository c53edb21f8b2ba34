"""The artifact of a version, by reference: the registry's id and the fingerprint of its manifest, never a path."""

from dataclasses import dataclass
from typing import Protocol

from controller.core.release import Version
from serving.package.artifact import Manifest


@dataclass(frozen=True, slots=True)
class Artifact:
    """A version whose files all match its manifest."""

    version: Version  # with its fingerprint
    manifest: Manifest
    tagged: bool = False  # the registry's tag was read and confirms the fingerprint


class Artifacts(Protocol):
    def identify(self, model: str, number: str) -> Version:
        """Return the version as the registry knows it now, not yet verified.

        Raises:
            TransientError: the registry did not answer.
            PermanentError: there is no such version, or its source is not allowed.
        """

    def obtain(self, model: str, version: Version) -> Artifact:
        """Return the version's artifact. It is fetched if it is not on this machine, and verified each time.

        The artifact is compared with the version's fingerprint. A version without one (at its first sight) is compared
        with the tag that it was registered with, if it has one.

        Raises:
            TransientError: the registry did not answer or has not finished registering the version, or this machine
                refused something, such as disk space.
            PermanentError: there is no such version, its source is not allowed, or the number now belongs to another
                model than the one identified.
            ArtifactError: the files do not match their manifest, or are not those that were registered.
        """
