"""By which rules a version turns a text into an answer: they stand in its manifest, so they are part of what is judged.

Standard library only: the controller reads them too.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeVar

OVERLAP_TOKENS: Final = 64
"""Where nothing is said: an eighth of the 512 positions of DistilBERT, a sentence or two."""

OUTSIDE: Final = "O"
BEGINS: Final = "B-"
INSIDE: Final = "I-"


class Task(StrEnum):
    """The task of a version, by what it answers: one class for a text, one vector for a text, or the spans of a text
    that name something.

    The names are those of the graph's usual exporters.
    """

    SEQUENCE_CLASSIFICATION = "sequence-classification"
    EMBEDDING = "embedding"
    TOKEN_CLASSIFICATION = "token-classification"  # noqa: S105


class Aggregate(StrEnum):
    """The way the answers for the windows of one text become one.

    ``mean``: their mean, which is a distribution if each of them is one. ``max``: each class's largest probability,
    divided by the sum, for classes that one passage of a text decides.
    """

    MEAN = "mean"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class Windows:
    """A text longer than the model's limit is read in windows that share ``overlap_tokens`` with the one before."""

    overlap_tokens: int = OVERLAP_TOKENS
    aggregate: Aggregate = Aggregate.MEAN


@dataclass(frozen=True, slots=True)
class AnswerRules:
    """Without ``windows`` a text is cut at the model's limit. ``normalise``: embeddings get an L2 norm of 1.

    Raises:
        ValueError: the rules contradict each other.
    """

    task: Task = Task.SEQUENCE_CLASSIFICATION
    windows: Windows | None = None
    normalise: bool = False

    def __post_init__(self) -> None:
        if self.normalise and self.task is not Task.EMBEDDING:
            raise ValueError(f"normalise is for the task {Task.EMBEDDING}, not for {self.task}")
        if self.windows is None:
            return
        if self.windows.overlap_tokens < 0:
            raise ValueError("overlap_tokens must not be negative")
        if self.windows.aggregate is Aggregate.MAX and self.task is not Task.SEQUENCE_CLASSIFICATION:
            raise ValueError(f"the aggregate max is for the task {Task.SEQUENCE_CLASSIFICATION}, not for {self.task}")


class Side(StrEnum):
    """An end of a text's tokens."""

    LEFT = "left"
    RIGHT = "right"


@dataclass(frozen=True, slots=True)
class TokenRules:
    """The rules by which the tokens of a text are cut and padded, as was saved with the tokenizer.

    ``truncation_side``: the end that a text beyond the limit loses; ``padding_side``: the end at which rows that share
    a batch are filled up, with ``padding_id``; ``unknown_id``: the id of what the vocabulary lacks. None: as
    ``tokenizer.json`` says. ``limit_from`` says in words where the version's limit comes from. The defaults are the
    rules of packages that were made before these stood in the manifest.
    """

    truncation_side: Side = Side.RIGHT
    padding_side: Side = Side.RIGHT
    padding_id: int | None = None
    unknown_id: int | None = None
    limit_from: str = ""


def parse_token_rules(document: Any) -> TokenRules:
    """The field ``tokens`` of a manifest.

    Raises:
        ValueError: naming the field that is missing, unknown or wrong.
    """
    names = {"truncation_side", "padding_side", "padding_id", "unknown_id", "limit_from"}
    fields = _exactly("tokens", document, names)
    if type(fields["limit_from"]) is not str:
        raise ValueError("tokens.limit_from must be a string")
    return TokenRules(
        _member("tokens.truncation_side", Side, fields["truncation_side"]),
        _member("tokens.padding_side", Side, fields["padding_side"]),
        _token_id("tokens.padding_id", fields["padding_id"]),
        _token_id("tokens.unknown_id", fields["unknown_id"]),
        fields["limit_from"],
    )


def parse_rules(document: Any) -> AnswerRules:
    """The field ``rules`` of a manifest.

    Raises:
        ValueError: naming the field that is missing, unknown or wrong.
    """
    fields = _exactly("rules", document, {"task", "windows", "normalise"})
    if type(fields["normalise"]) is not bool:
        raise ValueError("rules.normalise must be true or false")
    return AnswerRules(_member("rules.task", Task, fields["task"]), _windows(fields["windows"]), fields["normalise"])


def check_span_labels(labels: Iterable[str]) -> None:
    """Refuse labels that are not of the B-/I-/O scheme.

    Raises:
        ValueError: naming the first label that is not.
    """
    for label in labels:
        if label != OUTSIDE and not (label[:2] in (BEGINS, INSIDE) and label[2:]):
            raise ValueError(f"label {label!r} is not of the B-/I-/O scheme ('O', 'B-NAME', 'I-NAME')")


def _token_id(name: str, value: Any) -> int | None:
    if value is not None and (type(value) is not int or value < 0):
        raise ValueError(f"{name} must be a token id or null")
    return value


def _windows(document: Any) -> Windows | None:
    if document is None:
        return None
    fields = _exactly("rules.windows", document, {"overlap_tokens", "aggregate"})
    if type(fields["overlap_tokens"]) is not int:
        raise ValueError("rules.windows.overlap_tokens must be a whole number")
    return Windows(fields["overlap_tokens"], _member("rules.windows.aggregate", Aggregate, fields["aggregate"]))


def _exactly(name: str, document: Any, fields: set[str]) -> Mapping[str, Any]:
    if not isinstance(document, dict) or document.keys() != fields:
        raise ValueError(f"{name} must have exactly {', '.join(sorted(fields))}")
    return document


_Member = TypeVar("_Member", bound=StrEnum)


def _member(name: str, kind: type[_Member], value: Any) -> _Member:
    try:
        return kind(value)
    except ValueError:
        raise ValueError(f"{name} must be one of {', '.join(kind)}") from None
