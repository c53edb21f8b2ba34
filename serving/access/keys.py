"""An issuer's public keys: a JWK Set from a file or a URL, read again when it is old or when it lacks a key."""

import asyncio
import http.client
import json
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from jwt import PyJWK
from jwt.exceptions import PyJWTError

from serving.access.address import is_loopback

_log = logging.getLogger(__name__)

ALGORITHMS: Final = frozenset({"RS256", "ES256", "EdDSA"})
_FRESH_S: Final = 300.0
_AGAIN_AFTER_S: Final = 10.0  # a token with an invented key id makes us ask the issuer no more often than this
_FETCH_TIMEOUT_S: Final = 3.0
_BYTES_MAX: Final = 1 << 20
_KEYS_MAX: Final = 100


class KeysError(ValueError):
    """The keys are not available; the message says where they were looked for."""


def parse_keys(document: bytes, source: str) -> Mapping[str, PyJWK]:
    """The usable verification keys by key id; those of other uses, other algorithms, or with a secret in them are left
    out. Each key is bound to one algorithm here, so that no token can choose another for it.

    Raises:
        KeysError: there is no usable key.
    """
    try:
        listed = list(json.loads(document)["keys"])
    except (ValueError, KeyError, TypeError):
        raise KeysError(f'{source}: this is not a JWK Set: {{"keys": [...]}}') from None
    keys = {str(jwk["kid"]): key for jwk in listed[:_KEYS_MAX] if (key := _usable(jwk)) is not None}
    if not keys:
        raise KeysError(f"{source}: no public key with a kid for {', '.join(sorted(ALGORITHMS))}")
    return keys


def _usable(jwk: Any) -> PyJWK | None:
    if not isinstance(jwk, dict) or not jwk.get("kid") or jwk.get("use", "sig") != "sig" or "d" in jwk:
        return None
    try:
        key = PyJWK(jwk)
    except PyJWTError:
        return None
    return key if key.algorithm_name in ALGORITHMS else None


class IssuerKeys:
    """The current keys. They are read in a thread; requests wait for that only if a key is missing."""

    def __init__(self, source: str, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        """Raises KeysError where the source is no file, no https:// URL, and no http:// URL of this machine."""
        self._read = _reader(source)
        self._source = source
        self._monotonic_s = monotonic_s
        self._keys: Mapping[str, PyJWK] = {}
        self._read_at_s = float("-inf")
        self._reading: asyncio.Task[None] | None = None
        self.generation = 0

    async def key(self, key_id: str) -> PyJWK | None:
        """The key with this id; None if the issuer has none."""
        age_s = self._monotonic_s() - self._read_at_s
        if key_id not in self._keys and age_s > _AGAIN_AFTER_S:
            await self._again()
        elif age_s > _FRESH_S and self._reading is None:
            self._again()
        return self._keys.get(key_id)

    def _again(self) -> "asyncio.Future[None]":
        """Read the keys; one reading at a time, and none is ended by a client that goes away."""
        if self._reading is None:
            self._reading = asyncio.get_running_loop().create_task(self._refresh())
        return asyncio.shield(self._reading)

    async def _refresh(self) -> None:
        try:
            document = await asyncio.to_thread(self._read)
            keys = parse_keys(document, self._source)
        except (KeysError, OSError, http.client.HTTPException) as error:
            _log.error("the issuer's keys could not be read: %s; those read before stay in force", error)
        else:
            self._keys = keys
            self.generation += 1
        finally:
            self._read_at_s = self._monotonic_s()
            self._reading = None


def _reader(source: str) -> Callable[[], bytes]:
    if "://" not in source:
        path = Path(source)
        if not path.is_file():
            raise KeysError(f"{source}: neither a file nor a URL")
        return path.read_bytes
    parts = urlsplit(source)
    host = parts.hostname
    if host is None or not (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))):
        raise KeysError(
            f"{source}: keys are read by https://, or by http:// from this machine only: whoever forges "
            "them forges every token"
        )
    target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection

    def read() -> bytes:
        connection = kind(host, parts.port, timeout=_FETCH_TIMEOUT_S)
        try:
            connection.request("GET", target, headers={"accept": "application/json"})
            answer = connection.getresponse()
            document = answer.read(_BYTES_MAX + 1)
        finally:
            connection.close()
        if answer.status != http.HTTPStatus.OK or len(document) > _BYTES_MAX:
            raise KeysError(f"{source} answered {answer.status} with {len(document)} bytes")  # redirects too
        return document

    return read
