"""Export of a trained encoder to the ONNX graph that is served: of its classes, its token labels or its states.

The one place of `serving` that uses torch, and only inside `export_onnx`: loading and serving never import it. A graph
is kept only after it has given the same probabilities as torch on sample texts.
"""

import json
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from serving.inference.heads import EmbeddingHead, Head, head_for, unit
from serving.package.artifact import CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE, ArtifactError
from serving.package.families import family_of, positions_max
from serving.package.rules import AnswerRules, Task

# The lowest opset with LayerNormalization, which ONNX Runtime runs as one kernel.
OPSET: Final = 17
COMPARED_BATCH_TEXTS: Final = 32
_CLASSES: Final = {
    Task.SEQUENCE_CLASSIFICATION: "AutoModelForSequenceClassification",
    Task.TOKEN_CLASSIFICATION: "AutoModelForTokenClassification",
    Task.EMBEDDING: "AutoModel",
}


class ExportError(Exception):
    """The checkpoint could not be exported, or its graph does not give the model's answers."""


@dataclass(frozen=True, slots=True)
class ExportReport:
    """The graph that was written, and how far it is from torch on the sample texts.

    `max_abs_difference` is the largest absolute difference of any probability (of an embedding: of any of its numbers
    at length 1) of any of the `text_count` texts; the longest of them had `longest_tokens` tokens.
    """

    path: Path
    size_bytes: int
    opset: int
    max_abs_difference: float
    text_count: int
    longest_tokens: int


def export_onnx(
    checkpoint_dir: Path,
    out: Path,
    *,
    sample_texts: Sequence[str],
    task: Task = Task.SEQUENCE_CLASSIFICATION,
    tolerance: float = 1e-4,
) -> ExportReport:
    """Writes the ONNX graph of `checkpoint_dir` (config.json, model.safetensors, tokenizer.json) to `out`.

    Inputs of the graph: `input_ids` and `attention_mask`, int64 [batch, tokens]; output, float32: `logits` [batch,
    labels] or [batch, tokens, labels], or for an embedding `last_hidden_state` [batch, tokens, dimensions]; batch and
    tokens are free. Weights in half precision are computed in single precision. `out` is replaced only by a graph whose
    probabilities or embeddings of `sample_texts`, each alone and in padded batches, are within `tolerance` of torch's.

    Raises ExportError: a library of the extra is missing, no sample text, an unreadable checkpoint, or a difference
    above `tolerance`.
    """
    if not sample_texts:
        raise ExportError("no sample text was given: the exported graph could not be compared with the model")
    _require_libraries()
    positions = _check(checkpoint_dir)
    with quiet_library():
        model = load_model(checkpoint_dir, task)
    samples = _encode(checkpoint_dir, sample_texts, max_tokens=positions)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".export-") as folder:
        draft = Path(folder) / "model.onnx"
        _write_graph(model, draft, task)
        difference = _max_difference(model, draft, samples, task)
        # In this form a NaN is refused too.
        if not difference <= tolerance:
            raise ExportError(
                f"ONNX and torch answers of {checkpoint_dir} differ by {difference:.1e} on "
                f"{len(sample_texts)} sample texts; the tolerance is {tolerance:.1e}"
            )
        draft.replace(out)
    return ExportReport(
        path=out,
        size_bytes=out.stat().st_size,
        opset=OPSET,
        max_abs_difference=difference,
        text_count=len(samples),
        longest_tokens=max(len(ids) for ids in samples),
    )


def _require_libraries() -> None:
    missing = [name for name in ("onnx", "onnxruntime", "torch", "transformers") if find_spec(name) is None]
    if missing:
        raise ExportError(
            f"export to ONNX needs {', '.join(missing)}, not installed here: `make setup-export` makes "
            ".venv-export with the tested versions"
        )


def _check(checkpoint_dir: Path) -> int:
    """Return how many tokens the model takes, of a family that is served."""
    for name in (CONFIG_FILE, WEIGHTS_FILE, TOKENIZER_FILE):
        if not (checkpoint_dir / name).is_file():
            raise ExportError(f"{checkpoint_dir / name} is missing")
    try:
        config = json.loads((checkpoint_dir / CONFIG_FILE).read_bytes())
        return positions_max(config, family_of(config)[1])
    except (ArtifactError, ValueError) as error:
        raise ExportError(str(error)) from error


def load_model(checkpoint_dir: Path, task: Task) -> Any:
    """The checkpoint as a torch module in evaluation mode; read from safetensors, never from a pickle.

    In single precision, however it is stored: the library's own choice has changed with its versions.

    Raises ExportError: it cannot be read, or lacks weights.
    """
    import torch
    import transformers

    kind = getattr(transformers, _CLASSES[task])
    try:
        model, loaded = kind.from_pretrained(
            checkpoint_dir,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            attn_implementation="eager",
            output_loading_info=True,
            **{_dtype_argument(transformers.__version__): torch.float32},
        )
    # Whatever a broken file makes the library raise, it is this checkpoint that cannot be read.
    except Exception as error:
        raise ExportError(f"transformers cannot load {WEIGHTS_FILE} for {task}: {one_line(error)}") from error
    # The library fills what a checkpoint lacks with random weights and only warns.
    absent = sorted(loaded["missing_keys"])
    if absent:
        raise ExportError(
            f"{WEIGHTS_FILE} is not for {task}: {len(absent)} weights are missing, {absent[0]} among them"
        )
    return model.float().eval()


def one_line(error: Exception, characters_max: int = 300) -> str:
    """Return what a library says, which may be pages, on one line."""
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= characters_max else words[:characters_max] + " …"


@contextmanager
def quiet_library() -> Iterator[None]:
    """transformers draws bars and prints tables of what it loads; what matters of it is said in our words."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _dtype_argument(version: str) -> str:
    """Since 4.56 `torch_dtype` has another name."""
    major, minor = (int(part) for part in version.split(".")[:2])
    return "dtype" if (major, minor) >= (4, 56) else "torch_dtype"


def _encode(checkpoint_dir: Path, texts: Sequence[str], *, max_tokens: int) -> list[list[int]]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(checkpoint_dir / "tokenizer.json"))
    tokenizer.no_padding()  # fixed padding would hide what the graph does at other lengths
    tokenizer.enable_truncation(max_tokens)
    return [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]


def _first_output(model: Any) -> Any:
    """The model with two tensors in and one out, as the exporter wants it: families differ in what else they give."""
    import torch

    class FirstOutput(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.model(input_ids=input_ids, attention_mask=attention_mask)[0]

    return FirstOutput().eval()


def _write_graph(model: Any, path: Path, task: Task) -> None:
    """Traces the model on two rows of different lengths, so that neither size nor mask becomes a constant.

    The tracing exporter is preferred to the newer `dynamo` one: ONNX Runtime 1.32 fuses the GELU of its graph and ran
    it 10 to 30 % faster, it needs no `onnxscript`, and it writes no paths of this machine into the graph.
    """
    import torch

    input_ids = torch.ones((2, 8), dtype=torch.int64)
    attention_mask = torch.tensor([[1] * 8, [1] * 5 + [0] * 3])
    free = {0: "batch", 1: "tokens"}
    output = "last_hidden_state" if task is Task.EMBEDDING else "logits"
    free_of_output = {0: "batch"} if task is Task.SEQUENCE_CLASSIFICATION else free
    try:
        with _tracing_warnings_hidden():
            torch.onnx.export(
                _first_output(model),
                (input_ids, attention_mask),
                str(path),
                input_names=["input_ids", "attention_mask"],
                output_names=[output],
                dynamic_axes={"input_ids": free, "attention_mask": free, output: free_of_output},
                opset_version=OPSET,
                dynamo=False,
            )
    except Exception as error:  # of many kinds, all meaning that this model has no such graph
        raise ExportError(f"torch cannot export a {model.config.model_type}: {one_line(error)}") from error


@contextmanager
def _tracing_warnings_hidden() -> Iterator[None]:
    """The tracer warns of values it may freeze; whether it did is measured afterwards, on texts of other lengths."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _max_difference(model: Any, graph: Path, samples: Sequence[list[int]], task: Task) -> float:
    """Largest absolute difference of what is answered; NaN if either side gives one."""
    import onnxruntime
    import torch

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    head = head_for(AnswerRules(task), ())
    alone = [[ids] for ids in samples]
    together = [samples[start : start + COMPARED_BATCH_TEXTS] for start in range(0, len(samples), COMPARED_BATCH_TEXTS)]
    largest = 0.0
    for batch in (*alone, *together):
        input_ids, attention_mask = _padded(batch)
        with torch.no_grad():
            expected = model(torch.from_numpy(input_ids), torch.from_numpy(attention_mask))[0]
        (found,) = session.run(None, {"input_ids": input_ids, "attention_mask": attention_mask})
        mask = attention_mask.astype(np.bool_)
        difference = _difference(head, expected.numpy(), found, mask)
        largest = float(np.maximum(largest, difference))  # unlike max(), keeps a NaN
    return largest


def _difference(
    head: Head, expected: NDArray[np.float32], found: NDArray[np.float32], mask: NDArray[np.bool_]
) -> float:
    """Return the difference of what counts: tokens that are padding have probabilities too, which nobody reads."""
    sides = [head.activate(output, mask) for output in (expected, found)]
    if isinstance(head, EmbeddingHead):
        sides = [np.array([unit(vector) for vector in vectors]) for vectors in sides]
    elif sides[0].ndim == 3:
        sides = [probabilities[mask] for probabilities in sides]
    return float(np.abs(sides[0] - sides[1]).max())


def _padded(rows: Sequence[list[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Token ids and mask, [batch, longest]; the mask, not the padding's id, says what counts."""
    longest = max(len(row) for row in rows)
    input_ids = np.zeros((len(rows), longest), dtype=np.int64)
    attention_mask = np.zeros_like(input_ids)
    for i, row in enumerate(rows):
        input_ids[i, : len(row)] = row
        attention_mask[i, : len(row)] = 1
    return input_ids, attention_mask
