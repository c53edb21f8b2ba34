"""Files that other processes read while we write them: replaced whole, and by one writer at a time.

Standard library only and quick to import: the on-call rollback stands on it.
"""

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from controller.errors import PermanentError, Source, TransientError, our_fault
from controller.reserve import FULL, Loan, lend

_LOCK_WITHIN_S = 5.0
_LOCK_POLL_S = 0.002


def replace_file(path: Path, text: str, *, mode: int = 0o666) -> None:
    """Replace the file's content so that a reader, or a crash at any moment, sees the old text or the new, never a mix.

    The temporary name is always the same, so that a crash leaves at most one stray file, which the next write takes
    over; two writers at once therefore need a lock around this. On a full disk the reserve of the home gives room.

    Raises:
        TransientError: it cannot be written (rights, a full disk, too many open files); the old text stands.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    content = text.encode("utf-8")
    loans: list[Loan] = []
    try:
        while not _is_written(temporary, content, mode):
            loan = lend(path.parent, len(content))
            if loan is None:
                _write(temporary, content, mode)  # once more, for what it says
                break
            loans.append(loan)
        temporary.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        with suppress(OSError):  # half a text helps nobody, and its room may help somebody
            temporary.unlink()
        raise our_fault(Source.DISK, f"cannot write {path}", error) from error
    finally:
        if loans:
            loans[0].put_back()


def _is_written(path: Path, content: bytes, mode: int) -> bool:
    """False where the disk is full."""
    try:
        _write(path, content, mode)
    except OSError as error:
        if error.errno in FULL:
            return False
        raise
    return True


def _write(path: Path, content: bytes, mode: int) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(file, left) :]
        os.fsync(file)
    finally:
        os.close(file)


def sync_directory(path: Path) -> None:
    """Have the names in a directory on the disk when it returns."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def tighten(folder: Path, contents: Iterable[Path]) -> int:
    """Take from everybody but the owner what they may do with the folder and these files and folders in it, whole; the
    number of those that had been open. Links are not followed.

    Raises:
        PermanentError: something belongs to somebody else; the message names it.
    """
    found = [folder, *(path for one in contents for path in (one, *(one.rglob("*") if one.is_dir() else ())))]
    return sum(map(_tightened, found))


def _tightened(path: Path) -> bool:
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode) or not mode & 0o077:
            return False
        path.chmod(stat.S_IMODE(mode) & 0o700)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise PermanentError(f"{path} is open to others and cannot be closed to them: {error.strerror}") from error
    return True


@contextmanager
def locked(path: Path, *, source: Source) -> Iterator[None]:
    """Hold the lock file exclusively, against threads and processes alike. The kernel frees it when its holder dies.

    Raises:
        TransientError: somebody held it for five seconds, or it cannot be opened; ``source`` names the port it
            belongs to.
    """
    try:
        file = _opened(path)
    except OSError as error:
        raise our_fault(source, f"cannot lock {path}", error) from error
    try:
        deadline_s = time.monotonic() + _LOCK_WITHIN_S
        while not _try_lock(file):
            if time.monotonic() > deadline_s:
                raise TransientError(source, f"{path} was locked by another process for {_LOCK_WITHIN_S:g} s")
            time.sleep(_LOCK_POLL_S)
        yield
    finally:
        os.close(file)


def is_locked(path: Path) -> bool:
    """Return whether somebody holds the lock file; False where there is none."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _try_lock(file)
    finally:
        os.close(file)


def _opened(path: Path) -> int:
    """Return the lock's file, opened: where nothing can be written, a lock that is there can be held all the same."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES) or not path.exists():
            raise
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
