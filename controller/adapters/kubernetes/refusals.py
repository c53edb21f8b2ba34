"""The refusals of the API server as Serin's errors: some are to be asked again later, some to be read again first, and
some need a person."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from controller.errors import ConflictError, PermanentError, SerinError, Source, TransientError
from serving.text.printable import printable

MESSAGE_CHARS_MAX: Final = 500
_PATCH_TEST_FAILED: Final = "the server rejected our request"  # the beginning of a 422 that is no validation error
_NOT_DECLARED: Final = "field not declared in schema"  # in an apply's 500: the cluster's version of the kind differs


@dataclass(frozen=True, slots=True)
class FieldOwner:
    """The field manager that owns a field which was to be written, and that field."""

    manager: str
    field: str


class FieldConflictError(ConflictError):
    """Another field manager owns what was to be written: somebody else has edited it."""

    def __init__(self, source: Source, message: str, owners: tuple[FieldOwner, ...]) -> None:
        super().__init__(source, message)
        self.owners = owners


class ExpiredError(TransientError):
    """The revision is too old: list again, and watch from the revision of that list."""


class ForbiddenError(TransientError):
    """The account may not do this. That is Serin's own fault and no version's, so it is asked again: a person may grant
    the right."""


class NoSuchObjectError(PermanentError):
    """The object, its namespace or its kind does not exist."""


def error_of(code: int, status: Mapping[str, Any], doing: str, source: Source) -> SerinError:
    """Return the error for an answer with this status code. ``status`` is the answer's body; ``doing`` says what was
    asked, for people."""
    said = printable(str(status.get("message") or "no reason given"))[:MESSAGE_CHARS_MAX]
    message = f"{doing}: {said}"
    if code == 401:
        return ForbiddenError(
            source, f"{doing}: the cluster does not know the account: its token is wrong or has expired"
        )
    if code == 403:
        return ForbiddenError(source, f"{message}: the Role of Serin's account lacks this right")
    if code == 409 and (owners := _owners(status)):
        return FieldConflictError(source, message, owners)
    if code == 422 and said.startswith(_PATCH_TEST_FAILED):
        return ConflictError(source, f"{doing}: it has changed since it was read")
    if code in (400, 404, 405, 406, 413, 415, 422) or _NOT_DECLARED in said:
        return (NoSuchObjectError if code == 404 else PermanentError)(message)
    kind = {409: ConflictError, 410: ExpiredError}.get(code, TransientError)
    return kind(source, f"{message} ({code})")


def tells_of(status: Mapping[str, Any], name: str) -> bool:
    """Return whether a 404 means that the object does not exist; otherwise its whole kind does not."""
    return bool((status.get("details") or {}).get("name") == name)


def _owners(status: Mapping[str, Any]) -> tuple[FieldOwner, ...]:
    causes = (status.get("details") or {}).get("causes") or ()
    return tuple(
        FieldOwner(_manager(str(cause.get("message", ""))), str(cause.get("field", "")))
        for cause in causes
        if cause.get("reason") == "FieldManagerConflict"
    )


def _manager(message: str) -> str:
    """Return the name in ``conflict with "kubectl-edit" using ...``."""
    parts = message.split('"')
    return printable(parts[1]) if len(parts) > 2 else printable(message)
