"""Verified packages of versions, kept on local disk so that a restart or a rollback needs no registry.

A package is compared twice: its files with its manifest, and its manifest with the fingerprint that the version was
registered or first seen with. So files that were replaced whole are found too.
"""

import os
import shutil
from collections.abc import Callable, Container
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Lock

from controller.core.release import Version
from controller.errors import PermanentError, Source, TransientError, our_fault
from controller.naming import deployment_named
from controller.ports.artifacts import Artifact
from controller.ports.registry import Registry
from serving.contract import NameRefusedError, deployed
from serving.package.artifact import MANIFEST_FILE, ArtifactError, read_manifest, verify


class PackageStore:
    """Implements ``Artifacts``, with packages under ``<directory>/<model>-v<number>/<source id>``.

    A recreated version gets a folder of its own. Of those who ask for one at a time, one fetches; a copy here that is
    damaged is fetched again, and stays until another one has taken its place.
    """

    def __init__(self, registry: Registry, directory: Path) -> None:
        self._registry = registry
        self._directory = directory
        self._busy: dict[str, Lock] = {}  # by the name of the deployment

    def obtain(self, model: str, version: Version) -> Artifact:
        try:
            with self._busy.setdefault(deployment_named(model, version.number), Lock()):
                return self._obtain(model, version)
        except (OSError, MemoryError) as error:
            whose = f"the package of {model} version {version.number}"
            raise our_fault(Source.PACKAGES, f"cannot take in {whose}", error) from error

    def _obtain(self, model: str, version: Version) -> Artifact:
        place, damage = self._known(model, version), None
        if place is not None:
            with suppress(OSError):  # `prune` lets be what is about to run
                os.utime(place.parent)
            known = replace(version, source_id=place.name)
            try:
                return _checked(place, known, self._tag(model, known))
            except ArtifactError as error:
                damage = error
        try:
            return self._fetched(model, version)
        except TransientError as error:
            if damage is None:
                raise
            whose = f"the package of {model} version {version.number} here"
            raise TransientError(Source.PACKAGES, f"{whose} has changed ({damage}), and {error}") from error

    def place(self, model: str, version: Version) -> Path:
        """The folder of a package that was obtained earlier. The reader has to verify it.

        Raises:
            TransientError: it is not here any more.
        """
        place = self._known(model, version)
        if place is None:
            raise TransientError(
                Source.PACKAGES, f"the package of {model} version {version.number} is not here any more"
            )
        return place

    def prune(self, before_s: float, used: Container[tuple[str, str]]) -> int:
        """Delete the packages of versions that nothing has used since then, and return of how many. ``used``: models
        and versions that need theirs now: their time begins anew.

        Raises:
            TransientError: something cannot be deleted.
        """
        gone, fault = 0, None
        for folder in sorted(self._directory.iterdir()) if self._directory.is_dir() else ():
            try:
                version = deployed(folder.name)
            except NameRefusedError:
                continue  # none of ours
            try:
                with self._busy.setdefault(folder.name, Lock()):
                    if version in used:
                        os.utime(folder)
                    elif folder.stat().st_mtime < before_s:
                        shutil.rmtree(folder)
                        gone += 1
            except OSError as error:
                fault = error
        if fault is not None:
            raise our_fault(Source.PACKAGES, "cannot delete an old package", fault) from fault
        return gone

    def identify(self, model: str, number: str) -> Version:
        """The version as the registry knows it now, not yet verified."""
        return Version(number, self._registry.version(model, number).source_id)

    def _known(self, model: str, version: Version) -> Path | None:
        """The package on local disk. A version known by its number alone is the one that was taken in last."""
        if version.source_id:
            place = self._place(model, version.number, version.source_id)
            return place if place.is_dir() else None
        taken_in = (self._directory / deployment_named(model, version.number)).glob("m-*[0-9a-f]")
        return max(taken_in, key=lambda path: path.stat().st_mtime, default=None)

    def _tag(self, model: str, version: Version) -> str:
        """The fingerprint in the registry's tags, for a first sight; nothing where the registry does not say.

        A version that was seen before needs no registry: a restart and a rollback do without.
        """
        if version.fingerprint:
            return ""
        try:
            registered = self._registry.version(model, version.number)
        except (TransientError, PermanentError):
            return ""
        return registered.fingerprint if registered.source_id == version.source_id else ""

    def _fetched(self, model: str, version: Version) -> Artifact:
        """The package is verified before it replaces what is there, which was right once."""
        registered = self._registry.version(model, version.number)
        if version.source_id and registered.source_id != version.source_id:
            was, now = version.source_id, registered.source_id
            raise PermanentError(
                f"{model} version {version.number} was {was} and is now {now}: it was registered again"
            )
        if not registered.ready:
            raise TransientError(Source.REGISTRY, f"{model} version {version.number} is still being registered")
        found = replace(version, source_id=registered.source_id)
        place = self._place(model, version.number, registered.source_id)
        place.parent.mkdir(parents=True, exist_ok=True)
        arriving = place.with_name(place.name + ".arriving")
        shutil.rmtree(arriving, ignore_errors=True)
        try:
            tag = "" if version.fingerprint else registered.fingerprint  # what was seen first wins over what says so
            artifact = _checked(self._registry.fetch(registered, arriving), found, tag)
            if place.exists():
                shutil.rmtree(place)
            arriving.rename(place)
        finally:
            shutil.rmtree(arriving, ignore_errors=True)
        return artifact

    def _place(self, model: str, number: str, source_id: str) -> Path:
        return self._directory / deployment_named(model, number) / source_id


class UnusedPackages:
    """The packages that no version in use needs (`controller.loop.retention.Prunable`)."""

    def __init__(self, packages: PackageStore, in_use: Callable[[], Container[tuple[str, str]]]) -> None:
        """``in_use``: models and versions; raises TransientError while nobody can tell."""
        self._packages = packages
        self._in_use = in_use

    def prune(self, before_s: float) -> int:
        return self._packages.prune(before_s, self._in_use())


def _checked(directory: Path, version: Version, tag: str) -> Artifact:
    """The package, if its files are those of its manifest and its manifest is the one that the version has to have.

    Raises:
        ArtifactError: naming the file, and the two fingerprints where they differ.
    """
    manifest = verify(directory)
    _, digest = read_manifest(directory)
    for expected, whence in ((version.fingerprint, "was seen first with"), (tag, "was registered with")):
        if expected and digest != expected:
            raise ArtifactError(
                MANIFEST_FILE,
                f"has the fingerprint {digest}, but version {version.number} {whence} {expected[:64]}: its "
                "files have been replaced since",
            )
    return Artifact(replace(version, fingerprint=digest), manifest, tagged=digest == tag)
