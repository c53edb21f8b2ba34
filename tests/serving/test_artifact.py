"""A package is served only if it is exactly what was registered."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serving.package.artifact import (
    MANIFEST_FILE,
    ArtifactError,
    Manifest,
    config_labels,
    file_record,
    fingerprint,
    read_manifest,
    verify,
)


def edit_manifest(package: Path, change: Callable[[dict[str, Any]], object]) -> bytes:
    document = json.loads((package / MANIFEST_FILE).read_bytes())
    change(document)
    data = json.dumps(document).encode()
    (package / MANIFEST_FILE).write_bytes(data)
    return data


def relist(package: Path, name: str) -> None:
    """Let the manifest agree with a file that was changed, so that only the file's contents can be refused."""
    record = file_record(package / name)
    entry = {"sha256": record.sha256, "size_bytes": record.size_bytes}
    edit_manifest(package, lambda document: document["files"].update({name: entry}))


def test_an_untouched_package_is_accepted(package: Path) -> None:
    manifest = verify(package)
    assert manifest.labels == ("cancel order", "track order", "refund")
    assert len(manifest.golden) == 20


def test_a_manifest_survives_writing_and_reading(package: Path) -> None:
    manifest = verify(package)
    assert Manifest.parse(manifest.to_bytes()) == manifest


def test_the_fingerprint_is_the_digest_of_the_manifest_bytes(package: Path) -> None:
    _, digest = read_manifest(package)
    assert digest == fingerprint((package / MANIFEST_FILE).read_bytes())
    assert digest != fingerprint((package / MANIFEST_FILE).read_bytes() + b" ")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "model.onnx"])
def test_a_changed_file_is_rejected_by_name(package: Path, name: str) -> None:
    """Artifacts stay mutable in the registry after registration: same size, one other byte."""
    data = bytearray((package / name).read_bytes())
    data[-1] ^= 1
    (package / name).write_bytes(data)
    with pytest.raises(ArtifactError, match=r"SHA-256") as refusal:
        verify(package)
    assert refusal.value.file == name


def test_a_file_of_another_size_is_rejected_by_name(package: Path) -> None:
    with (package / "model.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ArtifactError, match=r"model\.onnx: has \d+ bytes"):
        verify(package)


def test_a_missing_file_is_named(package: Path) -> None:
    (package / "tokenizer.json").unlink()
    with pytest.raises(ArtifactError, match=r"tokenizer\.json: is missing"):
        verify(package)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pkl", "modeling.py", "weights.pt", "README.md"])
def test_a_kind_of_file_that_is_never_loaded_is_rejected(package: Path, name: str) -> None:
    (package / name).write_bytes(b"anything")
    with pytest.raises(ArtifactError, match="never loaded") as refusal:
        verify(package)
    assert refusal.value.file == name


def test_a_surplus_file_is_rejected(package: Path) -> None:
    (package / "special_tokens_map.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"special_tokens_map\.json: is not in the manifest"):
        verify(package)


def test_a_link_is_rejected_even_to_the_right_bytes(package: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.onnx"
    (package / "model.onnx").rename(elsewhere)
    (package / "model.onnx").symlink_to(elsewhere)
    with pytest.raises(ArtifactError, match=r"model\.onnx: is not a plain file"):
        verify(package)


def test_a_linked_manifest_is_rejected(package: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.json"
    (package / MANIFEST_FILE).rename(elsewhere)
    (package / MANIFEST_FILE).symlink_to(elsewhere)
    with pytest.raises(ArtifactError, match=MANIFEST_FILE):
        verify(package)


def test_a_folder_is_rejected(package: Path) -> None:
    (package / "onnx.json").mkdir()
    with pytest.raises(ArtifactError, match=r"onnx\.json: is not a plain file"):
        verify(package)


def test_a_pipe_is_rejected_without_waiting_for_a_writer(package: Path) -> None:
    (package / "config.json").unlink()
    os.mkfifo(package / "config.json")
    with pytest.raises(ArtifactError, match=r"config\.json: is not a plain file"):
        verify(package)


def test_code_of_its_own_is_rejected(package: Path) -> None:
    config = json.loads((package / "config.json").read_bytes())
    (package / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "evil.Model"}}))
    relist(package, "config.json")
    with pytest.raises(ArtifactError, match="auto_map"):
        verify(package)


def test_labels_in_another_order_than_the_configuration_are_rejected(package: Path) -> None:
    """A swapped label would turn every answer wrong without changing one weight."""
    edit_manifest(package, lambda document: document["labels"].reverse())
    with pytest.raises(ArtifactError, match="labels differ"):
        verify(package)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("schema", "serin.manifest/v2", "schema must be"),
        ("labels", ["one"], "labels must be two or more"),
        ("labels", ["a", "a"], "labels must be two or more different"),
        ("labels", ["a", 3], "labels must hold strings"),
        ("labels", "ab", "labels must be a list"),
        ("max_tokens", 0, "max_tokens must be a positive"),
        ("max_tokens", True, "max_tokens must be a positive"),
        ("max_tokens", "64", "max_tokens must be a whole number"),
        ("files", [], "files must be an object"),
        ("files", {}, r"files lacks 'model\.safetensors'"),
        ("library_versions", {"numpy": 2}, "library_versions must hold strings"),
        ("golden", [], "golden must hold at least 20"),
        ("golden", [{"text": "a"}] * 20, r"golden\[0\] must have exactly"),
        ("golden", [{"text": "a", "token_ids": [-1]}] * 20, r"golden\[0\]\.token_ids"),
        ("created_by", None, "created_by must be a string"),
        ("surprise", 1, "unknown field 'surprise'"),
    ],
)
def test_a_wrong_field_of_the_manifest_is_named(package: Path, field: str, value: Any, words: str) -> None:
    data = edit_manifest(package, lambda document: document.update({field: value}))
    with pytest.raises(ArtifactError, match=words) as refusal:
        Manifest.parse(data)
    assert refusal.value.file == MANIFEST_FILE


@pytest.mark.parametrize(
    "field", ["schema", "labels", "max_tokens", "files", "library_versions", "golden", "created_by"]
)
def test_a_missing_field_of_the_manifest_is_named(package: Path, field: str) -> None:
    data = edit_manifest(package, lambda document: document.pop(field))
    with pytest.raises(ArtifactError, match=f"{field} is missing"):
        Manifest.parse(data)


@pytest.mark.parametrize("name", ["../outside.json", "sub/file.json", ".hidden.json", "manifest.json", "code.py", ""])
def test_a_manifest_may_not_list_anything_outside_its_folder(package: Path, name: str) -> None:
    entry = {"sha256": "0" * 64, "size_bytes": 1}
    data = edit_manifest(package, lambda document: document["files"].update({name: entry}))
    with pytest.raises(ArtifactError, match="files may not list"):
        Manifest.parse(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[]", "must be a JSON object"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"schema": "a", "schema": "b"}', "repeats a key"),
        (b" " * (5 * 2**20), "is longer than"),
    ],
)
def test_what_is_no_manifest_is_refused_in_words(data: bytes, words: str) -> None:
    with pytest.raises(ArtifactError, match=words):
        Manifest.parse(data)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"id2label": {}}, "id2label"),
        ({"id2label": {"0": "a"}}, "two or more"),
        ({"id2label": {"0": "a", "2": "b"}}, "0 to 1"),
        ({"id2label": {"0": "a", "1": "a"}}, "a name of its own"),
        ({"id2label": {"0": "a", "1": ""}}, "a name of its own"),
        ({"id2label": {"0": "a", "1": "b"}, "problem_type": "multi_label_classification"}, "not served"),
    ],
)
def test_a_configuration_that_does_not_name_every_class_is_refused(config: dict[str, Any], words: str) -> None:
    with pytest.raises(ArtifactError, match=words):
        config_labels(json.dumps(config).encode())
