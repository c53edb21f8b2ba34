"""Clients, and the question that every way to authenticate answers."""

from dataclasses import dataclass
from typing import Protocol

from serving.refusals import Refusal, RefusedError

_BEARER = b"bearer "
CREDENTIALS_BYTES_MAX = 8192


@dataclass(frozen=True, slots=True)
class Client:
    """A client: the name that its token or its issuer gives it. Limits do not hold for an ``unlimited`` one."""

    name: str
    unlimited: bool = False


class Authenticator(Protocol):
    """Tells whose credentials these are."""

    async def client(self, token: bytes) -> Client:
        """Return whose token this is.

        Raises:
            RefusedError: nobody's, or not any more.
        """
        ...


def unauthorized(refusal: Refusal, message: str) -> RefusedError:
    """401 as RFC 6750 has it: without credentials no error is named, with bad ones ``invalid_token`` is."""
    challenge = 'Bearer realm="serin"'
    if refusal is not Refusal.NO_TOKEN:
        challenge += f', error="invalid_token", error_description="{message}"'
    return RefusedError(refusal, 401, "unauthorized", message, {"www-authenticate": challenge})


def bearer_of(authorization: bytes | None) -> bytes:
    """The token of an Authorization header.

    Raises:
        RefusedError: there is no bearer token.
    """
    if authorization is None or authorization[: len(_BEARER)].lower() != _BEARER:
        raise unauthorized(Refusal.NO_TOKEN, "send a token: Authorization: Bearer ...")
    token = authorization[len(_BEARER) :].strip()
    if not token:
        raise unauthorized(Refusal.NO_TOKEN, "send a token: Authorization: Bearer ...")
    if len(token) > CREDENTIALS_BYTES_MAX:
        raise unauthorized(Refusal.UNKNOWN_TOKEN, "the token is not known here")
    return token
