"""The answers of the prediction route as documents, for those who read them and for the published description.

There is one route for every task: a replica serves one version, and a version has one task.
``serving.inference.answers`` writes what is described here.
"""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from serving.package.rules import Task

Probability = Annotated[float, Field(ge=0, le=1)]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Length(_Document):
    truncated: bool = Field(description="the text was longer than the model's limit and was cut there")
    windows: int | None = Field(
        default=None,
        ge=1,
        description="in how many windows the text was read; for versions that read long texts in windows",
    )


class ClassAnswer(_Length):
    """The class of a text."""

    label: str = Field(description="the most likely class")
    probabilities: dict[str, Probability] = Field(
        description="the probability of every class; they add up to 1 within rounding"
    )


class EmbeddingAnswer(_Length):
    """A text as a vector."""

    embedding: list[float] = Field(min_length=1, description="mean of the last hidden states over the text's tokens")


class EntityDocument(_Document):
    """A span of a text that names something."""

    label: str = Field(description="its kind, without B- and I-")
    start: int = Field(ge=0, description="its first character, counted in Unicode code points")
    end: int = Field(ge=1, description="the character after its last one")
    score: Probability = Field(description="mean probability of its words' labels")


class EntitiesAnswer(_Length):
    """The spans of a text that name something, in their order; they do not overlap."""

    entities: list[EntityDocument]


class _Answered(_Document):
    model: str
    model_version: str
    request_id: str


class ClassAnswered(ClassAnswer, _Answered):
    """To ``{"text": "…"}``."""


class ClassesAnswered(_Answered):
    """To ``{"texts": ["…", …]}``, in their order."""

    predictions: list[ClassAnswer]


class EmbeddingAnswered(EmbeddingAnswer, _Answered):
    """To ``{"text": "…"}``."""


class EmbeddingsAnswered(_Answered):
    """To ``{"texts": ["…", …]}``, in their order."""

    predictions: list[EmbeddingAnswer]


class EntitiesAnswered(EntitiesAnswer, _Answered):
    """To ``{"text": "…"}``."""


class EntityListsAnswered(_Answered):
    """To ``{"texts": ["…", …]}``, in their order."""

    predictions: list[EntitiesAnswer]


ANSWERED: Final[dict[Task, tuple[type[BaseModel], type[BaseModel]]]] = {
    Task.SEQUENCE_CLASSIFICATION: (ClassAnswered, ClassesAnswered),
    Task.EMBEDDING: (EmbeddingAnswered, EmbeddingsAnswered),
    Task.TOKEN_CLASSIFICATION: (EntitiesAnswered, EntityListsAnswered),
}
"""The answer to one text, and to a list of texts, by the task of the version that is served."""
