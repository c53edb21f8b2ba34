"""Calls of MLflow's client library: what it raises, in our errors."""

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


@contextmanager
def wrapped(doing: str) -> Iterator[None]:
    """Turn what the client library raises into our errors, saying what was being done."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        message = f"MLflow could not {doing}: {_first_line(error)}"
        if error.error_code in _UNFIT:
            raise PermanentError(message) from error
        raise TransientError(SOURCE, message) from error
    except (OSError, ValueError, KeyError) as error:  # requests' own errors are OSErrors; an odd answer is the others
        raise TransientError(SOURCE, f"MLflow could not {doing}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error) or repr(error)).splitlines()[0]
