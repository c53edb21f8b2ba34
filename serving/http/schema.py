"""The bodies that may come in over HTTP."""

import re
from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from serving.refusals import ApiError, checked_text
from serving.settings import Limits

Text = Annotated[str, StringConstraints(strict=True)]


class PredictBody(BaseModel):
    """``{"text": "…"}`` for one answer, ``{"texts": ["…", …]}`` for a list of them; exactly one of the two."""

    model_config = ConfigDict(extra="forbid", strict=True)
    text: Text | None = Field(default=None, description="one text")
    texts: Annotated[list[Text], Field(fail_fast=True)] | None = Field(
        default=None, description="several texts, answered in the same order"
    )


_FAULTS_MAX: Final = 100
_FIELD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,31}(\[\d{1,9}\])?")
_BODY_CODES: Final = {
    "json_invalid": (400, "invalid_json"),
    "extra_forbidden": (422, "unknown_field"),
    "string_type": (422, "wrong_type"),
    "list_type": (422, "wrong_type"),
    "model_type": (422, "wrong_type"),
    "model_attributes_type": (422, "wrong_type"),
}


def parse_texts(body: bytes, limits: Limits) -> tuple[tuple[str, ...], bool]:
    """The texts of a body and whether they came as a list.

    Raises:
        ApiError: 400 for broken JSON, 422 for anything else that the model must not see.
    """
    try:
        parsed = PredictBody.model_validate_json(body)
    except ValidationError as error:
        raise _body_error(error) from None
    if len(parsed.model_fields_set) > 1:
        raise ApiError(422, "ambiguous", "give either text or texts, not both", field="texts")
    if parsed.text is not None:
        return (checked_text(parsed.text, "text", limits),), False
    if parsed.texts is None:
        raise ApiError(422, "missing_text", "give text (one string) or texts (a list of strings)", field="text")
    return _checked_list(parsed.texts, limits), True


def _checked_list(texts: Sequence[str], limits: Limits) -> tuple[str, ...]:
    if not texts:
        raise ApiError(422, "empty_text", "texts must hold at least one text", field="texts")
    if len(texts) > limits.texts_max:
        raise ApiError(422, "too_many_texts", f"at most {limits.texts_max} texts, got {len(texts)}", field="texts")
    return tuple(checked_text(text, f"texts[{index}]", limits) for index, text in enumerate(texts))


def _body_error(error: ValidationError) -> ApiError:
    """The first fault. What the client wrote is not repeated: answers are logged by whoever asks for them."""
    if error.error_count() > _FAULTS_MAX:  # to list so many takes longer than to find them
        return ApiError(422, "invalid_body", "the body has unknown fields")
    detail = error.errors(include_url=False, include_input=False, include_context=False)[0]
    status, code = _BODY_CODES.get(detail["type"], (422, "invalid_body"))
    path = "".join(f"[{part}]" if isinstance(part, int) else str(part) for part in detail["loc"])
    return ApiError(status, code, detail["msg"], field=path if _FIELD.fullmatch(path) else None)
