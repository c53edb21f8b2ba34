"""A model registry in memory, whose packages are real directories."""

import hashlib
import json
from pathlib import Path

from controller.ports.registry import RegisteredVersion
from serving.package.artifact import (
    CONFIG_FILE,
    GOLDEN_TEXTS_MIN,
    MANIFEST_FILE,
    REQUIRED_FILES,
    GoldenText,
    Manifest,
    file_record,
    fingerprint,
)
from tests.controller.service import CLASSES
from tests.fakes.registry import FakeRegistry

GOLDEN = tuple(GoldenText(f"where is order {n}", (2, 100 + n, 3)) for n in range(GOLDEN_TEXTS_MIN))


def golden_tokens(text: str) -> tuple[int, ...]:
    """The token ids of a golden text, as registered; of any other text, its bytes."""
    return next((golden.token_ids for golden in GOLDEN if golden.text == text), tuple(text.encode()))


def write_package(directory: Path, *, content: str) -> str:
    """A package whose files hold ``content`` in place of weights; returns its fingerprint."""
    directory.mkdir(parents=True)
    for name in REQUIRED_FILES:
        (directory / name).write_text(f"{name} of {content}", encoding="utf-8")
    labels = {str(index): label for index, label in enumerate(CLASSES)}
    (directory / CONFIG_FILE).write_text(json.dumps({"id2label": labels, "of": content}), encoding="utf-8")
    manifest = Manifest(
        labels=CLASSES,
        max_tokens=128,
        files={name: file_record(directory / name) for name in REQUIRED_FILES},
        library_versions={"tokenizers": "0.21.0"},
        golden=GOLDEN,
        created_by="tests",
    ).to_bytes()
    (directory / MANIFEST_FILE).write_bytes(manifest)
    return fingerprint(manifest)


class PackagedRegistry(FakeRegistry):
    """The registry in memory, with versions of any number whose packages are real directories.

    ``moved``: every alias move through the port, in order.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.moved: list[tuple[str, str]] = []
        self._directory = directory

    def publish(self, model: str, number: str, *, content: str | None = None, ready: bool = True) -> str:
        """Register the version, or another package anew under its number; returns the package's fingerprint."""
        content = content or f"{model} version {number}"
        source_id = "m-" + hashlib.md5(content.encode(), usedforsecurity=False).hexdigest()
        known = self._versions.setdefault(model, [])
        known[:] = [version for version in known if version.version != number]
        known.append(RegisteredVersion(model, number, source_id, ready))
        self._packages[source_id] = self._directory / source_id
        self.aliases_of.setdefault(model, {})
        self.tags_of[model, number] = {}
        return write_package(self._packages[source_id], content=content)

    def package_of(self, model: str, number: str) -> Path:
        return self._packages[self.version(model, number).source_id]

    def move_alias(self, model: str, alias: str, version: str, *, expected: str | None) -> None:
        before = self.aliases(model).get(alias)
        super().move_alias(model, alias, version, expected=expected)
        if before != version:
            self.moved.append((alias, version))
