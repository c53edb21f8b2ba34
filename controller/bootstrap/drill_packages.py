"""Copies of a package that are worse on purpose, their digests right."""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from serving.package.artifact import CONFIG_FILE, GRAPH_FILE, FileRecord, Manifest, file_record, verify
from serving.packaging.temper import divide_logits

ALTERED: Final = frozenset({CONFIG_FILE, GRAPH_FILE})
_EXCHANGED_RATIO: Final = 0.2  # of the classes: what an update that went wrong may do, and no more than that
_SURER: Final = 0.05  # the temperature: twenty times the logits
_NAME: Final = "serin_drill"


def exchanged(package: Path) -> tuple[Manifest, str]:
    """Exchange the names of a fifth of the classes, by pairs, and return the manifest that fits."""
    manifest = verify(package)
    labels, pairs = list(manifest.labels), math.ceil(_EXCHANGED_RATIO * len(manifest.labels) / 2)
    for place in range(0, 2 * pairs, 2):
        labels[place], labels[place + 1] = labels[place + 1], labels[place]
    path = package / CONFIG_FILE
    config = json.loads(path.read_bytes())
    config["id2label"] = {str(place): label for place, label in enumerate(labels)}
    config["label2id"] = {label: place for place, label in enumerate(labels)}
    path.write_text(json.dumps(config), encoding="utf-8")
    changed = dataclasses.replace(manifest, labels=tuple(labels), files=_files(manifest, path))
    names = ", ".join(repr(label) for label in labels[: 2 * pairs])
    return changed, f"the answers {names} are swapped in pairs"


def surer(package: Path) -> tuple[Manifest, str]:
    """Multiply the logits, and return the manifest that fits; it does not say so, as no mistake would."""
    manifest = verify(package)
    divide_logits(package / GRAPH_FILE, _SURER, _NAME)
    changed = dataclasses.replace(manifest, files=_files(manifest, package / GRAPH_FILE))
    return (
        changed,
        f"the logits are multiplied by {1 / _SURER:.0f}, so that every answer is given as if it were certain",
    )


def _files(manifest: Manifest, path: Path) -> Mapping[str, FileRecord]:
    return {**manifest.files, path.name: file_record(path)}
