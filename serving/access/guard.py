"""The guard that lets requests in or refuses them: depending on whose they are, and on whether that client may send
more right now."""

from collections.abc import Mapping
from typing import Final

from serving.access.address import Addresses
from serving.access.clients import Authenticator, Client, bearer_of
from serving.access.limits import ClientCounts
from serving.access.tokens import TokenFile
from serving.contract import HEALTH_ROUTE, INFO_ROUTE, METRICS_ROUTE, OPENAPI_ROUTE
from serving.settings import AccessSettings

_OPEN: Final = frozenset({HEALTH_ROUTE, OPENAPI_ROUTE})
"""Whoever balances load asks for health and carries no token; the document is the same everywhere."""
_NOT_COUNTED: Final = frozenset({INFO_ROUTE, METRICS_ROUTE})


class Guard:
    """The guard of one HTTP process. If neither authentication nor limits are set, everybody is let in."""

    def __init__(self, settings: AccessSettings) -> None:
        """Raises ValueError if the settings cannot be followed, in one line that says why."""
        self._addresses = Addresses(settings.trusted_proxies)
        self._authenticator = authenticator_of(settings)
        self._open = _OPEN | {METRICS_ROUTE} if settings.open_metrics else _OPEN
        limits = settings.limits
        limited = limits.rate_per_s is not None or limits.concurrent is not None
        self._counts = ClientCounts(limits) if limited else None

    def address(self, headers: Mapping[bytes, bytes], peer: tuple[str, int] | None) -> str:
        return self._addresses.of(peer[0] if peer else None, headers.get(b"x-forwarded-for"))

    async def client(self, headers: Mapping[bytes, bytes], address: str, route: str) -> Client:
        """Return whose request it is; known by its address if clients need not identify themselves.

        Raises:
            RefusedError: 401.
        """
        if self._authenticator is None or route in self._open:
            return Client(address)
        return await self._authenticator.client(bearer_of(headers.get(b"authorization")))

    def enter(self, client: Client, route: str) -> bool:
        """Return whether the request counts, and ``leave`` must follow.

        Raises:
            RefusedError: 429.
        """
        if self._counts is None or client.unlimited or route in self._open or route in _NOT_COUNTED:
            return False
        self._counts.enter(client.name)
        return True

    def leave(self, client: Client) -> None:
        if self._counts is not None:
            self._counts.leave(client.name)


def authenticator_of(settings: AccessSettings) -> Authenticator | None:
    """Raises ValueError where the tokens or keys cannot be used, or the library for them is missing."""
    if settings.token_file is not None:
        return TokenFile(settings.token_file)
    if settings.jwt is None:
        return None
    try:
        from serving.access.issuer import JwtIssuer
    except ImportError as error:
        raise ValueError(f"JWTs need {error.name}, which is not installed: pip install 'serin[jwt]'") from error
    return JwtIssuer(settings.jwt)
