"""The refusals of the API server, as the Status objects that it answers with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Cause:
    """One field, and what is wrong with it."""

    reason: str
    message: str
    field: str = ""


class ApiError(Exception):
    """An answer that is no success."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        causes: Sequence[Cause] = (),
        *,
        retry_after_s: int | None = None,
        name: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.causes = tuple(causes)
        self.retry_after_s = retry_after_s
        self.name = name  # of the object that it is about

    def status(self) -> dict[str, Any]:
        """The body: an object of kind Status."""
        details: dict[str, Any] = {}
        if self.causes:
            details["causes"] = [
                {"reason": one.reason, "message": one.message, "field": one.field} for one in self.causes
            ]
        if self.name:
            details["name"] = self.name
        if self.retry_after_s is not None:
            details["retryAfterSeconds"] = self.retry_after_s
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": str(self),
            "reason": self.reason,
            "details": details,
            "code": self.code,
        }


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def not_found(resource: str, name: str) -> ApiError:
    return ApiError(404, "NotFound", f'{resource} "{name}" not found', name=name)


def invalid(kind: str, name: str, causes: Sequence[Cause]) -> ApiError:
    said = ", ".join(f"{one.field}: {one.message}" for one in causes)
    listed = said if len(causes) == 1 else f"[{said}]"
    return ApiError(422, "Invalid", f'{kind} "{name}" is invalid: {listed}', causes, name=name)


def changed(resource: str, name: str) -> ApiError:
    said = "the object has been modified; please apply your changes to the latest version and try again"
    return ApiError(409, "Conflict", f'Operation cannot be fulfilled on {resource} "{name}": {said}', name=name)


def expired(asked: int, floor: int) -> ApiError:
    return ApiError(410, "Expired", f"too old resource version: {asked} ({floor})")
