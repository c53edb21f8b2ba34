"""Sign-in: a token of the interface, sealed in a cookie, and the word by which a form is known to be ours.

Nothing is kept here, so that any controller of one installation knows whom another one let in, and a restart signs
nobody out. Whether the token is still one is asked at each request.
"""

import hmac
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Final

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from controller.ports.clock import Clock

COOKIE: Final = "serin-session"
LASTS_S: Final = 8 * 3600
_TOKEN_CHARS_MAX: Final = 512


class Sessions:
    """Seals tokens and opens them again, for ``LASTS_S`` at the longest."""

    def __init__(self, secret: bytes, clock: Clock) -> None:
        """``secret``: what all controllers of one installation have in common, and nobody else."""
        self._fernet = Fernet(urlsafe_b64encode(_derived(secret, b"serin page: session")))
        self._form_key = _derived(secret, b"serin page: form")
        self._clock = clock

    def sealed(self, token: str) -> str:
        """The value of the cookie. Raises ValueError for what is too long to be a token."""
        if not 0 < len(token) <= _TOKEN_CHARS_MAX:
            raise ValueError("no token is as long as that")
        return self._fernet.encrypt_at_time(token.encode(), int(self._clock.now_s())).decode()

    def token_in(self, cookie: str | None) -> str | None:
        """Return the token; None where there is none, it was sealed too long ago, or by somebody else."""
        if not cookie:
            return None
        try:
            found = self._fernet.decrypt_at_time(cookie.encode(), ttl=LASTS_S, current_time=int(self._clock.now_s()))
        except (InvalidToken, ValueError):
            return None
        return found.decode()

    def form_word(self, cookie: str | None) -> str:
        """Return the word that forms carry which this session was shown."""
        return hmac.new(self._form_key, (cookie or "").encode(), sha256).hexdigest()

    def is_ours(self, cookie: str | None, word: str) -> bool:
        """Return whether a form that carries this word was shown to this session."""
        return hmac.compare_digest(self.form_word(cookie).encode(), word.encode())


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(secret)
