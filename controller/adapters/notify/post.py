"""One document posted by HTTP, with one deadline for all of it and a bounded answer. No redirect is followed, and no
proxy is used."""

import http.client
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

from controller.adapters.bounded_http import Deadline, connection_to
from controller.ports.notices import UndeliveredError

_ANSWER_BYTES_MAX: Final = 2_000
_AGAIN_S_MAX: Final = 3_600.0


def post(url: str, body: str, headers: Mapping[str, str], *, within_s: float, ca_file: str | None = None) -> None:
    """Post the text, and return once the receiver has accepted it.

    Raises:
        UndeliveredError: no answer came in time, or its status was not one of the 200s. The message names only the host
            of the address: the rest may be a secret.
    """
    parts = urlsplit(url)
    path = parts.path or "/"
    target = f"{path}?{parts.query}" if parts.query else path
    sent = {**headers, "Connection": "close", "Accept-Encoding": "identity", "User-Agent": "serin"}
    try:
        with connection_to(parts, Deadline(within_s), ca_file) as connection:
            connection.request("POST", target, body=body.encode(), headers=sent)
            reply = connection.getresponse()
            said = reply.read1(_ANSWER_BYTES_MAX).decode(errors="replace")[:200] if reply.status >= 300 else ""
            again_s = _again_s(reply.getheader("retry-after"), reply.getheader("date"))
    except TimeoutError as error:
        raise UndeliveredError(f"{parts.hostname} gave no answer in {within_s:g} s") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UndeliveredError(f"{parts.hostname} cannot be reached: {error or type(error).__name__}") from error
    if not 200 <= reply.status < 300:
        raise UndeliveredError(f"{parts.hostname} answered {reply.status}: {said!r}", again_s=again_s)


def _again_s(header: str | None, date: str | None) -> float | None:
    """Return for how many seconds the answer asks not to be sent more; None if it does not say. A date is compared with
    the answer's own ``date``, so that the two clocks need not agree."""
    if header is None:
        return None
    if header.isascii() and header.strip().isdecimal():
        return min(float(header), _AGAIN_S_MAX)
    try:
        wait_s = (parsedate_to_datetime(header) - parsedate_to_datetime(date or "")).total_seconds()
    except (ValueError, TypeError):  # not a time, or one without a time zone
        return None
    return min(max(wait_s, 0.0), _AGAIN_S_MAX)
