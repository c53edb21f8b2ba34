"""Labelled texts from production, with which people train the next version."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class LabelledText:
    """The text of a request that was answered and labelled. ``label``: as its source wrote it. ``directed``: labelled
    because versions disagreed. Each other text stands for ``1 / inclusion_probability`` requests. Times are unix
    seconds."""

    text: str
    label: str
    request_id: str
    model_version: str
    answer: str
    confidence: float
    answered_at_s: float
    labelled_at_s: float
    source: str
    directed: bool
    inclusion_probability: float


class LabelledTexts(Protocol):
    def classes(self, model: str) -> tuple[str, ...]:
        """Return the classes in the model's sampled answers; empty if no answer was sampled."""

    def labelled(self, model: str, *, since_s: float) -> Iterator[LabelledText]:
        """Yield the labelled texts that were answered since ``since_s`` (unix time), oldest first; only those whose
        text is kept and can be read.

        Raises:
            TransientError: the store does not answer.
        """
