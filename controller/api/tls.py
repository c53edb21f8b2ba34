"""The certificate that the interface shows beyond loopback, from files that somebody else renews."""

import logging
import os
import ssl
from pathlib import Path
from typing import Final

from controller.config.secret_files import read_secret
from controller.errors import UsageError

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 1.0

_Stamp = tuple[tuple[int, int, int], ...] | None


class Certificate:
    """A certificate with its key. Both are taken in anew once their files have changed, as cert-manager changes them;
    connections that stand keep what they were opened with. A pair that does not fit (it is just being replaced) changes
    nothing, and is told."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises UsageError, which names the setting and the file: it cannot be read, the key is open to others, or the
        two do not belong together."""
        self._certificate = certificate
        self._key = key
        self.context: Final = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._seen = self._stamp()
        self._take()

    def look(self) -> None:
        """Take the files in if they have changed."""
        stamp = self._stamp()
        if stamp in (None, self._seen):
            return
        self._seen = stamp
        try:
            self._take()
        except UsageError as error:
            log.error("%s; the certificate of before is shown on", error)  # noqa: TRY400 - a sentence
        else:
            log.info("the certificate %s was renewed", self._certificate)

    def _take(self) -> None:
        """Try the pair where nobody uses it, and then show it: the very bytes that were tried."""
        try:
            chain = self._certificate.read_bytes()
        except OSError as error:
            raise UsageError(f"api_cert_file {self._certificate}: cannot be read: {error.strerror}") from error
        pair = chain + b"\n" + read_secret("api_key_file", self._key).encode() + b"\n"
        memory = os.memfd_create("serin-certificate", os.MFD_CLOEXEC)  # OpenSSL reads files; no disk sees the key
        try:
            os.write(memory, pair)
            place = f"/proc/self/fd/{memory}"
            for context in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self.context):
                context.load_cert_chain(place, password=_no_password)
        except (ssl.SSLError, ValueError) as error:
            what = getattr(error, "reason", None) or error
            raise UsageError(
                f"api_cert_file {self._certificate} and api_key_file {self._key}: no certificate with its key, "
                f"both PEM and without a password ({what})"
            ) from error
        finally:
            os.close(memory)

    def _stamp(self) -> _Stamp:
        """Return what differs once a file was written anew; None where one is just being replaced."""
        try:
            found = [path.stat() for path in (self._certificate, self._key)]
        except OSError:
            return None
        return tuple((status.st_mtime_ns, status.st_ino, status.st_size) for status in found)


def _no_password() -> str:
    raise ValueError("the key has a password")
