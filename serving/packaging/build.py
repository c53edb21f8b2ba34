"""From a trained checkpoint to the package of a version (see ``serving.package.artifact``)."""

import dataclasses
import importlib.metadata
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from serving.package.artifact import (
    CONFIG_BYTES_MAX,
    CONFIG_FILE,
    GOLDEN_TEXTS_MIN,
    GRAPH_FILE,
    GRAPH_WEIGHTS_FILE,
    MANIFEST_FILE,
    REQUIRED_FILES,
    WEIGHTS_FILE,
    ArtifactError,
    GoldenText,
    Manifest,
    Variant,
    config_labels,
    file_record,
    parse_object,
    verify,
)
from serving.package.checkpoint import Checkpoint, find_checkpoint
from serving.package.families import check_config, check_weights, family_of, positions_max
from serving.package.labels import check_claims
from serving.package.origin import Lineage
from serving.package.reading import (
    LIMIT_OF_SETTINGS,
    SETTINGS_FILE,
    check_saved,
    read_saved,
    refusing,
    token_rules,
)
from serving.package.rules import AnswerRules, Side, TokenRules
from serving.package.tensors import check_graph_weights, read_safetensors

if TYPE_CHECKING:
    from serving.inference.engine import Engine
    from serving.inference.tokenizer import TokenizedText

# A text that is cut keeps one of its ends: which one must show.
_BEGIN: Final = "Where is my refund? It began in March:"
_FILLER: Final = ("a", "long", "message", "that", "has", "to", "be", "cut", "at", "some", "point")
_END: Final = "so please cancel my order now."

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
    f"{_BEGIN} {' '.join(_FILLER * 60)} {_END}",
)
_LIBRARIES: Final = ("numpy", "onnxruntime", "tokenizers")
_GOLDEN_CHARS_MAX: Final = 20_000
"""The longest text that a replica takes where nothing else is said."""


def build_package(  # noqa: PLR0913 - what a package is made with, each by name
    checkpoint_dir: Path,
    out_dir: Path,
    *,
    golden_texts: Sequence[str] | None = None,
    variant: str = "fp32",
    variant_of: str | None = None,
    rules: AnswerRules | None = None,
    tokens_of: Manifest | None = None,
    max_tokens: int | None = None,
    lineage: Lineage | None = None,
) -> Manifest:
    """Write the package of a checkpoint to ``out_dir``, which must not exist yet; it appears whole or not at all.

    Variants are ``fp32``, ``fp16`` (for GPUs) and ``int8``; what becomes of the answers is for the gates to judge.
    ``variant_of`` is the fingerprint of the version with the same weights, if there is one. Without ``rules`` the
    version classifies texts and cuts them at the model's limit, or at ``max_tokens``. ``tokens_of`` is the manifest of
    that same version, whose limit and token rules are kept. ``lineage``: where the checkpoint comes from.

    The checkpoint has ``config.json``, ``tokenizer.json``, ``model.safetensors`` (in one piece or several) and, unless
    torch is installed to export one, ``model.onnx``; or it is what ``mlflow.transformers`` logged. From
    ``tokenizer_config.json`` comes how texts are cut. Other files of it are left behind.

    Raises:
        ArtifactError: the checkpoint lacks a file, one of them cannot be served, or two contradict each other.
        ExportError: the variant cannot be made here (all but fp32 need the package ``onnx``), or not of this graph.
        ValueError: fewer than 20 golden texts were given, or there is no such variant.
        FileExistsError: ``out_dir`` exists.
    """
    if golden_texts is not None and len(golden_texts) < GOLDEN_TEXTS_MIN:
        raise ValueError(f"at least {GOLDEN_TEXTS_MIN} golden texts are needed, got {len(golden_texts)}")
    if out_dir.exists():
        raise FileExistsError(out_dir)
    kind = Variant(variant)
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out_dir.parent, prefix=f".{out_dir.name}-") as temporary:
        package = Path(temporary) / "package"
        package.mkdir()
        checkpoint = find_checkpoint(checkpoint_dir)
        checkpoint.collect(package)
        texts = None if golden_texts is None else tuple(golden_texts)
        plan = _Plan(texts, kind, variant_of, rules or AnswerRules(), tokens_of, max_tokens, lineage)
        manifest = _describe(checkpoint, package, plan, _checked(checkpoint, package, plan))
        (package / MANIFEST_FILE).write_bytes(manifest.to_bytes())
        verify(package)
        package.rename(out_dir)
    return manifest


@dataclasses.dataclass(frozen=True, slots=True)
class _Plan:
    """The package that was asked for."""

    golden_texts: Sequence[str] | None
    variant: Variant
    variant_of: str | None
    rules: AnswerRules
    tokens_of: Manifest | None
    max_tokens: int | None
    lineage: Lineage | None


@dataclasses.dataclass(frozen=True, slots=True)
class _Checked:
    """A checkpoint whose files agree with each other, as far as they tell of it."""

    family: str
    labels: tuple[str, ...]
    max_tokens: int
    tokens: TokenRules
    golden_texts: Sequence[str]


def _checked(checkpoint: Checkpoint, package: Path, plan: _Plan) -> _Checked:
    """Hold the files against each other. All of it before a graph is exported: that takes minutes, this nothing."""
    config_bytes = (package / CONFIG_FILE).read_bytes()
    config = parse_object(CONFIG_FILE, config_bytes, CONFIG_BYTES_MAX)
    task = plan.rules.task
    check_config(config, task)
    name, family = family_of(config)
    labels = config_labels(config_bytes, task)
    try:
        if labels:
            check_claims(config, labels)
    except ValueError as error:
        raise ArtifactError(CONFIG_FILE, str(error)) from None
    positions = positions_max(config, family)
    weights = read_safetensors(package / WEIGHTS_FILE)
    rows = check_weights(config, family, weights, task, labels)
    saved = read_saved(checkpoint.tokenizer)
    check_saved(saved, config, rows)
    if checkpoint.graph is not None:
        check_graph_weights(checkpoint.graph, weights)
    max_tokens, tokens = token_rules(saved, config, positions, plan.max_tokens)
    if plan.tokens_of is not None:
        max_tokens, tokens = _original_rules(plan.tokens_of, max_tokens, tokens)
    texts = plan.golden_texts if plan.golden_texts is not None else golden_texts(max_tokens)
    return _Checked(name, labels, max_tokens, tokens, texts)


def _original_rules(original: Manifest, max_tokens: int, tokens: TokenRules) -> tuple[int, TokenRules]:
    """Limit and rules of the version that this one is a variant of. One from before they were recorded has its own.

    A limit that somebody asked for then is in no file; one that was read from the settings must stand there still."""
    kept = original.tokens
    told = dataclasses.replace(tokens, padding_side=kept.padding_side, limit_from=kept.limit_from)  # the side was tried
    read = all(origin.startswith(LIMIT_OF_SETTINGS) for origin in (kept.limit_from, tokens.limit_from))
    if kept.limit_from and (kept != told or (read and original.max_tokens != max_tokens)):
        raise ArtifactError(
            SETTINGS_FILE,
            "cuts or pads texts differently from the original version: leave --of out to register a new one",
        )
    return original.max_tokens, original.tokens


def golden_texts(max_tokens: int) -> tuple[str, ...]:
    """The texts whose token ids a manifest keeps; the last is longer than the limit, and its ends differ."""
    words = min(max(60 * len(_FILLER), max_tokens + 8), _GOLDEN_CHARS_MAX // 2)  # of a letter and a space at the least
    longer = " ".join((_BEGIN, *(_FILLER[at % len(_FILLER)] for at in range(words)), _END))
    if len(longer) > _GOLDEN_CHARS_MAX:
        longer = " ".join((_BEGIN, *("a" for _ in range(words)), _END))
    return (*GOLDEN_TEXTS[:-1], longer[:_GOLDEN_CHARS_MAX])


def _write_graph(checkpoint: Checkpoint, package: Path, plan: _Plan, checked: _Checked) -> tuple[Path, Path]:
    """Write the graph that is served; returns the one it was made from, and the one that must answer like it."""
    from serving.packaging.firsttoken import narrow
    from serving.packaging.graphs import prepare

    source = checkpoint.graph
    if source is None:
        from serving.packaging.export import export_onnx

        source = package.parent / GRAPH_FILE
        export_onnx(package, source, sample_texts=checked.golden_texts, task=plan.rules.task)
    narrowed = narrow(source, package.parent / "narrowed" / GRAPH_FILE)
    prepare(narrowed, package, plan.variant)
    return source, package / GRAPH_FILE if plan.variant is Variant.FP32 else narrowed


def _describe(checkpoint: Checkpoint, package: Path, plan: _Plan, checked: _Checked) -> Manifest:
    from serving.inference.engine import Engine
    from serving.packaging.graphs import TOLERANCE, compare
    from serving.packaging.library import compare_with_library

    source, exact = _write_graph(checkpoint, package, plan, checked)
    manifest = Manifest(
        labels=checked.labels,
        max_tokens=checked.max_tokens,
        files={name: file_record(package / name) for name in (*REQUIRED_FILES, GRAPH_WEIGHTS_FILE)},
        library_versions={name: importlib.metadata.version(name) for name in _LIBRARIES},
        golden=(),
        created_by=f"serin {_own_version()}",
        variant=plan.variant,
        variant_of=plan.variant_of,
        rules=plan.rules,
        tokens=checked.tokens,
        family=checked.family,
        lineage=plan.lineage,
    )
    texts = checked.golden_texts
    engine = Engine(package, manifest)
    tokenized = _tokenized(engine, texts)
    engine.outputs(tokenized[:1])  # a graph that fails, or has another number of outputs, is refused here
    difference = 0.0
    if exact != source:
        difference = compare(source, exact, tokenized, plan.rules, manifest.labels)
    if not difference <= TOLERANCE:  # in this form a NaN is refused too
        raise ArtifactError(GRAPH_FILE, f"answers differently once it is optimised (by {difference:.1e})")
    tokens = _settled(checked.tokens, exact, tokenized, engine)
    compare_with_library(checkpoint, package, source, engine, texts)
    golden = (GoldenText(text, done.ids) for text, done in zip(texts, tokenized, strict=True))
    return dataclasses.replace(manifest, golden=tuple(golden), tokens=tokens)


def _tokenized(engine: "Engine", texts: Sequence[str]) -> "list[TokenizedText]":
    with refusing("fails on a text"):  # a client's would be answered with 500
        return engine.tokenizer.tokenize(texts)


def _settled(tokens: TokenRules, graph: Path, texts: "Sequence[TokenizedText]", engine: "Engine") -> TokenRules:
    """The side that is padded: as saved, unless a text's answer would then depend on which texts share its batch.

    The library pads between the texts of a batch only, and so answers a text alone; left of a text with absolute
    positions, padding moves it to others.
    """
    from serving.packaging.graphs import TOLERANCE, padding_moves

    manifest, padding = engine.manifest, engine.tokenizer.padding
    for side in (tokens.padding_side, Side.RIGHT):
        tried = dataclasses.replace(padding, side=side)
        if (moved := padding_moves(graph, texts, manifest.rules, manifest.labels, tried)) <= TOLERANCE:
            return dataclasses.replace(tokens, padding_side=side)
    raise ArtifactError(
        GRAPH_FILE, f"answers differently beside padding (by {moved:.1e}): it does not respect attention_mask"
    )


def _own_version() -> str:
    try:
        return importlib.metadata.version("serin")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
