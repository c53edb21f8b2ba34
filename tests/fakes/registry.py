"""A registry in memory. ``aliases_of[model]`` may be written by a test that plays another user of the registry."""

import shutil
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from controller.errors import ConflictError, PermanentError, Source, TransientError
from controller.naming import model_named
from controller.ports.registry import FINGERPRINT_TAG, LoggedCheckpoint, RegisteredVersion
from serving.package.origin import Lineage


class FakeRegistry:
    """``away`` is the reason why it does not answer; ``tags_of`` is what people would read."""

    def __init__(self) -> None:
        self._versions: dict[str, list[RegisteredVersion]] = {}
        self._packages: dict[str, Path] = {}
        self.aliases_of: dict[str, dict[str, str]] = {}
        self.tags_of: dict[tuple[str, str], dict[str, str]] = {}
        self.run_of: dict[tuple[str, str], str] = {}
        self.runs: dict[str, Lineage] = {}
        self.away: str | None = None

    def register(
        self, package_dir: Path, model: str, *, tags: Mapping[str, str], run: str | None = None
    ) -> RegisteredVersion:
        """The next version, served from where ``package_dir`` is."""
        model_named(model)
        self._require_here()
        versions = self._versions.setdefault(model, [])
        added = RegisteredVersion(model, str(len(versions) + 1), f"m-{uuid.uuid4().hex}", ready=True)
        versions.append(added)
        self._packages[added.source_id] = package_dir
        self.aliases_of.setdefault(model, {})
        self.tags_of[model, added.version] = dict(tags)
        self.run_of[model, added.version] = run or ""
        return self.version(model, added.version)

    def register_again(self, model: str, version: str) -> RegisteredVersion:
        """The next version, of the same files."""
        found = self.version(model, version)
        known = {int(one.version) for one in self._versions[model]}
        added = replace(found, version=str(max(known) + 1))
        self._versions[model].append(added)
        self.tags_of[model, added.version] = {FINGERPRINT_TAG: found.fingerprint} if found.fingerprint else {}
        return self.version(model, added.version)

    def set_ready(self, model: str, version: str, ready: bool) -> None:
        """Whether the version's registration is finished."""
        self._versions[model][int(version) - 1] = replace(self.version(model, version), ready=ready)

    def models(self) -> Sequence[str]:
        """What was ever registered."""
        return list(self._versions)

    def aliases_by_model(self, models: Collection[str]) -> Mapping[str, Mapping[str, str]]:
        self._require_here()
        return {model: dict(self.aliases_of[model]) for model in models if model in self._versions}

    def aliases(self, model: str) -> Mapping[str, str]:
        self._require_here()
        if model not in self._versions:
            raise PermanentError(f"there is no model {model!r}")
        return dict(self.aliases_of[model])

    def version(self, model: str, version: str) -> RegisteredVersion:
        self._require_here()
        for known in self._versions.get(model, []):
            if known.version == version:
                return replace(known, fingerprint=self.tags_of[model, version].get(FINGERPRINT_TAG, ""))
        raise PermanentError(f"there is no {model} version {version}")

    def fetch(self, version: RegisteredVersion, into: Path) -> Path:
        self._require_here()
        return Path(shutil.copytree(self._packages[version.source_id], into))

    def lineage(self, run_id: str) -> Lineage:
        self._require_here()
        if run_id not in self.runs:
            raise PermanentError(f"there is no run {run_id!r}")
        return self.runs[run_id]

    def checkpoint(self, model: str, version: str, into: Path) -> LoggedCheckpoint:
        found = self.version(model, version)
        folder = Path(shutil.copytree(self._packages[found.source_id], into / "logged"))
        return LoggedCheckpoint(folder, self.run_of.get((model, version), ""))

    def read(self, version: RegisteredVersion, name: str) -> bytes:
        self._require_here()
        try:
            return (self._packages[version.source_id] / name).read_bytes()
        except OSError as error:
            raise PermanentError(f"{version.model} version {version.version} has no {name}: {error}") from error

    def move_alias(self, model: str, alias: str, version: str, *, expected: str | None) -> None:
        found = self.aliases(model).get(alias)
        if found == version:
            return
        if found != expected:
            places = ["no version" if place is None else f"version {place}" for place in (expected, found)]
            raise ConflictError(
                Source.REGISTRY, f"alias {alias!r} of {model}: expected at {places[0]}, found at {places[1]}"
            )
        self.version(model, version)
        self.aliases_of[model][alias] = version

    def drop_alias(self, model: str, alias: str, *, expected: str) -> None:
        if self.aliases(model).get(alias) == expected:
            del self.aliases_of[model][alias]

    def tag(self, model: str, version: str, tags: Mapping[str, str]) -> None:
        self.version(model, version)
        self.tags_of[model, version] |= tags

    def tagged(self, model: str, tag: str, value: str) -> Mapping[str, str]:
        self._require_here()
        return {
            version: tags.get(FINGERPRINT_TAG, "")
            for (whose, version), tags in self.tags_of.items()
            if whose == model and tags.get(tag) == value
        }

    def _require_here(self) -> None:
        if self.away is not None:
            raise TransientError("registry", self.away)
