"""Labelled texts of production, for whoever trains the next version."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class LabelledText:
    """The text of a request that was answered and labelled; ``label`` as its source named it. ``directed``: labelled
    because versions disagreed; of the others, each stands for one over ``inclusion_probability``."""

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
        """Return the classes that answers of the model named; none where no answer was sampled."""

    def labelled(self, model: str, *, since_s: float) -> Iterator[LabelledText]:
        """Yield those whose answers were given since then, oldest first, where the text is kept and can be read.

        Raises:
            TransientError: the store does not answer.
        """
