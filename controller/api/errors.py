"""Every error of the interface is one JSON object with one sentence: ``{"error": {"code", "message", "field"?}}``."""

import logging
from collections.abc import Mapping
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ExceptionHandler

from controller.errors import ConflictError, PermanentError, SerinError, TransientError, UsageError
from controller.service import UnknownError

_log = logging.getLogger(__name__)


class ApiError(SerinError):
    """An answer other than success. ``code`` is for programs, the message for people; ``field`` says where.

    ``by`` names who was refused, for the access log only.
    """

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        message: str,
        *,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
        by: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.field = field
        self.headers = dict(headers or {})
        self.by = by


def handlers() -> dict[type[Exception], ExceptionHandler]:
    return {
        SerinError: _serin_error,
        HTTPException: _http_error,
        Exception: _unexpected,
    }


def _serin_error(_request: Request, error: Exception) -> Response:
    match error:
        case ApiError():
            response = error_response(error.status, error.code, str(error), field=error.field)
            response.headers.update(error.headers)
            return response
        case ConflictError():
            return error_response(HTTPStatus.CONFLICT, "conflict", str(error))
        case UnknownError():
            code = "no_policy" if error.field == "model" else "not_found"
            return error_response(HTTPStatus.NOT_FOUND, code, str(error), field=error.field)
        case UsageError():
            return error_response(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", str(error))
        case TransientError():
            response = error_response(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", str(error), field=error.source)
            response.headers["retry-after"] = "1"
            return response
        case PermanentError() | _:
            _log.error("a request failed: %s", error)
            return error_response(HTTPStatus.INTERNAL_SERVER_ERROR, "failed", str(error))


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - Starlette calls it for nothing else
    status = HTTPStatus(error.status_code)
    message = f"{request.method} {request.url.path}: {status.phrase.lower()}"
    response = error_response(status, status.name.lower(), message)
    response.headers.update(error.headers or {})
    return response


def _unexpected(_request: Request, _error: Exception) -> Response:
    # Starlette raises the error again after this answer, so that the server logs it with its traceback.
    return error_response(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "the controller failed; its log says how")


def error_response(status: HTTPStatus, code: str, message: str, *, field: str | None = None) -> Response:
    """The one form of every error."""
    error = {"code": code, "message": " ".join(message.split())}
    if field is not None:
        error["field"] = field
    return JSONResponse({"error": error}, status_code=status)
