"""The package of a model version: which files it holds, and how anyone proves that they are the registered ones.

A package is a flat directory of ``model.safetensors``, ``config.json``, ``tokenizer.json``, ``model.onnx`` (with its
weights in ``model.onnx.data``) and ``manifest.json``. The manifest lists every other file with its SHA-256, so the
digest of the manifest's own bytes names the whole version. Nothing here loads a model; standard library only, since
the controller checks packages too.
"""

import errno
import hashlib
import json
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from io import BufferedReader
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from serving.package.labels import label_names
from serving.package.origin import Lineage, Temperature, parse_lineage, parse_temperature
from serving.package.rules import AnswerRules, Task, TokenRules, parse_rules, parse_token_rules

MANIFEST_SCHEMA: Final = "serin.manifest/v1"
MANIFEST_FILE: Final = "manifest.json"
WEIGHTS_FILE: Final = "model.safetensors"
CONFIG_FILE: Final = "config.json"
TOKENIZER_FILE: Final = "tokenizer.json"
GRAPH_FILE: Final = "model.onnx"
GRAPH_WEIGHTS_FILE: Final = "model.onnx.data"  # plain numbers, which the graph points into
REQUIRED_FILES: Final = (WEIGHTS_FILE, CONFIG_FILE, TOKENIZER_FILE, GRAPH_FILE)
ALLOWED_SUFFIXES: Final = (".safetensors", ".onnx", ".onnx.data", ".json")  # nothing that runs code when it is loaded
GOLDEN_TEXTS_MIN: Final = 20
CONFIG_BYTES_MAX: Final = 1 * 2**20

_MANIFEST_BYTES_MAX: Final = 4 * 2**20
_PIECE_BYTES: Final = 2**23
_WHOLE_MAX: Final = 2**31 - 1
_CHECKED_AT_ONCE_MAX: Final = 8
# What opening a file says of the file. Anything else it says of this machine, and nobody's package is refused for that.
_OF_THE_FILE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.EISDIR})
_IF_ANY: Final = frozenset({"temperature", "lineage"})
_HEX_DIGITS: Final = frozenset("0123456789abcdef")

_T = TypeVar("_T")


class Variant(StrEnum):
    """The way the weights of a version are stored and multiplied. Each variant is a version of its own, gated as
    such."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


class ArtifactError(Exception):
    """A package that may not be served: which of its files, and what is wrong with it."""

    def __init__(self, file: str, problem: str) -> None:
        super().__init__(f"{file}: {problem}")
        self.file = file
        self.problem = problem


@dataclass(frozen=True, slots=True)
class FileRecord:
    """The file as it must be: its SHA-256 in lower-case hex and its size."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class GoldenText:
    """A text and the token ids it had when the version was packaged (special tokens included, no padding)."""

    text: str
    token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """The parts of a version, and the rules by which it answers.

    ``labels`` are in the order of the model's outputs; an embedding has none. ``variant_of`` is the fingerprint of the
    version whose weights this one stores and multiplies in another way. ``family`` is the encoder's kind, by the name
    that ``config.json`` gives it (``model_type``); packages from before it was recorded have none. ``temperature`` is
    in the graph.
    """

    labels: tuple[str, ...]
    max_tokens: int
    files: Mapping[str, FileRecord]
    library_versions: Mapping[str, str]
    golden: tuple[GoldenText, ...]
    created_by: str
    variant: Variant = Variant.FP32
    variant_of: str | None = None
    rules: AnswerRules = field(default_factory=AnswerRules)
    tokens: TokenRules = field(default_factory=TokenRules)
    family: str | None = None
    temperature: Temperature | None = None
    lineage: Lineage | None = None
    schema: str = MANIFEST_SCHEMA

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a manifest.

        Raises:
            ArtifactError: naming the field that is missing, unknown or wrong.
        """
        document = parse_object(MANIFEST_FILE, data, _MANIFEST_BYTES_MAX)
        variant_of = document.get("variant_of")
        fields = _Fields(document)
        if (schema := fields.text("schema")) != MANIFEST_SCHEMA:
            raise ArtifactError(MANIFEST_FILE, f"schema must be {MANIFEST_SCHEMA!r}, got {schema!r}")
        manifest = cls(
            labels=tuple(fields.texts("labels")),
            max_tokens=fields.positive("max_tokens"),
            files=_parse_files(fields.mapping("files")),
            library_versions=fields.text_mapping("library_versions"),
            golden=_parse_golden(fields.sequence("golden")),
            created_by=fields.text("created_by"),
            variant=_parse_variant(document.get("variant", Variant.FP32)),
            variant_of=None if variant_of is None else _parse_digest("variant_of", variant_of),
            rules=_parsed(parse_rules, document["rules"]) if "rules" in document else AnswerRules(),
            tokens=_parsed(parse_token_rules, document["tokens"]) if "tokens" in document else TokenRules(),
            family=None if document.get("family") is None else fields.text("family"),
            temperature=_parsed(parse_temperature, document.get("temperature")),
            lineage=_parsed(parse_lineage, document.get("lineage")),
        )
        if unknown := sorted(document.keys() - asdict(manifest).keys()):
            raise ArtifactError(MANIFEST_FILE, f"unknown field {unknown[0]!r}")
        _check_labels(manifest)
        return manifest

    def to_bytes(self) -> bytes:
        """The one way a manifest is written: sorted keys, so that equal manifests have equal fingerprints; what it has
        none of is left out where earlier versions of Serin do not know the field."""
        told = {name: value for name, value in asdict(self).items() if value is not None or name not in _IF_ANY}
        text = json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False)
        return (text + "\n").encode()


def fingerprint(manifest_bytes: bytes) -> str:
    """The identity of a version: the SHA-256 (hex) of its manifest, which holds the digest of everything else."""
    return hashlib.sha256(manifest_bytes).hexdigest()


def read_manifest(directory: Path) -> tuple[Manifest, str]:
    """The manifest of a package and its fingerprint; its files are not looked at (see :func:`verify`)."""
    data = _read_regular(directory, MANIFEST_FILE, _MANIFEST_BYTES_MAX)
    return Manifest.parse(data), fingerprint(data)


def verify(directory: Path) -> Manifest:
    """Check that a directory is exactly the package that its manifest describes.

    Raises:
        ArtifactError: naming the first file that is missing, surplus, not a plain file, of a kind that is never
            loaded, of another size or digest than registered, or a configuration that asks for code of its own.
        OSError: this machine did not let it be read; says nothing of the package.
    """
    manifest, _ = read_manifest(directory)
    expected = {MANIFEST_FILE, *manifest.files}
    _check_names(directory, expected)
    _check_files(directory, sorted(manifest.files.items()))
    labels = config_labels(_read_regular(directory, CONFIG_FILE, CONFIG_BYTES_MAX), manifest.rules.task)
    if labels != manifest.labels:
        raise ArtifactError(CONFIG_FILE, "id2label and the manifest's labels differ")
    return manifest


def config_labels(config_bytes: bytes, task: Task = Task.SEQUENCE_CLASSIFICATION) -> tuple[str, ...]:
    """The label names of a ``config.json`` in output order; none for an embedding.

    Raises:
        ArtifactError: ``id2label`` is not complete, code of its own (``auto_map``), or another kind of classification
            than choosing one of several classes.
    """
    config = parse_object(CONFIG_FILE, config_bytes, CONFIG_BYTES_MAX)
    if "auto_map" in config:
        raise ArtifactError(CONFIG_FILE, "auto_map asks for code from the checkpoint, which is never run")
    if task is Task.EMBEDDING:
        return ()
    try:
        return label_names(config, task)
    except ValueError as error:
        raise ArtifactError(CONFIG_FILE, str(error)) from None


def file_record(path: Path) -> FileRecord:
    """Digest and size of a file as it lies there."""
    with path.open("rb") as file:
        size_bytes = os.fstat(file.fileno()).st_size
        return FileRecord(_sha256(file, size_bytes), size_bytes)


def _check_names(directory: Path, expected: set[str]) -> None:
    found = set()
    with os.scandir(directory) as listing:
        entries = sorted(listing, key=lambda entry: entry.name)
    for entry in entries:
        found.add(entry.name)
        if entry.is_symlink() or not entry.is_file(follow_symlinks=False):
            raise ArtifactError(entry.name, "is not a plain file (links and folders are refused)")
        if not entry.name.endswith(ALLOWED_SUFFIXES):
            raise ArtifactError(entry.name, f"is of a kind that is never loaded (allowed: {_listed(ALLOWED_SUFFIXES)})")
        if entry.name not in expected:
            raise ArtifactError(entry.name, "is not in the manifest")
    if missing := sorted(expected - found):
        raise ArtifactError(missing[0], "is missing")


def _check_files(directory: Path, files: Sequence[tuple[str, FileRecord]]) -> None:
    if sum(record.size_bytes for _, record in files) <= _PIECE_BYTES:  # read sooner than threads are started
        for name, record in files:
            _check_file(directory, name, record)
        return
    with ThreadPoolExecutor(min(len(files), _CHECKED_AT_ONCE_MAX)) as pool:  # digests leave the interpreter's lock
        try:
            checks = [pool.submit(_check_file, directory, name, record) for name, record in files]
        except RuntimeError as error:  # no thread can be started
            raise OSError(errno.EAGAIN, str(error)) from error
        for done in checks:
            done.result()


def _check_file(directory: Path, name: str, record: FileRecord) -> None:
    with _open_regular(directory, name) as file:
        if (size := os.fstat(file.fileno()).st_size) != record.size_bytes:
            raise ArtifactError(name, f"has {size} bytes, but its manifest says {record.size_bytes}")
        if (digest := _sha256(file, size)) != record.sha256:
            raise ArtifactError(name, f"has SHA-256 {digest}, but its manifest says {record.sha256}")


def _sha256(file: BufferedReader, size_bytes: int) -> str:
    """As ``hashlib.file_digest``, in larger pieces: between two of them the interpreter's lock is waited for, which
    others hold for milliseconds while modules load."""
    digest = hashlib.sha256()
    piece = memoryview(bytearray(max(1, min(size_bytes, _PIECE_BYTES))))
    while size := file.readinto(piece):
        digest.update(piece[:size])
    return digest.hexdigest()


def _open_regular(directory: Path, name: str) -> Any:
    """Open without following a link, so that what is checked cannot lie elsewhere."""
    try:
        descriptor = os.open(directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if error.errno not in _OF_THE_FILE:
            raise
        raise ArtifactError(name, f"cannot be read ({error.strerror})") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ArtifactError(name, "is not a plain file (links and folders are refused)")
    return os.fdopen(descriptor, "rb")


def _read_regular(directory: Path, name: str, bytes_max: int) -> bytes:
    with _open_regular(directory, name) as file:
        data: bytes = file.read(bytes_max + 1)
    return data


def parse_object(file: str, data: bytes, bytes_max: int) -> dict[str, Any]:
    """The JSON object that a file holds.

    Raises:
        ArtifactError: it is too long, holds something else, or gives a key twice.
    """
    if len(data) > bytes_max:
        raise ArtifactError(file, f"is longer than {bytes_max} bytes")
    try:
        document = json.loads(data, object_pairs_hook=lambda pairs: _unique_keys(file, pairs))
    except (ValueError, RecursionError) as error:
        raise ArtifactError(file, f"is not valid JSON ({error})") from error
    if not isinstance(document, dict):
        raise ArtifactError(file, "must be a JSON object")
    return document


def _unique_keys(file: str, pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ArtifactError(file, "repeats a key")
    return document


def _parse_variant(variant: Any) -> Variant:
    try:
        return Variant(variant)
    except ValueError:
        raise ArtifactError(MANIFEST_FILE, f"variant must be one of {_listed(list(Variant))}") from None


def _parsed(parse: Callable[[Any], _T], document: Any) -> _T:
    try:
        return parse(document)
    except ValueError as error:
        raise ArtifactError(MANIFEST_FILE, str(error)) from None


def _check_labels(manifest: Manifest) -> None:
    labels = manifest.labels
    if manifest.rules.task is Task.EMBEDDING:
        if labels:
            raise ArtifactError(MANIFEST_FILE, "labels must be empty: an embedding has none")
    elif len(labels) < 2 or len(set(labels)) != len(labels):
        raise ArtifactError(MANIFEST_FILE, "labels must be two or more different names")


def _parse_files(files: dict[str, Any]) -> dict[str, FileRecord]:
    for name in REQUIRED_FILES:
        if name not in files:
            raise ArtifactError(MANIFEST_FILE, f"files lacks {name!r}")
    return {name: _parse_record(name, record) for name, record in files.items()}


def _parse_record(name: str, record: Any) -> FileRecord:
    if name != Path(name).name or name.startswith(".") or name == MANIFEST_FILE or not name.endswith(ALLOWED_SUFFIXES):
        raise ArtifactError(MANIFEST_FILE, f"files may not list {name!r}")
    if not isinstance(record, dict) or record.keys() != {"sha256", "size_bytes"}:
        raise ArtifactError(MANIFEST_FILE, f"files[{name!r}] must have exactly sha256 and size_bytes")
    digest, size = record["sha256"], record["size_bytes"]
    if type(size) is not int or size < 0:
        raise ArtifactError(MANIFEST_FILE, f"files[{name!r}].size_bytes must be a whole number")
    return FileRecord(_parse_digest(f"files[{name!r}].sha256", digest), size)


def _parse_digest(field: str, digest: Any) -> str:
    if not isinstance(digest, str) or len(digest) != 64 or not _HEX_DIGITS.issuperset(digest):
        raise ArtifactError(MANIFEST_FILE, f"{field} must be 64 lower-case hex digits")
    return digest


def _parse_golden(golden: list[Any]) -> tuple[GoldenText, ...]:
    if len(golden) < GOLDEN_TEXTS_MIN:
        raise ArtifactError(MANIFEST_FILE, f"golden must hold at least {GOLDEN_TEXTS_MIN} texts, got {len(golden)}")
    return tuple(_parse_golden_text(index, entry) for index, entry in enumerate(golden))


def _parse_golden_text(index: int, entry: Any) -> GoldenText:
    if not isinstance(entry, dict) or entry.keys() != {"text", "token_ids"}:
        raise ArtifactError(MANIFEST_FILE, f"golden[{index}] must have exactly text and token_ids")
    text, token_ids = entry["text"], entry["token_ids"]
    if not isinstance(text, str):
        raise ArtifactError(MANIFEST_FILE, f"golden[{index}].text must be a string")
    if not isinstance(token_ids, list) or not all(type(item) is int and item >= 0 for item in token_ids):
        raise ArtifactError(MANIFEST_FILE, f"golden[{index}].token_ids must be a list of token ids")
    return GoldenText(text, tuple(token_ids))


class _Fields:
    """The fields of a manifest by type; each refusal names its field."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    def text(self, name: str) -> str:
        return self._of_type(name, str, "a string")

    def positive(self, name: str) -> int:
        value = self._of_type(name, int, "a whole number")
        if isinstance(value, bool) or not 1 <= value <= _WHOLE_MAX:
            raise ArtifactError(MANIFEST_FILE, f"{name} must be a positive whole number, at most {_WHOLE_MAX}")
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        return self._of_type(name, dict, "an object")

    def sequence(self, name: str) -> list[Any]:
        return self._of_type(name, list, "a list")

    def texts(self, name: str) -> list[str]:
        values = self.sequence(name)
        if not all(isinstance(value, str) and value for value in values):
            raise ArtifactError(MANIFEST_FILE, f"{name} must hold strings that are not empty")
        return values

    def text_mapping(self, name: str) -> dict[str, str]:
        values = self.mapping(name)
        if not all(isinstance(value, str) for value in values.values()):
            raise ArtifactError(MANIFEST_FILE, f"{name} must hold strings")
        return values

    def _of_type(self, name: str, kind: type[_T], words: str) -> _T:
        if name not in self._document:
            raise ArtifactError(MANIFEST_FILE, f"{name} is missing")
        value = self._document[name]
        if not isinstance(value, kind):
            raise ArtifactError(MANIFEST_FILE, f"{name} must be {words}")
        return value


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
