"""The work on a version's graph that is done once, when it is packaged: optimised, and turned into its variant.

The optimised graph is stored with its weights in a file beside it, which ONNX Runtime maps into memory: nothing is
fused, parsed or copied at each start, and replicas of a version share the pages.
"""

import logging
import tempfile
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime

from serving.inference.heads import Floats, head_for, unit
from serving.inference.tokenizer import Padding, TokenizedText
from serving.package.artifact import GRAPH_FILE, GRAPH_WEIGHTS_FILE, ArtifactError, Variant
from serving.package.rules import AnswerRules, Side, Task
from serving.packaging.export import ExportError

TOLERANCE: Final = 1e-4
"""How far a probability may move by optimising: sums are only taken in another order."""
_COMPANY_TOKENS: Final = 24
_COMPANY_TEXTS: Final = 8
"""How far a row is filled up, and how many texts are tried, to see whether padding moves an answer."""
_INLINE_BYTES_MAX: Final = 1024
_SLOWER_FUSED: Final = ["SkipLayerNormFusion"]
"""ONNX Runtime's kernel for an addition with the normalisation after it takes five times as long as one of each."""
_CPU_ONLY: Final = ["GemmActivationFusion"]
"""Makes an operator that no GPU has a kernel for: what it reads and gives would be copied to and fro."""


def prepare(source: Path, package: Path, variant: Variant) -> None:
    """Write ``model.onnx`` and its weights into ``package``.

    Raises:
        ArtifactError: ``source`` is not a graph that ONNX Runtime runs.
        ExportError: see :func:`quantise` and :func:`halve`.
    """
    with tempfile.TemporaryDirectory(dir=package.parent, prefix=".graph-") as folder:
        between = Path(folder) / GRAPH_FILE
        match variant:
            case Variant.FP32:
                optimise(source, package / GRAPH_FILE)
            case Variant.INT8:
                optimise(quantise(source, between), package / GRAPH_FILE)
            case (
                Variant.FP16
            ):  # the other way round: optimised for a CPU, each half-precision sum would be a cast around it
                optimise(source, between, without=_CPU_ONLY)
                halve(between, package / GRAPH_FILE)


def optimise(source: Path, target: Path, *, without: Sequence[str] = ()) -> None:
    """The fusions that hold on every CPU; those for one kind of CPU are not taken, since packages travel.

    ``without``: others that are not taken either, by ONNX Runtime's names.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 3
    for entry, value in (
        ("session.optimized_model_external_initializers_file_name", GRAPH_WEIGHTS_FILE),
        ("session.optimized_model_external_initializers_min_size_in_bytes", str(_INLINE_BYTES_MAX)),
    ):
        options.add_session_config_entry(entry, value)
    _open(source, options, without=[*_SLOWER_FUSED, *without])
    weights = target.with_name(GRAPH_WEIGHTS_FILE)
    weights.touch()  # a graph whose tensors are all small keeps them; the package holds the same files all the same


def quantise(source: Path, target: Path) -> Path:
    """Weights to int8, one scale for each output channel; activations are quantised as they come.

    Weights keep to 7 bits: with 8, processors without a dot product of their own (before AVX512-VNNI) add up two
    products in 16 bits and saturate, and a version would answer differently by where it runs.

    Raises:
        ExportError: the package ``onnx`` is not installed, or the graph cannot be quantised.
    """
    _require_onnx(Variant.INT8)
    from onnxruntime.quantization import QuantType, quantize_dynamic

    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)  # it recommends a preparation that dynamic quantisation does not need
    try:
        quantize_dynamic(source, target, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True)
    except Exception as error:  # whatever it raises, it is this graph that cannot be quantised
        raise ExportError(f"the graph cannot be quantised to int8: {error}") from error
    finally:
        root.setLevel(before)
    return target


def halve(source: Path, target: Path) -> None:
    """Weights and what is computed in half precision (fp16); inputs and outputs as they were. For GPUs.

    Larger numbers than half precision has become its largest: a mask's lowest float stays the lowest.

    Raises:
        ExportError: the package ``onnx`` is not installed, or the graph cannot be converted.
    """
    _require_onnx(Variant.FP16)
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of each number that is cut to the range
            model = convert_float_to_float16(onnx.load(source), keep_io_types=True)
        onnx.save(
            model,
            target,
            save_as_external_data=True,
            location=GRAPH_WEIGHTS_FILE,
            size_threshold=_INLINE_BYTES_MAX,
        )
    except Exception as error:  # whatever it raises, it is this graph that cannot be converted
        raise ExportError(f"the graph cannot be converted to fp16: {error}") from error
    target.with_name(GRAPH_WEIGHTS_FILE).touch()


def _require_onnx(variant: Variant) -> None:
    if find_spec("onnx") is None:
        raise ExportError(f"the variant {variant} needs onnx, not installed here: pip install -c constraints.txt onnx")


def compare(
    source: Path, target: Path, texts: Sequence[TokenizedText], rules: AnswerRules, labels: Sequence[str]
) -> float:
    """Largest difference between two graphs over the texts, each run alone and cut at the limit.

    Of a probability, or of a number of the embedding at length 1.
    """
    sessions = [_open(path, onnxruntime.SessionOptions()) for path in (source, target)]
    largest = 0.0
    for text in texts:
        first, second = (_numbers(session, text.ids, rules, labels) for session in sessions)
        largest = float(np.maximum(largest, np.abs(first - second).max()))  # unlike max(), keeps a NaN
    return largest


def numbers_of(graph: Path, texts: Sequence[TokenizedText], rules: AnswerRules, labels: Sequence[str]) -> list[Floats]:
    """Return what a graph gives for each text, run alone and cut at the limit, as ``compare`` compares it."""
    session = _open(graph, onnxruntime.SessionOptions())
    return [_numbers(session, text.ids, rules, labels) for text in texts]


def activated(
    output: npt.NDArray[np.float32], mask: npt.NDArray[np.int64], rules: AnswerRules, labels: Sequence[str]
) -> Floats:
    """The numbers of one row's output, in the form in which answers are compared."""
    (numbers,) = head_for(rules, labels).activate(output, mask.astype(np.bool_))
    return unit(numbers) if rules.task is Task.EMBEDDING else numbers


def padding_moves(
    graph: Path, texts: Sequence[TokenizedText], rules: AnswerRules, labels: Sequence[str], padding: Padding
) -> float:
    """Largest change of a text's answer where its row is filled up to the width of another, as in ``compare``."""
    session = _open(graph, onnxruntime.SessionOptions())
    lengths = [len(text.ids) for text in texts]
    width = min(max(lengths), min(lengths) + _COMPANY_TOKENS)
    largest = 0.0
    for ids in [text.ids for text in texts if len(text.ids) < width][:_COMPANY_TEXTS]:
        blank = (padding.token_id,) * (width - len(ids))
        padded, begin = ((*blank, *ids), len(blank)) if padding.side is Side.LEFT else ((*ids, *blank), 0)
        mask = np.zeros((1, width), dtype=np.int64)
        mask[0, begin : begin + len(ids)] = 1
        alone, beside = _numbers(session, ids, rules, labels), _numbers(session, padded, rules, labels, mask)
        if head_for(rules, labels).by_token:
            beside = beside[begin : begin + len(ids)]
        largest = float(np.maximum(largest, np.abs(alone - beside).max()))
    return largest


def _numbers(
    session: Any,
    token_ids: Sequence[int],
    rules: AnswerRules,
    labels: Sequence[str],
    mask: npt.NDArray[np.int64] | None = None,
) -> Floats:
    ids = np.array([token_ids], dtype=np.int64)
    mask = np.ones_like(ids) if mask is None else mask
    feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    names = {entry.name for entry in session.get_inputs()}
    output = session.run(None, {name: feed[name] for name in names})[0]
    return activated(output, mask, rules, labels)


def _open(path: Path, options: Any, *, without: Sequence[str] = ()) -> Any:
    """``without``: what is not to be optimised, by ONNX Runtime's names."""
    options.log_severity_level = 3
    providers = ["CPUExecutionProvider"]
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers, disabled_optimizers=list(without))
    except Exception as error:  # onnxruntime raises many kinds, all meaning "this graph cannot be run"
        raise ArtifactError(GRAPH_FILE, f"is not a graph that ONNX Runtime loads ({error})") from error
