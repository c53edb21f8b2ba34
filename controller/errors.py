"""The one small tree of errors that cross a port. Vendor exceptions are wrapped where they appear, never further in."""


class SerinError(Exception):
    """Something went wrong that a person can be told in one line."""


class TransientError(SerinError):
    """A source did not answer, or not now. Asked again later; meanwhile it is error evidence and no verdict.

    ``source`` is the port's name in the reader's words: metrics, registry, labels, deployments, traffic.
    """

    def __init__(self, source: str, message: str) -> None:
        super().__init__(message)
        self.source = source


class PermanentError(SerinError):
    """Asking again will not help: this release stops, and the message says what a person can do."""


class RefusedRequestError(PermanentError):
    """A replica does not take what we asked it: about us, and nothing that its version has done.

    ``place`` is that of the text that is to blame, among those it was asked, where the answer says so.
    """

    def __init__(self, message: str, *, place: int | None = None) -> None:
        super().__init__(message)
        self.place = place


class ConflictError(SerinError):
    """Somebody else changed what was about to be written; read again and decide again."""


class UsageError(SerinError):
    """What the caller asked for cannot be done; the message names the field and the way out."""
