"""ONNX Runtime: padded batches of token ids in, class probabilities out."""

import os
import time
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy only copies and adds here: no thread pool for that

import numpy as np
import numpy.typing as npt
import onnxruntime

from serving.artifact import GRAPH_FILE, TOKENIZER_FILE, ArtifactError, Manifest
from serving.cores import engine_threads, usable_cores
from serving.settings import Provider
from serving.tokenizer import TokenizedText, Tokenizer

_PROVIDERS: Final = {
    Provider.CPU: ("CPUExecutionProvider",),
    Provider.CUDA: ("CUDAExecutionProvider", "CPUExecutionProvider"),  # the latter for what the former lacks
}
_GRAPH_INPUTS: Final = frozenset({"input_ids", "attention_mask", "token_type_ids"})


class ProviderError(Exception):
    """What should run the graph is not on this machine."""


class Prediction(NamedTuple):
    """One text's class probabilities in label order, and what the tokenizer did to it."""

    probabilities: Sequence[float]
    tokens: int
    unknown_tokens: int
    truncated: bool


class Engine:
    """A version ready to answer: its tokenizer and its graph."""

    def __init__(
        self, directory: Path, manifest: Manifest, *, threads: int | None = 1, provider: Provider = Provider.CPU
    ) -> None:
        self.tokenizer = Tokenizer(directory / TOKENIZER_FILE, manifest.max_tokens)
        self._max_tokens = manifest.max_tokens
        if threads is None:
            sizes = (record.size_bytes for name, record in manifest.files.items() if name.startswith(GRAPH_FILE))
            threads = engine_threads(sum(sizes), usable_cores())
        self._session = _session(directory / GRAPH_FILE, threads, provider)
        self._inputs = graph_inputs(self._session)
        outputs = self._session.get_outputs()
        if outputs[0].shape[-1] not in (len(manifest.labels), None) and isinstance(outputs[0].shape[-1], int):
            raise ArtifactError(GRAPH_FILE, f"has {outputs[0].shape[-1]} outputs for {len(manifest.labels)} labels")
        self._output = outputs[0].name

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """One batch of texts, answered in their order.

        Raises:
            FloatingPointError: the model gave a value that is not finite.
        """
        batch = self.tokenizer.tokenize(texts)
        return [
            Prediction(tuple(row), text.tokens, text.unknown, text.truncated)
            for row, text in zip(np.round(self.probabilities(batch), 7).tolist(), batch, strict=True)
        ]

    def probabilities(self, batch: Sequence[TokenizedText]) -> npt.NDArray[np.float64]:
        """Class probabilities [texts, labels] of one batch, whose texts share a width.

        Raises:
            FloatingPointError: the model gave a value that is not finite.
        """
        probabilities = softmax(self._logits(batch))
        if not np.isfinite(probabilities).all():
            raise FloatingPointError("the model's output is not finite")
        return probabilities

    def width(self, longest_tokens: int) -> int:
        """How wide a batch becomes whose longest text has so many tokens."""
        return min(self.tokenizer.padding.width(longest_tokens), self._max_tokens)

    def warm_up(self, tokens: int, texts: int) -> float:
        """Run a batch of blank texts; returns how long it took, in s."""
        began_s = time.perf_counter()
        ids = (self.tokenizer.padding.token_id,) * min(tokens, self._max_tokens)
        self.probabilities([TokenizedText(ids, len(ids), 0)] * texts)
        return time.perf_counter() - began_s

    def _logits(self, batch: Sequence[TokenizedText]) -> npt.NDArray[np.float32]:
        lengths = np.fromiter((len(text.ids) for text in batch), dtype=np.int64, count=len(batch))
        width = self.width(int(lengths.max()))
        mask = np.arange(width) < lengths[:, np.newaxis]
        ids = np.full(mask.shape, self.tokenizer.padding.token_id, dtype=np.int64)
        ids[mask] = np.fromiter(chain.from_iterable(text.ids for text in batch), dtype=np.int64)
        feed = {"input_ids": ids, "attention_mask": mask.astype(np.int64)}
        if "token_type_ids" in self._inputs:
            feed["token_type_ids"] = np.zeros_like(ids)
        logits: npt.NDArray[np.float32] = self._session.run([self._output], feed)[0]
        return logits


def softmax(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Row-wise softmax in double precision, so that probabilities add up to 1 within rounding."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    normalised: npt.NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return normalised


def graph_inputs(session: Any) -> frozenset[str]:
    """The names of a graph's inputs.

    Raises:
        ArtifactError: they are not a text classifier's.
    """
    names = frozenset(entry.name for entry in session.get_inputs())
    if not {"input_ids", "attention_mask"} <= names <= _GRAPH_INPUTS:
        raise ArtifactError(GRAPH_FILE, f"has inputs {', '.join(sorted(names))}; expected input_ids and attention_mask")
    return names


def _session(path: Path, threads: int, provider: Provider) -> Any:
    providers = list(_PROVIDERS[provider])
    if absent := sorted({*providers} - {*onnxruntime.get_available_providers()}):
        raise ProviderError(
            f"ONNX Runtime has no {absent[0]} here; for CUDA, onnxruntime-gpu takes onnxruntime's place"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # Packaging has optimised the graph; to look for more would cost a start its time.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_mem_pattern = False  # batches differ in shape: a plan for each would only grow memory
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle replicas share cores with others
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime raises many kinds, all meaning "this graph cannot be run"
        raise ArtifactError(path.name, f"is not a graph that ONNX Runtime loads ({error})") from error
