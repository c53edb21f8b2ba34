"""From a trained checkpoint to the package of a version (see ``serving.package.artifact``)."""

import dataclasses
import importlib.metadata
import json
import shutil
import struct
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from serving.package.artifact import (
    CONFIG_FILE,
    GOLDEN_TEXTS_MIN,
    GRAPH_FILE,
    GRAPH_WEIGHTS_FILE,
    MANIFEST_FILE,
    REQUIRED_FILES,
    TOKENIZER_FILE,
    WEIGHTS_FILE,
    ArtifactError,
    GoldenText,
    Manifest,
    Variant,
    config_labels,
    file_record,
    verify,
)
from serving.package.rules import AnswerRules

# One text for each way in which tokenizers differ: casing, accents, digits, punctuation, scripts, emoji, white space.
GOLDEN_TEXTS: Final = (
    "Where is my order?",
    "WHERE IS MY ORDER",
    "i want to cancel my subscription, please",
    "Café, naïve façade; Ångström and Škoda",
    "Cafe\u0301 with a combining accent",
    "My card 4111-1111 was charged $12.50 twice on 2026-11-23 at 09:41",
    "e-mail me@example.org or see https://example.org/help?id=42&x=%20y",
    "don't, won't, it's — “quoted” «text» … and (brackets) [more] {even more}",
    "tabs\tand\nline\r\nbreaks  and   runs of spaces",
    "  leading and trailing  ",
    "🙂👍🏽 it works 👩‍👩‍👧‍👦",
    "我想取消我的订单",
    "注文をキャンセルしたい",
    "주문을 취소하고 싶어요",
    "Где мой заказ?",
    "أين طلبي؟",
    "मेरा ऑर्डर कहाँ है",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "ﬁnance ½ ² № Ⅳ \uff26\uff35\uff2c\uff2c zero\u200bwidth",
    "a long message that has to be cut at some point " * 60,
)
_LIBRARIES: Final = ("numpy", "onnxruntime", "tokenizers")
_SAFETENSORS_HEADER_BYTES_MAX: Final = 100 * 2**20  # the format's own limit


def build_package(
    checkpoint_dir: Path,
    out_dir: Path,
    *,
    golden_texts: Sequence[str] | None = None,
    variant: str = "fp32",
    variant_of: str | None = None,
    rules: AnswerRules | None = None,
) -> Manifest:
    """Write the package of a checkpoint to ``out_dir``, which must not exist yet; it appears whole or not at all.

    Variants are ``fp32``, ``fp16`` (for GPUs) and ``int8``; what becomes of the answers is for the gates to judge.
    ``variant_of`` is the fingerprint of the version with the same weights, if there is one. Without ``rules`` the
    version classifies texts and cuts them at the model's limit.

    The checkpoint has ``model.safetensors``, ``config.json``, ``tokenizer.json`` and, unless torch is installed to
    export one, ``model.onnx``. Other files of it are left behind.

    Raises:
        ArtifactError: the checkpoint lacks a file or one of them cannot be served.
        ExportError: the variant cannot be made here (all but fp32 need the package ``onnx``), or not of this graph.
        ValueError: fewer than 20 golden texts were given, or there is no such variant.
        FileExistsError: ``out_dir`` exists.
    """
    texts = GOLDEN_TEXTS if golden_texts is None else tuple(golden_texts)
    if len(texts) < GOLDEN_TEXTS_MIN:
        raise ValueError(f"at least {GOLDEN_TEXTS_MIN} golden texts are needed, got {len(texts)}")
    if out_dir.exists():
        raise FileExistsError(out_dir)
    kind = Variant(variant)
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out_dir.parent, prefix=f".{out_dir.name}-") as temporary:
        package = Path(temporary) / "package"
        package.mkdir()
        _collect(checkpoint_dir, package)
        plan = _Plan(texts, kind, variant_of, rules or AnswerRules())
        manifest = _describe(package, *_write_graph(checkpoint_dir, package, plan), plan)
        (package / MANIFEST_FILE).write_bytes(manifest.to_bytes())
        verify(package)
        package.rename(out_dir)
    return manifest


@dataclasses.dataclass(frozen=True, slots=True)
class _Plan:
    """What was asked for."""

    golden_texts: Sequence[str]
    variant: Variant
    variant_of: str | None
    rules: AnswerRules


def check_safetensors(path: Path) -> None:
    """Read the header of a safetensors file: 8 bytes of length, then JSON that places every tensor inside the file.

    Raises:
        ArtifactError: the file is something else.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
        if not 2 <= length <= min(size - 8, _SAFETENSORS_HEADER_BYTES_MAX):
            raise ArtifactError(path.name, "is not a safetensors file (its header has an impossible length)")
        header = file.read(length)
    try:
        tensors = json.loads(header)
        ends = [tensor["data_offsets"][1] for name, tensor in tensors.items() if name != "__metadata__"]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise ArtifactError(path.name, f"is not a safetensors file ({error})") from error
    if not ends or max(ends) != size - 8 - length:
        raise ArtifactError(path.name, "is not a whole safetensors file (its tensors do not fill it)")


def _collect(checkpoint_dir: Path, package: Path) -> None:
    for name in (WEIGHTS_FILE, CONFIG_FILE, TOKENIZER_FILE):
        if not (checkpoint_dir / name).is_file():
            raise ArtifactError(name, f"is missing in the checkpoint {checkpoint_dir}")
        shutil.copyfile(checkpoint_dir / name, package / name)
    check_safetensors(package / WEIGHTS_FILE)


def _write_graph(checkpoint_dir: Path, package: Path, plan: _Plan) -> tuple[Path, Path]:
    """Write the graph that is served; returns the one it was made from, and the one that must answer like it."""
    from serving.package.firsttoken import narrow
    from serving.package.graphs import prepare

    source = checkpoint_dir / GRAPH_FILE
    if not source.is_file():
        from serving.package.export import export_onnx

        source = package.parent / GRAPH_FILE
        export_onnx(package, source, sample_texts=plan.golden_texts, task=plan.rules.task)
    narrowed = narrow(source, package.parent / "narrowed" / GRAPH_FILE)
    prepare(narrowed, package, plan.variant)
    return source, package / GRAPH_FILE if plan.variant is Variant.FP32 else narrowed


def _describe(package: Path, source: Path, exact: Path, plan: _Plan) -> Manifest:
    from serving.inference.engine import Engine
    from serving.package.graphs import TOLERANCE, compare

    config_bytes = (package / CONFIG_FILE).read_bytes()
    manifest = Manifest(
        labels=config_labels(config_bytes, plan.rules.task),
        max_tokens=_max_tokens(json.loads(config_bytes), package / TOKENIZER_FILE),
        files={name: file_record(package / name) for name in (*REQUIRED_FILES, GRAPH_WEIGHTS_FILE)},
        library_versions={name: importlib.metadata.version(name) for name in _LIBRARIES},
        golden=(),
        created_by=f"serin {_own_version()}",
        variant=plan.variant,
        variant_of=plan.variant_of,
        rules=plan.rules,
    )
    texts = plan.golden_texts
    engine = Engine(package, manifest)
    engine.answer(texts[:1])  # a graph that fails, or has another number of outputs, is refused here
    tokenized = engine.tokenizer.tokenize(texts)
    difference = 0.0
    if exact != source:
        difference = compare(source, exact, tokenized, plan.rules, manifest.labels)
    if not difference <= TOLERANCE:  # in this form a NaN is refused too
        raise ArtifactError(GRAPH_FILE, f"answers otherwise once it is optimised (by {difference:.1e})")
    golden = (GoldenText(text, done.ids) for text, done in zip(texts, tokenized, strict=True))
    return dataclasses.replace(manifest, golden=tuple(golden))


def _max_tokens(config: dict[str, Any], tokenizer_file: Path) -> int:
    """What the model has positions for, or less if the tokenizer was saved with a lower limit."""
    positions = config.get("max_position_embeddings")
    if type(positions) is not int or positions < 3:
        raise ArtifactError(CONFIG_FILE, "max_position_embeddings must be a whole number of at least 3")
    truncation = json.loads(tokenizer_file.read_bytes()).get("truncation") or {}
    return min(positions, int(truncation.get("max_length", positions)))


def _own_version() -> str:
    try:
        return importlib.metadata.version("serin")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
