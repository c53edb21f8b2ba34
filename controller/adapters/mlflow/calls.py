"""Calls of MLflow's client library, with its exceptions turned into Serin's errors."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from controller.errors import PermanentError, Source, TransientError

SOURCE: Final = Source.REGISTRY
# Errors that stay the same however often one asks. A missing right (PERMISSION_DENIED and the like) is not among them:
# that is Serin's own fault and no version's.
_UNFIT: Final = frozenset(
    {
        "RESOURCE_DOES_NOT_EXIST",
        "NOT_FOUND",
        "RESOURCE_ALREADY_EXISTS",
        "INVALID_PARAMETER_VALUE",
        "BAD_REQUEST",
    }
)

_ADDRESS: Final = re.compile(r"\bhttps?://[^/\s'\"]+")


@contextmanager
def wrapped(doing: str) -> Iterator[None]:
    """Turn the exceptions of the client library into Serin's errors, whose messages say what was being done."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        message = f"MLflow could not {doing}: {_said(error)}"
        if error.error_code in _UNFIT:
            raise PermanentError(message) from error
        raise TransientError(SOURCE, message) from error
    except (OSError, ValueError, KeyError) as error:  # requests raises OSErrors, a malformed answer the other two
        raise TransientError(SOURCE, f"MLflow could not {doing}: {_said(error)}") from error


def _said(error: Exception) -> str:
    """Return the error in one line. If a server is away, that is only the fact and the server's address: the client
    library's own text is long, and names the connection as an object."""
    line = (str(error) or repr(error)).splitlines()[0]
    place = next(iter(_ADDRESS.findall(line)), "")
    for cause in _causes(error) if place else ():
        if isinstance(cause, ConnectionRefusedError):
            return f"nobody listens at {place}"
        if isinstance(cause, TimeoutError):
            return f"{place} gave no answer in time"
    return line


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and what led to it, from the last to the first."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
