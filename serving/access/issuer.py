"""JWTs of an issuer: signed by one of its published keys, for this audience, valid now. Needs the extra ``jwt``."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

import jwt
from jwt.exceptions import ExpiredSignatureError, PyJWTError

from serving.access.clients import Client, unauthorized
from serving.access.keys import ALGORITHMS, IssuerKeys
from serving.refusals import Refusal
from serving.settings import JwtSettings

_LEEWAY_S: Final = 30.0  # how far clocks may differ
_REMEMBERED_MAX: Final = 10_000
_REMEMBERED_S: Final = 60.0
_NAME_CHARS_MAX: Final = 128


class JwtIssuer:
    """Implements ``Authenticator``.

    A verified token is remembered by its digest for up to a minute, never beyond its expiry or the keys it was checked
    with: a signature costs a tenth of a millisecond, which is half of what a whole request does.
    """

    def __init__(self, settings: JwtSettings, unix_s: Callable[[], float] = time.time) -> None:
        """Raises KeysError as ``IssuerKeys`` does."""
        self._settings = settings
        self._keys = IssuerKeys(settings.keys)
        self._unix_s = unix_s
        self._remembered: OrderedDict[bytes, tuple[Client, float]] = OrderedDict()
        self._generation = 0

    async def client(self, token: bytes) -> Client:
        digest = hashlib.sha256(token).digest()
        if self._generation != self._keys.generation:
            self._generation = self._keys.generation
            self._remembered.clear()
        known = self._remembered.get(digest)
        if known is not None and self._unix_s() < known[1]:
            return known[0]
        client, expires_s = await self._verified(token)
        self._remembered[digest] = client, min(expires_s, self._unix_s() + _REMEMBERED_S)
        if len(self._remembered) > _REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return client

    async def _verified(self, token: bytes) -> tuple[Client, float]:
        settings = self._settings
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
            key = await self._keys.key(key_id) if key_id else None
            if key is None:
                raise unauthorized(Refusal.UNKNOWN_TOKEN, "the token is not signed by a key of the issuer")
            claims = jwt.decode(
                token,
                key,
                algorithms=sorted(ALGORITHMS),  # and of these only the one that the key is bound to
                audience=settings.audience,
                issuer=settings.issuer,
                leeway=_LEEWAY_S,
                options={
                    "require": ["exp", "iss", "aud", settings.name_claim],
                    "verify_sub": False,  # may be another claim; the name is checked below
                    "enforce_minimum_key_length": True,
                },
            )
        except ExpiredSignatureError:
            raise unauthorized(Refusal.EXPIRED_TOKEN, "the token has expired") from None
        except (PyJWTError, ValueError):
            # What is wrong in detail would help only a forger; the library's messages may quote the token.
            raise unauthorized(Refusal.UNKNOWN_TOKEN, "the token is not valid here") from None
        return Client(_name(claims[settings.name_claim])), float(claims["exp"]) + _LEEWAY_S


def _name(claim: Any) -> str:
    if not isinstance(claim, str) or not claim.isprintable() or not 0 < len(claim) <= _NAME_CHARS_MAX:
        raise unauthorized(Refusal.UNKNOWN_TOKEN, "the token names no client")
    return claim
