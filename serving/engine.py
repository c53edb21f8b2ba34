"""ONNX Runtime: padded batches of token ids in, class probabilities out."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy only copies and adds here: no thread pool for that

import numpy as np
import numpy.typing as npt
import onnxruntime

from serving.artifact import GRAPH_FILE, TOKENIZER_FILE, ArtifactError, Manifest
from serving.link import Row
from serving.tokenizer import TokenizedText, Tokenizer

_GRAPH_INPUTS: Final = frozenset({"input_ids", "attention_mask", "token_type_ids"})


class Engine:
    """A version ready to answer: its tokenizer and its graph."""

    def __init__(self, directory: Path, manifest: Manifest, *, threads: int = 1, graph: str = GRAPH_FILE) -> None:
        self.tokenizer = Tokenizer(directory / TOKENIZER_FILE, manifest.max_tokens)
        self._max_tokens = manifest.max_tokens
        self._session = _session(directory / graph, threads)
        self._inputs = graph_inputs(self._session, graph)
        outputs = self._session.get_outputs()
        if outputs[0].shape[-1] not in (len(manifest.labels), None) and isinstance(outputs[0].shape[-1], int):
            raise ArtifactError(graph, f"has {outputs[0].shape[-1]} outputs for {len(manifest.labels)} labels")
        self._output = outputs[0].name

    def predict(self, texts: Sequence[str]) -> list[Row]:
        """One batch of texts, answered in their order.

        Raises:
            FloatingPointError: the model gave a value that is not finite.
        """
        batch = self.tokenizer.tokenize(texts)
        probabilities = softmax(self._logits(batch))
        if not np.isfinite(probabilities).all():
            raise FloatingPointError("the model's output is not finite")
        return [
            Row(tuple(row), text.tokens, text.unknown, text.truncated)
            for row, text in zip(np.round(probabilities, 7).tolist(), batch, strict=True)
        ]

    def warm_up(self, lengths_tokens: Sequence[int], batch_size: int) -> None:
        """Run batches of several widths once, so that no user's request pays for first allocations."""
        for length in lengths_tokens:
            ids = (0,) * min(length, self._max_tokens)
            self._logits([TokenizedText(ids, len(ids), 0)] * batch_size)

    def _logits(self, batch: Sequence[TokenizedText]) -> npt.NDArray[np.float32]:
        padding = self.tokenizer.padding
        width = min(padding.width(max(len(text.ids) for text in batch)), self._max_tokens)
        ids = np.full((len(batch), width), padding.token_id, dtype=np.int64)
        mask = np.zeros((len(batch), width), dtype=np.int64)
        for row, text in enumerate(batch):
            ids[row, : len(text.ids)] = text.ids
            mask[row, : len(text.ids)] = 1
        feed = {"input_ids": ids, "attention_mask": mask}
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


def graph_inputs(session: Any, graph: str) -> frozenset[str]:
    """The names of a graph's inputs.

    Raises:
        ArtifactError: they are not a text classifier's.
    """
    names = frozenset(entry.name for entry in session.get_inputs())
    if not {"input_ids", "attention_mask"} <= names <= _GRAPH_INPUTS:
        raise ArtifactError(graph, f"has inputs {', '.join(sorted(names))}; expected input_ids and attention_mask")
    return names


def _session(path: Path, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.enable_mem_pattern = False  # batches differ in shape: a plan for each would only grow memory
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle replicas share cores with others
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises many kinds, all meaning "this graph cannot be run"
        raise ArtifactError(path.name, f"is not a graph that ONNX Runtime loads ({error})") from error
