"""Clients, and the question that every way to authenticate answers."""

from dataclasses import dataclass
from typing import Protocol

from serving.refusals import Refusal, RefusedError

_BEARER = b"bearer "
CREDENTIALS_BYTES_MAX = 8192


@dataclass(frozen=True, slots=True)
class Client:
    """A client: the name that its token or its issuer gives it. Limits do not apply to an ``unlimited`` one."""

    name: str
    unlimited: bool = False


class Authenticator(Protocol):
    """Tells whose credentials these are."""

    async def client(self, token: bytes) -> Client:
        """Return whose token this is.

        Raises: RefusedError: the token is nobody's, or no longer valid.
        """
        ...


def unauthorized(refusal: Refusal, message: str) -> RefusedError:
    """401 as in RFC 6750: no error is named without credentials, and ``invalid_token`` with bad ones."""
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
