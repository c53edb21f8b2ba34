"""Secrets in files that somebody else puts there and renews: a Secret that is mounted, a file of a VM."""

import logging
import os
import threading
from pathlib import Path
from typing import Final

from controller.errors import UsageError

log = logging.getLogger(__name__)

BYTES_MAX: Final = 64 * 2**10
_OTHERS_WRITE: Final = 0o022
_OTHERS_READ: Final = 0o004


class SecretFile:
    """One secret, read again once its file has changed. What was read before stays in force while a changed file cannot
    be used, and the log says so. Calls may come from any thread."""

    def __init__(self, setting: str, path: str | Path) -> None:
        """``setting`` names what says where the file is, for errors."""
        self.path = Path(path)
        self._setting = setting
        self._lock = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._content: str | None = None

    def __repr__(self) -> str:
        """The place of the secret, and nothing of it."""
        return f"SecretFile({self._setting}, {self.path})"

    def read(self) -> str:
        """Return the secret, without white space around it.

        Raises:
            UsageError: it was never read and cannot be: the file is missing, empty, no text, or open to others.
        """
        with self._lock:
            stamp = _stamp(self.path)
            if self._content is None or stamp != self._stamp:
                self._take()
                self._stamp = stamp
            assert self._content is not None  # noqa: S101 - else it would have raised
            return self._content

    def _take(self) -> None:
        try:
            self._content = read_secret(self._setting, self.path)
        except UsageError as error:
            if self._content is None:
                raise
            log.error("%s; what was read before stays in force", error)  # noqa: TRY400 - a sentence, no traceback


def read_secret(setting: str, path: Path) -> str:
    """The secret in a file, without white space around it. Raises UsageError as `SecretFile.read`."""
    what = f"{setting} {path}"
    try:
        with path.open("rb") as file:
            mode, content = os.fstat(file.fileno()).st_mode, file.read(BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(f"{what}: cannot be read: {error.strerror}") from error
    if mode & _OTHERS_WRITE:
        raise UsageError(f"{what}: others may write to it: chmod go-w, or a mode of 0440 where it is mounted")
    if mode & _OTHERS_READ:
        raise UsageError(f"{what}: everybody may read it: chmod o-r, or a mode of 0440 where it is mounted")
    if len(content) > BYTES_MAX:
        raise UsageError(f"{what}: is longer than a secret can be")
    try:
        secret = content.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise UsageError(f"{what}: is no text") from None
    if not secret:
        raise UsageError(f"{what}: is empty")
    return secret


def read_line(setting: str, path: Path) -> str:
    """As `read_secret`, of one line: a token, an address. Raises UsageError where there are several."""
    return one_line(setting, path, read_secret(setting, path))


def one_line(setting: str, path: Path, secret: str) -> str:
    """The secret, if it is one line of printable characters. Raises UsageError where it is not."""
    if not secret.isprintable():
        raise UsageError(f"{setting} {path}: must be one line")
    return secret


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
