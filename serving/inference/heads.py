"""The head of each task, which makes of a graph's output numbers for each row, and from the rows of a text its answer.

Two steps, the same online and in batch: ``activate`` the output of an engine call, and ``merge`` what it gave for the
rows of a text (one, or its windows). ``serving.inference.answers`` writes the result down.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from serving.inference.tokenizer import TokenizedText, Word
from serving.package.rules import INSIDE, OUTSIDE, Aggregate, AnswerRules, Task

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Entity:
    """A span of characters ``[start, end)`` (Unicode code points) and what it names.

    ``score``: the mean over its words of the probability of the label that each was given.
    """

    label: str
    start: int
    end: int
    score: float


class Head(Protocol):
    """One for each task."""

    axes: int
    """Of the graph's output."""
    by_token: bool
    """Whether a row's numbers stand token by token."""

    def activate(self, output: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> Floats:
        """Numbers [rows, ...] of an output [rows, ...]; ``mask`` [rows, tokens] says what is no padding."""

    def merge(self, text: TokenizedText, rows: Sequence[Floats]) -> Any:
        """The answer to a text from the numbers of its rows, in their order."""


class SequenceHead:
    """Class probabilities [labels]."""

    axes = 2
    by_token = False

    def __init__(self, aggregate: Aggregate) -> None:
        self._aggregate = aggregate

    def activate(self, output: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> Floats:  # noqa: ARG002
        return softmax(output)

    def merge(self, text: TokenizedText, rows: Sequence[Floats]) -> Floats:  # noqa: ARG002
        if len(rows) == 1:
            return rows[0]
        if self._aggregate is Aggregate.MEAN:
            return _mean(rows)
        largest: Floats = np.max(rows, axis=0)
        largest /= largest.sum()
        return largest


class EmbeddingHead:
    """A vector [dimensions]: the mean of the last hidden states over the mask, and over windows the mean of theirs."""

    axes = 3
    by_token = False

    def __init__(self, *, normalise: bool) -> None:
        self._normalise = normalise

    def activate(self, output: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> Floats:
        weights = (mask / mask.sum(axis=1, keepdims=True)).astype(np.float32)
        pooled: npt.NDArray[np.float32] = (weights[:, np.newaxis, :] @ output)[:, 0, :]
        return pooled.astype(np.float64)

    def merge(self, text: TokenizedText, rows: Sequence[Floats]) -> Floats:  # noqa: ARG002
        vector = rows[0] if len(rows) == 1 else _mean(rows)
        return unit(vector) if self._normalise else vector


class TokenHead:
    """The entities of a text, from labels in the B-/I-/O scheme.

    A word has the label of its first token, the one that training labels; in several windows, that of its mean
    probabilities. ``B-X`` begins an entity X; ``I-X`` continues one, or begins it where none of that kind goes before.
    """

    axes = 3
    by_token = True

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = tuple(labels)

    def activate(self, output: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> Floats:  # noqa: ARG002
        return softmax(output)

    def merge(self, text: TokenizedText, rows: Sequence[Floats]) -> list[Entity]:
        labelled = (self._labelled(word, rows) for word in text.words if word.start < word.end)
        return list(_entities(labelled))

    def _labelled(self, word: Word, rows: Sequence[Floats]) -> Entity:
        probabilities = _mean([rows[row][position] for row, position in word.places])
        best = int(probabilities.argmax())
        return Entity(self._labels[best], word.start, word.end, float(probabilities[best]))


def head_for(rules: AnswerRules, labels: Sequence[str]) -> Head:
    """The head of a version's task."""
    if rules.task is Task.EMBEDDING:
        return EmbeddingHead(normalise=rules.normalise)
    if rules.task is Task.TOKEN_CLASSIFICATION:
        return TokenHead(labels)
    return SequenceHead(rules.windows.aggregate if rules.windows else Aggregate.MEAN)


def softmax(logits: npt.NDArray[np.float32]) -> Floats:
    """Softmax over the last axis in double precision, so that probabilities add up to 1 within rounding."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    exponentials = np.exp(shifted)
    normalised: Floats = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return normalised


def unit(vector: Floats) -> Floats:
    """The vector at length 1; the zero vector, which has no direction, as it is."""
    length = float(np.linalg.norm(vector))
    return vector / length if length else vector


def _mean(rows: Sequence[Floats]) -> Floats:
    mean: Floats = np.mean(rows, axis=0)
    return mean


def _entities(words: Iterator[Entity]) -> Iterator[Entity]:
    """Join labelled words, whose labels still carry their B- or I-, to entities."""
    joined: list[Entity] = []
    kind = ""
    for word in words:
        name = word.label[len(INSIDE) :]
        if joined and not (word.label.startswith(INSIDE) and name == kind):
            yield _joined(kind, joined)
            joined = []
        if word.label != OUTSIDE:
            joined.append(word)
            kind = name
    if joined:
        yield _joined(kind, joined)


def _joined(kind: str, words: Sequence[Entity]) -> Entity:
    score = sum(word.score for word in words) / len(words)
    return Entity(kind, words[0].start, words[-1].end, score)
