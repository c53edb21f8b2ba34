"""A version beside the library that its checkpoint comes from, where that library is installed.

What its users see is what ``transformers`` answers on their machine. So a version is registered only if its token ids
and its answers are the library's, on texts that reach every setting of a tokenizer.
"""

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np

from serving.inference.engine import Engine
from serving.inference.heads import Floats
from serving.inference.tokenizer import TokenizedText
from serving.package.artifact import GRAPH_FILE, TOKENIZER_FILE, ArtifactError
from serving.package.checkpoint import Checkpoint
from serving.package.rules import Task
from serving.packaging.export import ExportError, load_model, one_line, quiet_library
from serving.packaging.graphs import TOLERANCE, activated, numbers_of

_ADDED_TOKENS_TRIED: Final = 8


def compare_with_library(
    checkpoint: Checkpoint, package: Path, graph: Path, engine: Engine, texts: Sequence[str]
) -> float | None:
    """Largest difference of a probability (of an embedding: of a number at length 1) from the library's own answers.

    ``graph`` is the graph before it was turned into the version's variant. None: the library is not installed here;
    without torch only the token ids are compared.

    Raises:
        ArtifactError: the library gives other token ids or answers; names the text.
        ExportError: the library cannot load the checkpoint.
    """
    if find_spec("transformers") is None:
        return None
    with quiet_library():
        tokenizer = _tokenizer(checkpoint)
        tried = [*texts, *_texts_with_added_tokens(engine)]
        rows = [row for row in zip(tried, engine.tokenizer.tokenize(tried), strict=True) if not row[1].windows]
        limit = min(int(tokenizer.model_max_length), engine.manifest.max_tokens)
        for text, row in rows:
            found = tuple(tokenizer(text, truncation=True, max_length=limit)["input_ids"])
            if found != row.ids:
                raise ArtifactError(TOKENIZER_FILE, _other_ids(text, row.ids, found))
        if find_spec("torch") is None:
            return None
        return _largest_difference(package, graph, engine, tokenizer, limit, rows)


def _largest_difference(
    package: Path, graph: Path, engine: Engine, tokenizer: Any, limit: int, rows: Sequence[tuple[str, TokenizedText]]
) -> float:
    model = load_model(package, engine.manifest.rules.task)
    answers = _answers(model, tokenizer, limit, engine, rows)
    served = numbers_of(graph, [row for _, row in rows], engine.manifest.rules, engine.manifest.labels)
    largest = 0.0
    for (text, _), expected, found in zip(rows, answers, served, strict=True):
        difference = float(np.abs(expected - found).max())
        if not difference <= TOLERANCE:  # in this form a NaN is refused too
            raise ArtifactError(
                GRAPH_FILE,
                f"answers {_short(text)} differently from transformers, by {difference:.1e}: export it again",
            )
        largest = max(largest, difference)
    return largest


def _answers(
    model: Any, tokenizer: Any, limit: int, engine: Engine, rows: Sequence[tuple[str, TokenizedText]]
) -> Iterator[Floats]:
    """Yield what the library answers: by its own pipeline, for classes."""
    import torch
    import transformers

    rules, labels = engine.manifest.rules, engine.manifest.labels
    if rules.task is Task.SEQUENCE_CLASSIFICATION:
        pipeline = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None)
        names = [model.config.id2label[index] for index in range(len(labels))]
        for text, _ in rows:
            (found,) = pipeline([text], truncation=True, max_length=limit)
            scores = {entry["label"]: entry["score"] for entry in found}
            yield np.array([scores[name] for name in names], dtype=np.float64)
        return
    for _, row in rows:
        ids = torch.tensor([row.ids])
        with torch.no_grad():
            output = model(ids, torch.ones_like(ids))[0].numpy()
        yield activated(output, np.ones((1, len(row.ids)), dtype=np.int64), rules, labels)


def _tokenizer(checkpoint: Checkpoint) -> Any:
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(
            checkpoint.model, local_files_only=True, trust_remote_code=False
        )
        return transformers.AutoTokenizer.from_pretrained(
            checkpoint.tokenizer, config=config, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # of many kinds, all meaning that its users cannot load this checkpoint either
        raise ExportError(f"transformers cannot load the tokenizer of {checkpoint.given}: {one_line(error)}") from error


def _texts_with_added_tokens(engine: Engine) -> Iterator[str]:
    for token in engine.tokenizer.added_tokens()[:_ADDED_TOKENS_TRIED]:
        yield f"my {token} order"


def _other_ids(text: str, ours: Sequence[int], found: Sequence[int]) -> str:
    at = next(
        (at for at, pair in enumerate(zip(ours, found, strict=False)) if pair[0] != pair[1]), min(len(ours), len(found))
    )
    first = f"gives {_short(text)} {len(ours)} token ids, at place {at} {_at(ours, at)}"
    library = f"transformers, by the files beside it, {len(found)}, and there {_at(found, at)}"
    return f"{first}; {library}: save the tokenizer again with its save_pretrained(FOLDER)"


def _at(ids: Sequence[int], at: int) -> str:
    return str(ids[at]) if at < len(ids) else "none"


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")
