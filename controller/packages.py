"""Verified packages of versions, kept on local disk so that a restart or a rollback needs no registry."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from controller.core.release import Version
from controller.errors import PermanentError, TransientError
from controller.naming import deployment_named
from controller.ports import Registry
from serving.package.artifact import Manifest, read_manifest, verify


@dataclass(frozen=True, slots=True)
class Package:
    """A directory whose every file matched the manifest when it was taken in."""

    directory: Path
    manifest: Manifest
    version: Version  # with its fingerprint


class PackageStore:
    """Packages under ``<directory>/<model>-v<number>/<source id>``: a recreated version gets a folder of its own."""

    def __init__(self, registry: Registry, directory: Path) -> None:
        self._registry = registry
        self._directory = directory

    def obtain(self, model: str, version: Version) -> Package:
        """The version's package, fetched once and verified every time.

        Raises:
            TransientError: the registry did not answer, or has not finished taking the version in; or the disk failed.
            PermanentError: there is no such version, its source is not allowed, or the number was given to another
                model since the version was identified.
            ArtifactError: its files are not what the manifest says. The fetched copy is dropped.
        """
        try:
            return self._obtain(model, version)
        except OSError as error:
            raise TransientError("packages", f"the package of {model} version {version.number}: {error}") from error

    def _obtain(self, model: str, version: Version) -> Package:
        known = self._known(model, version)
        directory = known if known is not None else self._fetch(model, version)
        try:
            manifest = verify(directory)
        except Exception:
            shutil.rmtree(directory)
            raise
        _, digest = read_manifest(directory)
        return Package(directory, manifest, Version(version.number, directory.name, digest))

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

    def _fetch(self, model: str, version: Version) -> Path:
        registered = self._registry.version(model, version.number)
        if version.source_id and registered.source_id != version.source_id:
            was, now = version.source_id, registered.source_id
            raise PermanentError(f"{model} version {version.number} was {was} and is {now} now: it was registered anew")
        if not registered.ready:
            raise TransientError("registry", f"{model} version {version.number} is still being registered")
        place = self._place(model, version.number, registered.source_id)
        if not place.is_dir():
            place.parent.mkdir(parents=True, exist_ok=True)
            arriving = place.with_name(place.name + ".arriving")
            shutil.rmtree(arriving, ignore_errors=True)
            fetched = self._registry.fetch(registered, arriving)
            fetched.rename(place)
        return place

    def _place(self, model: str, number: str, source_id: str) -> Path:
        return self._directory / deployment_named(model, number) / source_id
