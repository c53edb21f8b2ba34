"""The bodies that the interface reads: parsed by pydantic here, plain values from here on."""

import difflib
from functools import lru_cache
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal, Self, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from controller.api.errors import ApiError
from controller.core.commands import ANY_MODEL, FREEZE_MAX_S
from controller.ports.samples import Label, Prediction
from serving.contract import CLASS_NAME_LENGTH_MAX, Traffic, check_model_name, check_version
from serving.text.jsonlines import Unreadable, loads_marked

BATCH_MAX: Final = 20_000
TAGS_MAX: Final = 64
TOKENS_MAX: Final = 2**31 - 1  # what a store keeps in an integer
UNNAMED_SOURCE: Final = "api"  # of labels whose sender does not say
ROUNDING: Final = 0.01  # how far probabilities may be rounded on their way here

_NO_NUL = r"^[^\x00]*$"  # PostgreSQL keeps no NUL in a text
Name = Annotated[str, StringConstraints(min_length=1, max_length=CLASS_NAME_LENGTH_MAX, pattern=_NO_NUL)]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_NO_NUL)]
Sentence = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000, pattern=_NO_NUL)]
Text = Annotated[str, StringConstraints(pattern=_NO_NUL)]
ModelName = Annotated[Name, AfterValidator(lru_cache(check_model_name))]  # each sample of a batch has the same
VersionName = Annotated[Name, AfterValidator(lru_cache(check_version))]
Ratio = Annotated[float, Field(ge=0, le=1)]
Probability = Annotated[float, Field(ge=1e-9, le=1)]  # the product of two is a number still
LabelProbability = Annotated[float, Field(ge=1e-6, le=1)]  # one for more than a million requests is a slip


def _seconds(value: float) -> float:
    if value <= _SECONDS_END:
        return value
    for unit, factor in _FINER_UNITS.items():
        if value > _SECONDS_END * factor / 1_000:
            raise ValueError(f"{value:.0f} can only be {unit}; in seconds it is {value / factor:.3f}")
    return value


def _as_text(value: object) -> object:
    """A whole number where a name is asked for is the name that it is written as: classes may be called 0 and 1."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _not_blank(name: str) -> str:
    """Nothing is called so: it would be the truth of its request, and what its source says later a contradiction."""
    if not name.strip():
        raise ValueError(f"{name!r} is blank")
    return name


_SECONDS_END: Final = 1e11  # the year 5138
_FINER_UNITS: Final = {"nanoseconds": 1e9, "microseconds": 1e6, "milliseconds": 1e3}
UnixSeconds = Annotated[float, Field(gt=0), AfterValidator(_seconds)]
LabelName = Annotated[Name, BeforeValidator(_as_text), AfterValidator(_not_blank)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


AnyBody = TypeVar("AnyBody", bound=Body)


class PredictionBody(Body):
    """One sampled answer, as ``serving.observe.capture`` sends it."""

    request_id: Name
    model: ModelName
    model_version: VersionName
    traffic: Traffic
    at_s: UnixSeconds
    label: Name
    confidence: Ratio
    probabilities: Annotated[dict[Name, Ratio], Field(min_length=1)]
    inclusion_probability: Probability
    text_digest: Name
    tokens: Annotated[int, Field(ge=0, le=TOKENS_MAX)] | None = None
    tags: Annotated[dict[Tag, Tag], Field(max_length=TAGS_MAX)] = {}
    text: Text | None = None

    @model_validator(mode="after")
    def _probabilities_fit(self) -> Self:
        of_label = self.probabilities.get(self.label)
        if of_label is None:
            raise ValueError("probabilities must name the label's class")
        if abs(of_label - self.confidence) > ROUNDING:
            raise ValueError(f"confidence {self.confidence} is not the label's probability {of_label}")
        total = sum(self.probabilities.values())
        if abs(total - 1) > ROUNDING:
            raise ValueError(f"probabilities must sum to 1, they sum to {total:g}")
        return self

    def prediction(self) -> Prediction:
        return Prediction(
            request_id=self.request_id,
            model=self.model,
            version=self.model_version,
            traffic=self.traffic,
            at_s=self.at_s,
            label=self.label,
            confidence=self.confidence,
            probabilities=self.probabilities,
            inclusion_probability=self.inclusion_probability,
            text_digest=self.text_digest,
            tokens=self.tokens,
            tags=self.tags,
            text=self.text,
        )


class PredictionsBody(Body):
    schema_: Annotated[Literal["serin.predictions/v1"], Field(alias="schema")]
    predictions: Annotated[list[PredictionBody], Field(max_length=BATCH_MAX)]

    def keys(self) -> int:
        """Return how many keys its JSON has, where none occurs twice."""
        of_each = (len(p.model_fields_set) + len(p.probabilities) + len(p.tags) for p in self.predictions)
        return len(self.model_fields_set) + sum(of_each)


class LabelBody(Body):
    """The truth about one request. ``directed``: given because the versions disagreed, not by chance. ``corrects``: the
    source takes back what it said of the request before.

    ``inclusion_probability``: how likely the request was to be labelled, by the design that chose it.
    """

    request_id: LabelName
    label: LabelName
    at_s: UnixSeconds | None = None  # when it was given; now
    source: Name = UNNAMED_SOURCE
    directed: bool = False
    inclusion_probability: LabelProbability = 1.0
    corrects: bool = False

    def to_label(self, now_s: float) -> Label:
        return Label(
            request_id=self.request_id,
            label=self.label,
            at_s=now_s if self.at_s is None else self.at_s,
            source=self.source,
            directed=self.directed,
            inclusion_probability=self.inclusion_probability,
            corrects=self.corrects,
            received_at_s=now_s,
        )


class LabelsBody(Body):
    """Labels that are not read yet: a wrong one is refused alone."""

    labels: Annotated[list[Any], Field(max_length=BATCH_MAX)]


class ReasonBody(Body):
    """The reason, and the one on whose behalf the token's holder asks: on record with whatever follows. ``id`` makes a
    repeated request the same request."""

    reason: Sentence
    by: Sentence | None = None
    id: Name | None = None


class ReplaceBody(ReasonBody):
    version: VersionName


class ReleaseBody(ReasonBody):
    model: ModelName
    version: VersionName


def _frozen(model: str) -> str:
    return model if model == ANY_MODEL else check_model_name(model)


class FreezeBody(Body):
    model: Annotated[Name, AfterValidator(_frozen)]  # or "*" for every model
    reason: Sentence
    by: Sentence | None = None
    silent: bool = False
    for_s: Annotated[float, Field(gt=0, le=FREEZE_MAX_S)] | None = None  # None: until it is lifted


def parse(kind: type[AnyBody], body: bytes) -> AnyBody:
    """Parse a JSON body.

    Raises:
        ApiError: it is not JSON (400), or not of this shape or with a key twice (422): the first fault, with the field.
    """
    try:
        found = kind.model_validate_json(body)
        loads_marked(body)  # the other takes the last of two values without a word
    except ValidationError as error:
        raise _refusal(kind, error) from error
    except Unreadable as error:
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        raise ApiError(status, "invalid", f"body: {error}", field=error.place or None) from error
    return found


def parse_predictions(body: bytes) -> PredictionsBody:
    """As `parse`, at a quarter of its cost: these come by the thousand.

    That no key occurs twice is seen by counting: outside of texts, a colon follows each key and nothing else.
    """
    try:
        found = PredictionsBody.model_validate_json(body)
    except ValidationError as error:
        raise _refusal(PredictionsBody, error) from error
    keys = found.keys()
    if body.count(b":") != keys and _colons_outside_texts(body) != keys:
        return parse(PredictionsBody, body)  # says which it is
    return found


def _colons_outside_texts(body: bytes) -> int:
    """Return the number of colons outside texts, of a body that is JSON."""
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(body.split(b'"')[::2]).count(b":")


def first_fault(kind: type[Body], error: ValidationError) -> tuple[str, str]:
    """The field of the first fault ("": the whole), and what is wrong with it."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    first = faults[0]
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
    more = f" (and {len(faults) - 1} more faults)" if len(faults) > 1 else ""
    return field, f"{_fault(kind, first)}{more}"


def _refusal(kind: type[Body], error: ValidationError) -> ApiError:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return ApiError(HTTPStatus.BAD_REQUEST, "json", f"body: {first['msg']}")
    field, fault = first_fault(kind, error)
    return ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", f"{field or 'body'}: {fault}", field=field or None)


def _fault(kind: type[Body], fault: ErrorDetails) -> str:
    if fault["type"] != "extra_forbidden":
        return fault["msg"].removeprefix("Value error, ")
    nearest = difflib.get_close_matches(str(fault["loc"][-1]), sorted(_keys(kind)), n=1)
    return f"unknown key; did you mean {nearest[0]}?" if nearest else "unknown key"


def _keys(kind: type[BaseModel]) -> set[str]:
    """Every key of a body and of the bodies in its lists."""
    keys: set[str] = set()
    for name, field in kind.model_fields.items():
        keys.add(field.alias or name)
        for inner in get_args(field.annotation):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                keys |= _keys(inner)
    return keys
