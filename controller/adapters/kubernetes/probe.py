"""Requests to the gateway, made as a user would make them, that count as nobody's: they show which version answers
users, and by which table."""

import http.client
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from controller.adapters.kubernetes.objects.route import GENERATION_HEADER
from controller.errors import Source, TransientError, UsageError
from serving.contract import HEALTH_ROUTE, MODEL_VERSION_HEADER

_WITHIN_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Told:
    """One answer: its status code, the version that gave it, and the generation of the table that led there; None if it
    does not say."""

    status: int
    version: str | None
    generation: str | None


class GatewayProbe:
    """Asks the gateway at ``url``. Each request uses a new connection, so that over time every process of the gateway
    is asked."""

    def __init__(self, url: str, ca_file: Path | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise UsageError(f"gateway url: an http:// or https:// address is needed, got {url!r}")
        self.url = url
        self._parts = parts
        self._host = parts.hostname
        self._context = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None

    def ask(self, model: str, host: str | None, headers: Mapping[str, str] = MappingProxyType({})) -> Told:
        """Return the answer of the model's health rule, asked with the ``headers`` and, if given, by the host name
        ``host``.

        Raises:
            TransientError: no answer came.
        """
        connection: http.client.HTTPConnection
        if self._context is None:
            connection = http.client.HTTPConnection(self._host, self._parts.port, timeout=_WITHIN_S)
        else:
            connection = http.client.HTTPSConnection(
                self._host, self._parts.port, timeout=_WITHIN_S, context=self._context
            )
        headers = {**headers, **({} if host is None else {"host": host})}
        try:
            connection.request("GET", f"{self._parts.path.rstrip('/')}/models/{model}{HEALTH_ROUTE}", headers=headers)
            answer = connection.getresponse()
            answer.read(2**16)
            return Told(answer.status, answer.getheader(MODEL_VERSION_HEADER), answer.getheader(GENERATION_HEADER))
        except (OSError, http.client.HTTPException) as error:
            why = str(error) or type(error).__name__
            raise TransientError(Source.TRAFFIC, f"the gateway at {self.url} does not answer: {why}") from error
        finally:
            connection.close()
