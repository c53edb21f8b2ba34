"""The reasons that a text is not scored, online and in batch, in words of HTTP. Batch runs start without what HTTP
itself needs."""

from collections.abc import Mapping
from enum import StrEnum

from serving.messages import Failure
from serving.settings import Limits


class ApiError(Exception):
    """A refused request: an HTTP status, a code for programs, a message for people, the field if one is to blame."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
        failure: Failure | None = None,
    ) -> None:
        """``failure``: what made this request fail, and maybe others."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.field = field
        self.headers = dict(headers or {})
        self.failure = failure

    @property
    def document(self) -> dict[str, dict[str, str]]:
        """Return what the client reads."""
        error = {"code": self.code, "message": str(self)}
        if self.field is not None:
            error["field"] = self.field
        return {"error": error}


class Refusal(StrEnum):
    """The reason that somebody was not let in, as the metric and the access log say it."""

    NO_TOKEN = "no_token"  # noqa: S105  (a reason, no secret)
    UNKNOWN_TOKEN = "unknown_token"  # noqa: S105
    EXPIRED_TOKEN = "expired_token"  # noqa: S105
    RATE = "rate"
    CONCURRENCY = "concurrency"
    STRANGER = "stranger"  # it was meant for another host, or a web page of another origin sent it


class RefusedError(ApiError):
    """A client that is not let in, now or at all."""

    def __init__(self, refusal: Refusal, status: int, code: str, message: str, headers: dict[str, str]) -> None:
        super().__init__(status, code, message, headers=headers)
        self.refusal = refusal


def checked_text(text: str, field: str, limits: Limits) -> str:
    """The text, if the model may see it; online and in batch.

    Raises:
        ApiError: it is empty or too long.
    """
    if not text.strip():
        raise ApiError(422, "empty_text", "the text is empty", field=field)
    if len(text) > limits.text_chars_max:
        message = f"at most {limits.text_chars_max} characters, got {len(text)}"
        raise ApiError(422, "text_too_long", message, field=field)
    return text
