"""Requests that a drill sends one by one, and the result of each."""

import http.client
import json
import ssl
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from serving.contract import DRILL_REQUEST_PREFIX, REQUEST_ID_HEADER


@dataclass(frozen=True, slots=True)
class Answered:
    """``how``: the status, or the kind of error if there was no answer. ``says_when``: whether it says when to try
    again. ``said``: the body."""

    how: str
    began_s: float  # by the monotonic clock
    took_ms: float
    says_when: bool = False
    said: str = ""

    @property
    def ended_s(self) -> float:
        return self.began_s + self.took_ms / 1_000


def asked(
    url: str,
    document: Mapping[str, object],
    headers: Mapping[str, str],
    *,
    timeout_s: float,
    ca_file: Path | None = None,
) -> Answered:
    """Post the document as JSON, with an id that keeps it out of the samples of what users ask; return the result.
    ``ca_file``: the CA of an https server, if not a known one."""
    began_s = time.monotonic()
    parts, connection = urlsplit(url), _connection(url, timeout_s, ca_file)
    own = {"content-type": "application/json", REQUEST_ID_HEADER: f"{DRILL_REQUEST_PREFIX}{uuid.uuid4()}"}
    try:
        connection.request("POST", parts.path, json.dumps(document), {**own, **headers})
        answer = connection.getresponse()
        said = answer.read().decode("utf-8", errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return Answered(type(error).__name__, began_s, 1_000 * (time.monotonic() - began_s))
    finally:
        connection.close()
    says_when = answer.getheader("retry-after") is not None
    return Answered(str(answer.status), began_s, 1_000 * (time.monotonic() - began_s), says_when, said)


def _connection(url: str, timeout_s: float, ca_file: Path | None) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    if parts.scheme != "https":
        return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    trust = ssl.create_default_context(cafile=ca_file)
    return http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=timeout_s, context=trust)
