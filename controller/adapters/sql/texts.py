"""Captured texts at rest: sealed with a key of the home, or not kept at all."""

import base64
import binascii
import logging
from functools import cached_property
from typing import TYPE_CHECKING, Final, Protocol

from controller.errors import UsageError

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

_log = logging.getLogger(__name__)

SEALED: Final = "sealed:1:"  # what is kept of a sealed text begins so; rows of older homes are plain
KEY_BYTES: Final = 32


class Texts(Protocol):
    """The way a captured text is kept."""

    def kept(self, text: str | None) -> str | None:
        """Return what the database is to store of it; None for nothing."""
        ...

    def shown(self, kept: str | None) -> str | None:
        """The text again; None if there is none, or it cannot be read here."""
        ...


class NoTexts:
    """Keeps none. What an older home kept as it was is shown as it is; what is sealed, is not."""

    def kept(self, _text: str | None) -> str | None:
        return None

    def shown(self, kept: str | None) -> str | None:
        return None if kept is None or kept.startswith(SEALED) else kept


class SealedTexts:
    """Kept encrypted and authenticated (Fernet: AES-128-CBC with HMAC-SHA256), so that a copy of the database shows no
    text without the key."""

    def __init__(self, key: str, *, keeping: bool = True) -> None:
        """``keeping`` False: those kept before are shown, and no more are kept.

        Raises:
            UsageError: this is no key.
        """
        try:
            sound = len(base64.b64decode(key.encode(), altchars=b"-_", validate=True)) == KEY_BYTES
        except (binascii.Error, ValueError):
            sound = False
        if not sound:
            raise UsageError(f"the key of the texts is damaged: {KEY_BYTES} bytes in URL-safe base64 are expected")
        self._key = key
        self._keeping = keeping

    def kept(self, text: str | None) -> str | None:
        if text is None or not self._keeping:
            return None
        return SEALED + self._fernet.encrypt(text.encode()).decode()

    def shown(self, kept: str | None) -> str | None:
        if kept is None or not kept.startswith(SEALED):
            return kept
        from cryptography.fernet import InvalidToken

        try:
            return self._fernet.decrypt(kept.removeprefix(SEALED)).decode()
        except InvalidToken:
            _log.warning("a captured text was sealed with another key, or changed: it is not shown")
            return None

    @cached_property
    def _fernet(self) -> "Fernet":
        from cryptography.fernet import Fernet  # here: most commands meet no text

        return Fernet(self._key)
