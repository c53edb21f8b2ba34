"""Policies in the files of a folder, each read again once it has changed."""

import errno
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from controller.config.policy_file import load_policy
from controller.core.policy import ReleasePolicy
from controller.errors import SerinError, Source, UsageError, our_fault
from controller.ports.policies import NotFollowed

_SHORTAGES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class _Stamp(NamedTuple):
    """The stamp of a file, which differs once it was written anew."""

    inode: int
    mtime_ns: int
    size: int


class PolicyFiles:
    """Implements the port ``PolicySource``; documents are called as their files are. Not for several threads at a
    time."""

    def __init__(self, files: Callable[[], Sequence[Path]]) -> None:
        """``files`` lists those that there are now."""
        self._files = files
        self._stamps: Mapping[Path, _Stamp] = {}
        self._documents: Mapping[str, ReleasePolicy | NotFollowed] = {}

    def documents(self) -> Mapping[str, ReleasePolicy | NotFollowed]:
        try:
            files = self._files()
        except OSError as error:
            raise our_fault(Source.POLICIES, "cannot list the policies", error) from error
        stamps = {path: stamp for path in files if (stamp := _stamp(path)) is not None}
        if stamps != self._stamps:
            known = self._documents
            same = {path.name for path, stamp in stamps.items() if self._stamps.get(path) == stamp}
            self._documents = {path.name: known[path.name] if path.name in same else _read(path) for path in stamps}
            self._stamps = stamps
        return self._documents


def _read(path: Path) -> ReleasePolicy | NotFollowed:
    """Raises TransientError where this machine does not let it be read: it may be as good as ever."""
    try:
        return load_policy(path)
    except UsageError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in _SHORTAGES:
            raise our_fault(Source.POLICIES, f"cannot read {path}", error.__cause__) from error
        return NotFollowed(str(error))
    except SerinError as error:
        return NotFollowed(str(error))


def _stamp(path: Path) -> _Stamp | None:
    """Return the file's stamp; None where it is just being replaced: the next look finds it."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return _Stamp(stat.st_ino, stat.st_mtime_ns, stat.st_size)
