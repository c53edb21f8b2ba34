"""The answer to a text as JSON; written once, in the worker, and passed on unchanged.

``serving.inference.documents`` describes the same objects for those who read them.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from serving.inference.heads import Entity, Floats
from serving.inference.tokenizer import TokenizedText
from serving.package.artifact import Manifest
from serving.package.rules import Task

PROBABILITY_DECIMALS: Final = 7
_CUT: Final = '"truncated": true'
_WHOLE: Final = '"truncated": false'
_EMBEDDING_DIGITS: Final = 7  # about what a float32 holds

AnswerWriter = Callable[[TokenizedText, Any], bytes]


def writer_for(manifest: Manifest) -> AnswerWriter:
    """Writes a text's answer, as ``Engine.merge`` gives it, as a JSON object."""
    windowed = manifest.rules.windows is not None
    if manifest.rules.task is Task.EMBEDDING:
        return EmbeddingAnswers(windowed=windowed).write
    if manifest.rules.task is Task.TOKEN_CLASSIFICATION:
        return EntityAnswers(windowed=windowed).write
    return ClassAnswers(manifest.labels, windowed=windowed).write


class ClassAnswers:
    """``{"label", "probabilities", "truncated"}``. A template, since this is done for every text served."""

    def __init__(self, labels: Sequence[str], *, windowed: bool = False) -> None:
        names = [json.dumps(label, ensure_ascii=False) for label in labels]
        entries = ", ".join(f"{name.replace('%', '%%')}: %.{PROBABILITY_DECIMALS}f" for name in names)
        self._names = names
        self._template = f'{{"label": %s, "probabilities": {{{entries}}}, %s}}'
        self._windowed = windowed

    def write(self, text: TokenizedText, probabilities: Floats) -> bytes:
        row = probabilities.tolist()
        name = self._names[row.index(max(row))]  # for so few numbers quicker than argmax
        return (self._template % (name, *row, _length(text, windowed=self._windowed))).encode()


class EmbeddingAnswers:
    """``{"embedding", "truncated"}``."""

    def __init__(self, *, windowed: bool = False) -> None:
        self._windowed = windowed

    def write(self, text: TokenizedText, vector: Floats) -> bytes:
        numbers = ", ".join(f"{number:.{_EMBEDDING_DIGITS}g}" for number in vector.tolist())
        return f'{{"embedding": [{numbers}], {_length(text, windowed=self._windowed)}}}'.encode()


class EntityAnswers:
    """``{"entities": [{"label", "start", "end", "score"}], "truncated"}``; the text itself is not repeated."""

    def __init__(self, *, windowed: bool = False) -> None:
        self._windowed = windowed

    def write(self, text: TokenizedText, entities: Sequence[Entity]) -> bytes:
        found = [
            {"label": e.label, "start": e.start, "end": e.end, "score": round(e.score, PROBABILITY_DECIMALS)}
            for e in entities
        ]
        written = json.dumps(found, ensure_ascii=False)
        return f'{{"entities": {written}, {_length(text, windowed=self._windowed)}}}'.encode()


def _length(text: TokenizedText, *, windowed: bool) -> str:
    """Return whether the text was too long for the model, and how it was read then."""
    truncated = _CUT if text.truncated else _WHOLE
    return f'{truncated}, "windows": {text.rows}' if windowed else truncated
