"""The one who asks, by the token that was sent, and whether that token may ask for this."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol

from controller.api.errors import ApiError
from controller.roles import Deed, may, way_in
from serving.access.clients import bearer_of
from serving.access.tokens import Entry
from serving.refusals import Refusal, RefusedError


@dataclass(frozen=True, slots=True)
class Caller:
    """The one who asks. ``name`` is on record for what follows; ``model`` and ``version``, where set, are all it speaks
    of."""

    name: str
    roles: frozenset[str] = frozenset()
    model: str | None = None
    version: str | None = None

    def on_behalf_of(self, other: str | None) -> str:
        """The name for the record: the token's own, and for whom its holder says to speak."""
        return self.name if other in (None, self.name) else f"{self.name} for {other}"

    def may_speak_of(self, model: str) -> None:
        """
        Raises:
            ApiError: the token is for another model (403).
        """
        if self.model not in (None, model):
            raise ApiError(
                HTTPStatus.FORBIDDEN, "forbidden", f"the token of {self.name} is for model {self.model} only"
            )


ANYBODY: Final = Caller("anybody")


class Tokens(Protocol):
    """The tokens as they are now: ``serving.access.tokens.TokenFile``."""

    def entry(self, token: bytes) -> Entry:
        """Return what is kept of this token. Raises RefusedError: it is nobody's, or not any more."""
        ...


class SeveralTokens:
    """The tokens of several files: those that are made here, and those that somebody mounts."""

    def __init__(self, *files: Tokens) -> None:
        self._files = files

    def entry(self, token: bytes) -> Entry:
        """As `Tokens.entry`; of a token that one file knows, what that one says of it."""
        refusals = []
        for file in self._files:
            try:
                return file.entry(token)
            except RefusedError as error:
                refusals.append(error)
        raise next((one for one in refusals if one.refusal is not Refusal.UNKNOWN_TOKEN), refusals[0])


class Access:
    """Lets in who may. With ``open_reading``, what shows neither texts nor secrets is read without a token."""

    def __init__(self, tokens: Tokens, *, open_reading: bool) -> None:
        self._tokens = tokens
        self._open_reading = open_reading

    def admit(self, headers: Mapping[str, str], deed: Deed) -> Caller:
        """Return who asks for it.

        Raises:
            ApiError: nobody who is known here (401), or somebody who may not (403); both say how one gets in.
        """
        authorization = headers.get("authorization")
        if authorization is None and deed is Deed.READ and self._open_reading:
            return ANYBODY
        try:
            entry = self._tokens.entry(bearer_of(None if authorization is None else authorization.encode("latin-1")))
        except RefusedError as error:
            message = f"{deed} needs a token, as `Authorization: Bearer ...` ({error}); {way_in(deed)}"
            raise ApiError(HTTPStatus.UNAUTHORIZED, "unauthorized", message, headers=error.headers) from None
        if not may(entry.roles, deed):
            has = ", ".join(entry.roles) or "no role"
            message = f"{deed} is nothing that the token of {entry.name} ({has}) may; {way_in(deed)}"
            raise ApiError(HTTPStatus.FORBIDDEN, "forbidden", message, by=entry.name)
        return Caller(entry.name, frozenset(entry.roles), entry.model, entry.version)
