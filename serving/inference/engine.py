"""A version ready to answer: its tokenizer, its graph on ONNX Runtime, and its task.

How a text becomes an answer, online, in ``--check`` and in batch alike:

1. ``tokenize`` gives its token ids: one row, or a row for each window where the version's rules say so;
2. ``run`` takes rows of any texts that share a padded batch, and gives numbers for each row;
3. ``merge`` makes a text's answer of the numbers of its rows;
4. ``serving.inference.answers`` writes it as JSON.

``answer`` does 1 to 3 for a list of texts; the server schedules 2 itself, row by row.
"""

import io
import os
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy only copies and adds here: no thread pool for that

import numpy as np
import numpy.typing as npt
import onnxruntime

from serving.inference.heads import Floats, head_for
from serving.inference.tokenizer import TokenizedText, Tokenizer
from serving.package.artifact import GRAPH_FILE, MANIFEST_FILE, TOKENIZER_FILE, ArtifactError, Manifest, read_manifest
from serving.package.rules import Side, Task
from serving.resources.bounds import is_memory_refused, memory_refused
from serving.resources.cores import engine_threads, usable_cores
from serving.settings import Provider

_PROVIDERS: Final = {
    Provider.CPU: ("CPUExecutionProvider",),
    Provider.CUDA: ("CUDAExecutionProvider", "CPUExecutionProvider"),  # the latter for what the former lacks
}
_GRAPH_INPUTS: Final = frozenset({"input_ids", "attention_mask", "token_type_ids"})


class ProviderError(Exception):
    """The provider that should run the graph is not on this machine."""


class Prediction(NamedTuple):
    """One text's class probabilities in label order, and what the tokenizer did to it."""

    probabilities: Sequence[float]
    tokens: int
    unknown_tokens: int
    truncated: bool
    windows: int


class Engine:
    """One version. Several threads may call it at once: each engine call takes ``threads`` cores.

    Raises:
        ArtifactError: the graph or the tokenizer is not what the manifest's rules need.
        ProviderError: this machine lacks what should run the graph.
        OSError: this machine did not let a file be read.
    """

    def __init__(
        self,
        directory: Path,
        manifest: Manifest,
        *,
        threads: int | None = 1,
        provider: Provider = Provider.CPU,
        cores: int | None = None,
    ) -> None:
        self.manifest = manifest
        self.tokenizer = _tokenizer(directory, manifest)
        self._max_tokens = manifest.max_tokens
        if threads is None:
            threads = engine_threads(graph_bytes(manifest), usable_cores() if cores is None else cores)
        self._session = _session(directory / GRAPH_FILE, threads, provider)
        self._inputs = graph_inputs(self._session)
        self._output, self.dimensions = graph_output(self._session, manifest)
        self._head = head_for(manifest.rules, manifest.labels)

    def answer(self, texts: Sequence[str]) -> list[Any]:
        """The answers to texts, in their order: probabilities [labels], a vector [dimensions], or entities.

        The latter are ``serving.inference.heads.Entity``; the others arrays of float64.

        Raises:
            FloatingPointError: the model gave a value that is not finite.
        """
        return self.outputs(self.tokenizer.tokenize(texts))

    def outputs(self, texts: Sequence[TokenizedText], rows_max: int = 32) -> list[Any]:
        """As ``answer``, for tokenized texts. Rows of like length share a batch, of ``rows_max`` at the most.

        Raises:
            FloatingPointError: the model gave a value that is not finite.
        """
        rows = [(number, row) for number, text in enumerate(texts) for row in text.split()]
        order = sorted(range(len(rows)), key=lambda at: len(rows[at][1].ids))
        numbers: list[Floats | None] = [None] * len(rows)
        for start in range(0, len(order), rows_max):
            batch = order[start : start + rows_max]
            for at, found in zip(batch, self.run([rows[at][1] for at in batch]), strict=True):
                numbers[at] = found
        parts: list[list[Floats]] = [[] for _ in texts]
        for (number, _), found in zip(rows, numbers, strict=True):
            parts[number] += [] if found is None else [found]
        return [self.merge(text, part) for text, part in zip(texts, parts, strict=True)]

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """Class probabilities, rounded as the server writes them, for a version that classifies texts.

        Raises:
            FloatingPointError: the model gave a value that is not finite.
            TypeError: the version's task is another one.
        """
        if self.manifest.rules.task is not Task.SEQUENCE_CLASSIFICATION:
            raise TypeError(f"the task of this version is {self.manifest.rules.task}, which predicts no classes")
        tokenized = self.tokenizer.tokenize(texts)
        return [
            Prediction(tuple(np.round(row, 7).tolist()), text.tokens, text.unknown, text.truncated, text.rows)
            for row, text in zip(self.outputs(tokenized), tokenized, strict=True)
        ]

    def run(self, rows: Sequence[TokenizedText]) -> Floats:
        """Numbers for rows that share a batch (see ``TokenizedText.split``).

        Probabilities [rows, labels], vectors [rows, dimensions], or probabilities [rows, width, labels].

        Raises:
            FloatingPointError: the model gave a value that is not finite.
        """
        ids, mask = self._padded(rows)
        feed = {"input_ids": ids, "attention_mask": mask.astype(np.int64)}
        if "token_type_ids" in self._inputs:
            feed["token_type_ids"] = np.zeros_like(ids)
        numbers = self._head.activate(self._session.run([self._output], feed)[0], mask)
        if not np.isfinite(numbers).all():
            raise FloatingPointError("the model's output is not finite")
        return _begun_left(numbers, mask) if self._head.by_token else numbers

    def merge(self, text: TokenizedText, rows: Sequence[Floats]) -> Any:
        """A text's answer, from what ``run`` gave for each of its rows, in their order."""
        return self._head.merge(text, rows)

    def width(self, longest_tokens: int) -> int:
        """Return the width of a batch whose longest text has this many tokens."""
        return min(self.tokenizer.padding.width(longest_tokens), self._max_tokens)

    def warm_up(self, tokens: int, texts: int) -> float:
        """Run a batch of blank texts; returns how long it took, in s."""
        began_s = time.perf_counter()
        ids = (self.tokenizer.padding.token_id,) * min(tokens, self._max_tokens)
        self.run([TokenizedText(ids, len(ids), 0)] * texts)
        return time.perf_counter() - began_s

    def _padded(self, rows: Sequence[TokenizedText]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Token ids and mask [rows, width]."""
        lengths = np.fromiter((len(row.ids) for row in rows), dtype=np.int64, count=len(rows))
        mask = padding_mask(lengths, self.width(int(lengths.max())), self.tokenizer.padding.side)
        ids = np.full(mask.shape, self.tokenizer.padding.token_id, dtype=np.int64)
        ids[mask] = np.fromiter(chain.from_iterable(row.ids for row in rows), dtype=np.int64)
        return ids, mask


def padding_mask(lengths: npt.NDArray[np.int64], width: int, side: Side) -> npt.NDArray[np.bool_]:
    """Return which places [rows, width] hold tokens, where rows of these lengths are filled up at a side."""
    mask: npt.NDArray[np.bool_] = np.arange(width) < lengths[:, np.newaxis]
    return mask[:, ::-1] if side is Side.LEFT else mask


def _begun_left(numbers: Floats, mask: npt.NDArray[np.bool_]) -> Floats:
    """The numbers of tokens [rows, width, ...], those of each row from its first token on."""
    if mask[:, 0].all():
        return numbers
    return np.stack(
        [np.roll(row, -int(begin), axis=0) for row, begin in zip(numbers, mask.argmax(axis=1), strict=True)]
    )


def load(directory: Path, *, threads: int | None = 1, provider: Provider = Provider.CPU) -> Engine:
    """The engine of a package, whose files are taken as they are: ``serving.package.artifact.verify`` checks them.

    Raises:
        ArtifactError: the manifest, the graph or the tokenizer is wrong.
        ProviderError: this machine lacks what should run the graph.
    """
    return Engine(directory, read_manifest(directory)[0], threads=threads, provider=provider)


def graph_bytes(manifest: Manifest) -> int:
    """The size of a version's graph, weights included."""
    return sum(record.size_bytes for name, record in manifest.files.items() if name.startswith(GRAPH_FILE))


def graph_inputs(session: Any) -> frozenset[str]:
    """The names of a graph's inputs.

    Raises:
        ArtifactError: they are not a text classifier's.
    """
    names = frozenset(entry.name for entry in session.get_inputs())
    if not {"input_ids", "attention_mask"} <= names <= _GRAPH_INPUTS:
        raise ArtifactError(GRAPH_FILE, f"has inputs {', '.join(sorted(names))}; expected input_ids and attention_mask")
    return names


def graph_output(session: Any, manifest: Manifest) -> tuple[str, int | None]:
    """Name and last dimension of the output that is served, its first; None where the graph leaves that open.

    Raises:
        ArtifactError: it is not what the task needs.
    """
    output: Any = session.get_outputs()[0]
    rules = manifest.rules
    axes = head_for(rules, manifest.labels).axes
    if output.shape and len(output.shape) != axes:
        raise ArtifactError(
            GRAPH_FILE, f"gives an output of {len(output.shape)} axes; the task {rules.task} needs one of {axes}"
        )
    last = output.shape[-1] if output.shape else None
    size = last if isinstance(last, int) else None
    if rules.task is Task.EMBEDDING:
        if output.name == "logits":
            raise ArtifactError(GRAPH_FILE, "gives logits; an embedding is the mean of the last hidden states")
    elif size not in (len(manifest.labels), None):
        raise ArtifactError(GRAPH_FILE, f"has {size} outputs for {len(manifest.labels)} labels")
    return output.name, size


def _tokenizer(directory: Path, manifest: Manifest) -> Tokenizer:
    rules = manifest.rules
    try:
        return Tokenizer(
            directory / TOKENIZER_FILE,
            manifest.max_tokens,
            rules=manifest.tokens,
            overlap_tokens=rules.windows.overlap_tokens if rules.windows else None,
            with_words=rules.task is Task.TOKEN_CLASSIFICATION,
        )
    except ValueError as error:
        raise ArtifactError(MANIFEST_FILE, str(error)) from error
    except Exception as error:  # what the library raises where it cannot read the file
        (directory / TOKENIZER_FILE).open("rb").close()  # or where no file can be opened, which is OSError
        raise ArtifactError(TOKENIZER_FILE, f"is not a tokenizer that can be loaded ({error})") from error


def _session(path: Path, threads: int, provider: Provider) -> Any:
    providers = list(_PROVIDERS[provider])
    if absent := sorted({*providers} - {*onnxruntime.get_available_providers()}):
        raise ProviderError(
            f"ONNX Runtime has no {absent[0]} here; for CUDA, install onnxruntime-gpu instead of onnxruntime"
        )
    if provider is Provider.CUDA:
        # CUDA and cuDNN as pip installs them lie where no linker looks; those of the system are found all the same.
        with redirect_stdout(io.StringIO()):  # which libraries it tried: only that the session has CUDA counts, below
            onnxruntime.preload_dlls()
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
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime raises many kinds, all meaning "this graph cannot be run"
        path.open("rb").close()  # or that no file can be opened, which is OSError
        if is_memory_refused(error):
            raise memory_refused(path.name, error) from error
        raise ArtifactError(path.name, f"is not a graph that ONNX Runtime loads ({error})") from error
    check_provider(providers[0], session.get_providers())
    return session


def check_provider(wanted: str, used: Sequence[str]) -> None:
    """ONNX Runtime goes on without a provider that it cannot start, and says so only in a log.

    Raises:
        ProviderError: the session runs on something else than was asked for.
    """
    if wanted not in used:
        raise ProviderError(
            f"{wanted} could not be started, and {used[0]} is not what was asked for: check the GPU, its "
            "driver, and the CUDA and cuDNN libraries that onnxruntime-gpu needs"
        )
