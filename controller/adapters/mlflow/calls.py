"""Calls of MLflow's client library: what it raises, in our errors."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from controller.errors import PermanentError, Source, TransientError

SOURCE: Final = Source.REGISTRY
_UNFIT: Final = frozenset(
    {
        "RESOURCE_DOES_NOT_EXIST",
        "NOT_FOUND",
        "RESOURCE_ALREADY_EXISTS",
        "INVALID_PARAMETER_VALUE",
        "BAD_REQUEST",
    }
)  # asking again will not help; who may not ask (PERMISSION_DENIED and the like) lacks rights of ours, not of a version

_ADDRESS: Final = re.compile(r"\bhttps?://[^/\s'\"]+")


@contextmanager
def wrapped(doing: str) -> Iterator[None]:
    """Turn what the client library raises into our errors, saying what was being done."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        message = f"MLflow could not {doing}: {_said(error)}"
        if error.error_code in _UNFIT:
            raise PermanentError(message) from error
        raise TransientError(SOURCE, message) from error
    except (OSError, ValueError, KeyError) as error:  # requests' own errors are OSErrors; an odd answer is the others
        raise TransientError(SOURCE, f"MLflow could not {doing}: {_said(error)}") from error


def _said(error: Exception) -> str:
    """Return what is told of it: of a server that is away, that and where, for what the client library says is long,
    and names the connection as an object."""
    line = (str(error) or repr(error)).splitlines()[0]
    place = next(iter(_ADDRESS.findall(line)), "")
    for cause in _causes(error) if place else ():
        if isinstance(cause, ConnectionRefusedError):
            return f"nobody listens at {place}"
        if isinstance(cause, TimeoutError):
            return f"{place} gave no answer in time"
    return line


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield what led to the error, from the last to the first."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
