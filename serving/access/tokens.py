"""Bearer tokens: made once, shown once, kept as digests in a file that a running replica reads again when it changes.

A token is ``serin_<id>_<secret>``. The id finds the entry without comparing secrets; the secret has 256 random bits, so
its plain SHA-256 can be neither reversed nor guessed, and a slow password hash would only slow the requests. The prefix
lets secret scanners, and our own redaction, recognise a leaked one.
"""

import fcntl
import hashlib
import hmac
import logging
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from serving.access.clients import Client, unauthorized
from serving.refusals import Refusal

_log = logging.getLogger(__name__)

PREFIX: Final = "serin_"
_ID_BYTES: Final = 6
_SECRET_BYTES: Final = 32
_LOOK_EVERY_S: Final = 1.0  # how soon a changed file counts
_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$"
_NOBODYS: Final = hashlib.sha256(b"").hexdigest()
_TOKEN: Final = re.compile(rb"serin_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")


class TokenFileError(ValueError):
    """The token file cannot be used; the message names the file and what is wrong with it."""


class Entry(BaseModel):
    """One token as it is kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{12}$")]
    name: Annotated[str, StringConstraints(pattern=_NAME)]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    unlimited: bool = Field(default=False, description="limits per client do not apply to it")
    roles: tuple[str, ...] = Field(default=(), description="what it may do at the controller; nothing at replicas")
    model: str | None = Field(default=None, description="the one model that it is for")
    version: str | None = Field(default=None, description="the one version that it is for")


class TokenDocument(BaseModel):
    """The file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    tokens: tuple[Entry, ...] = ()


def new_token(
    name: str,
    now: datetime,
    expires_at: datetime | None = None,
    *,
    unlimited: bool = False,
    roles: tuple[str, ...] = (),
    model: str | None = None,
    version: str | None = None,
) -> tuple[Entry, str]:
    """A new entry and the token itself, which exists nowhere else.

    Raises: ValueError: the name has characters that do not belong in a log.
    """
    if not re.fullmatch(_NAME, name):
        raise ValueError(
            f"name {name!r}: use up to 64 letters, digits, '.', '_', '@' or '-', the first a letter or digit"
        )
    token_id = secrets.token_hex(_ID_BYTES)
    token = f"{PREFIX}{token_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    digest = hashlib.sha256(token.encode()).hexdigest()
    entry = Entry(
        id=token_id,
        name=name,
        sha256=digest,
        created_at=now,
        expires_at=expires_at,
        unlimited=unlimited,
        roles=roles,
        model=model,
        version=version,
    )
    return entry, token


def id_of(token: str) -> str | None:
    """The id that a token names; None if it is not a token of this form."""
    match = _TOKEN.fullmatch(token.encode())
    return match[1].decode() if match else None


def read_tokens(path: Path) -> TokenDocument:
    """The entries of the file.

    Raises:
        TokenFileError: it is missing, damaged, or may be written by others than its owner.
    """
    try:
        if path.stat().st_mode & 0o022:
            raise TokenFileError(
                f"token file {path}: others may write to it, and so let themselves in: chmod 600 {path}"
            )
        document = TokenDocument.model_validate_json(path.read_bytes())
    except OSError as error:
        hint = f"make the first token with: python -m serving.access new --file {path} --name NAME"
        raise TokenFileError(f"token file {path} cannot be read ({error.strerror}); {hint}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the document"
        raise TokenFileError(f"token file {path}: {place}: {first['msg']}") from None
    ids = [entry.id for entry in document.tokens]
    if len(set(ids)) < len(ids):
        raise TokenFileError(f"token file {path}: one id occurs twice")
    return document


@contextmanager
def changing(path: Path) -> Iterator[list[Entry]]:
    """The entries, to be changed in place: locked against others and written whole, readable by its owner only.

    Raises:
        TokenFileError: the file is damaged; it is left as it is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(f".{path.name}.lock"), "a", opener=_private) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        entries = list(read_tokens(path).tokens) if path.exists() else []
        yield entries
        whole = path.with_name(f".{path.name}.new")
        whole.touch(mode=0o600)
        whole.write_text(TokenDocument(tokens=tuple(entries)).model_dump_json(indent=1, exclude_defaults=True) + "\n")
        whole.replace(path)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class TokenFile:
    """Implements ``Authenticator``. Looks at the file once a second, and whenever a token is not known. What it had
    read stays in force while a changed file cannot be read, and the log says so: a slip of the editor locks nobody out
    and lets nobody new in."""

    def __init__(
        self,
        path: Path,
        *,
        monotonic_s: Callable[[], float] = time.monotonic,
        unix_s: Callable[[], float] = time.time,
    ) -> None:
        """Raises TokenFileError: a replica does not start with a file that says nothing."""
        self._path = path
        self._monotonic_s = monotonic_s
        self._unix_s = unix_s
        self._seen = self._stamp()
        self._entries = _by_id(read_tokens(path))
        self._look_at_s = monotonic_s() + _LOOK_EVERY_S

    async def client(self, token: bytes) -> Client:
        entry = self.entry(token)
        return Client(entry.name, entry.unlimited)

    def entry(self, token: bytes) -> Entry:
        """Return what is kept of this token.

        Raises: RefusedError: it is nobody's, or no longer valid.
        """
        if self._monotonic_s() >= self._look_at_s:
            self._look()
        match = _TOKEN.fullmatch(token)
        token_id = match[1].decode() if match else ""
        if token_id and token_id not in self._entries:
            self._look()  # it may have been made a moment ago
        entry = self._entries.get(token_id)
        sent = hashlib.sha256(token).hexdigest()
        if not hmac.compare_digest(sent, _NOBODYS if entry is None else entry.sha256) or entry is None:
            raise unauthorized(Refusal.UNKNOWN_TOKEN, "the token is not known here")
        if entry.expires_at is not None and entry.expires_at.timestamp() <= self._unix_s():
            raise unauthorized(Refusal.EXPIRED_TOKEN, "the token has expired")
        return entry

    def _look(self) -> None:
        self._look_at_s = self._monotonic_s() + _LOOK_EVERY_S
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._entries = _by_id(read_tokens(self._path))
        except TokenFileError as error:
            _log.error("%s; the tokens read before stay in force", error)

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            status = os.stat(self._path)  # noqa: PTH116  (Path.stat costs more, and this runs beside requests)
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size


def _by_id(document: TokenDocument) -> Mapping[str, Entry]:
    return {entry.id: entry for entry in document.tokens}


def utc_now() -> datetime:
    return datetime.now(UTC)
