"""The one small tree of errors that cross a port. Vendor exceptions are wrapped where they appear, never further in."""

import errno
from enum import StrEnum
from typing import Final

_DOUBTED_S: Final = 60.0  # since two processes were last seen to answer by turns, before counting begins anew


class Source(StrEnum):
    """The source of an outage or a conflict, in the reader's words."""

    METRICS = "metrics"
    GATEWAY = "gateway"
    GATEWAY_TIMES = "gateway times"
    LABELS = "labels"
    PREDICTIONS = "predictions"
    GATES = "gates"
    TRAFFIC = "traffic"
    ROUTING = "routing"
    REGISTRY = "registry"
    DEPLOYMENTS = "deployments"
    CLUSTER = "cluster"
    POLICIES = "policies"
    PACKAGES = "packages"
    SUITES = "suites"
    JOURNAL = "journal"
    INBOX = "inbox"
    FREEZES = "freezes"
    BUDGET = "error budget"
    DELIVERIES = "deliveries"
    NOTICES = "notices"
    LEADERSHIP = "leadership"
    DISK = "disk"
    HOME = "home"
    CONTROLLER = "controller"
    STORE = "store"


class SerinError(Exception):
    """Something went wrong that a person can be told in one line."""


class TransientError(SerinError):
    """A source did not answer, or not now. Asked again later; meanwhile it is error evidence and no verdict."""

    def __init__(self, source: Source, message: str) -> None:
        super().__init__(message)
        self.source = Source(source)


class AmbiguousError(TransientError):
    """Numbers of a source may be two processes' by turns. ``seen_s``: when that was last seen, in unix seconds."""

    def __init__(self, source: Source, message: str, *, seen_s: float) -> None:
        super().__init__(source, f"ambiguous: {message}")
        self.seen_s = seen_s

    def is_over(self, now_s: float) -> bool:
        """Return whether what was seen lies back so far that counting may begin anew. What came before is not known
        then, and never will be: else one step of a gateway's clock blinds for all that is read back."""
        return now_s - self.seen_s >= _DOUBTED_S


class PermanentError(SerinError):
    """Asking again will not help: this release stops, and the message says what a person can do."""


class CandidateRefusedError(PermanentError):
    """The alias ``candidate`` stands on a version that is never released."""

    def __init__(self, version: str, reason: str) -> None:
        super().__init__(reason)
        self.version = version


class UnreadableError(PermanentError):
    """A record cannot be read by this version of Serin. That concerns what it is the record of, and nothing
    else."""


class RefusedRequestError(PermanentError):
    """A replica does not take what we asked it: about us, and nothing that its version has done.

    ``place`` is that of the text that is to blame, among those it was asked, where the answer says so.
    """

    def __init__(self, message: str, *, place: int | None = None) -> None:
        super().__init__(message)
        self.place = place


class ConflictError(SerinError):
    """Somebody else changed what was about to be written; read again and decide again."""

    def __init__(self, source: Source, message: str) -> None:
        super().__init__(message)
        self.source = Source(source)


class UsageError(SerinError):
    """The caller's wish cannot be done; the message names the field and the way out."""


def in_words(error: Exception) -> str:
    """Return what a person reads of it: of what the system refused its words, without their number or a path that is
    named beside it already."""
    return str((error.strerror if isinstance(error, OSError) else None) or error) or type(error).__name__


_SHORTAGES: Final = {
    errno.EMFILE: "this process may open no more files: raise its limit (ulimit -n)",
    errno.ENFILE: "this machine has no more open files to give (fs.file-max)",
    errno.ENOSPC: "the disk is full: make room",
    errno.EDQUOT: "the quota of the disk is used up: make room",
    errno.EFBIG: "a file would be longer than this process may write (ulimit -f)",
    errno.ENOMEM: "this machine has no memory left",
    errno.EAGAIN: "this machine may start no more processes (ulimit -u)",
    errno.EROFS: "the disk is read-only: remount it",
    errno.EIO: "the disk reports an error: look at the machine's log",
    errno.EACCES: "this user does not have the rights",
    errno.EPERM: "this user does not have the rights",
    errno.EADDRINUSE: "the port is in use by another process",
    errno.ENOENT: "it is away",
    errno.ESTALE: "its file system is away: mount it again",
    errno.ENOTCONN: "its file system is away: mount it again",
}


def our_fault(source: Source, doing: str, error: Exception) -> TransientError:
    """Return what this machine refused us, as the error that it is: asked again later, named, and never the version's
    fault.

    ``doing`` says what could not be done, as in "cannot write routes.json".
    """
    why = "this process has no memory left" if isinstance(error, MemoryError) else None
    if isinstance(error, OSError) and error.errno in _SHORTAGES:
        why = _SHORTAGES[error.errno]
    return TransientError(source, f"{doing}: {in_words(error)}" + (f"; {why}" if why else ""))
