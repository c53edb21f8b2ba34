"""The artifact of a version, by reference: the registry's id and the fingerprint of its manifest, never a path."""

from dataclasses import dataclass
from typing import Protocol

from controller.core.release import Version
from serving.package.artifact import Manifest


@dataclass(frozen=True, slots=True)
class Artifact:
    """A version whose every file matched its manifest when it was taken in."""

    version: Version  # with its fingerprint
    manifest: Manifest
    tagged: bool = False  # the registry's tag says that fingerprint too, as far as it was asked


class Artifacts(Protocol):
    def identify(self, model: str, number: str) -> Version:
        """The version as the registry knows it now, not yet verified.

        Raises:
            TransientError: the registry did not answer.
            PermanentError: there is no such version, or its source is not allowed.
        """

    def obtain(self, model: str, version: Version) -> Artifact:
        """The version's artifact, fetched where it is not at hand, and verified each time.

        A version that carries a fingerprint is compared with it; one that is seen for the first time with the tag that
        it was registered with, if it has one.

        Raises:
            TransientError: the registry did not answer, or has not finished taking the version in; or this machine
                refused us something.
            PermanentError: there is no such version, its source is not allowed, or the number was given to another
                model since the version was identified.
            ArtifactError: what the registry has is not what its manifest says, or not what was registered.
        """
