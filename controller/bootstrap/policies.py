"""The policies of a home as they stand: read again once a file has changed."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from controller.bootstrap.stores import policies_of
from controller.config.policy_file import load_policy
from controller.config.settings import Home
from controller.core.policy import ReleasePolicy, WhileStableRestarts
from controller.errors import SerinError, UsageError
from controller.loop.retention import check_kept
from controller.naming import check_distinct

log = logging.getLogger(__name__)

LabelNames = Mapping[str, Mapping[str, str]]  # by model: a source's name, the class


def label_names_of(home: Home) -> LabelNames:
    """Return what label sources call classes, by every policy of the home. Raises UsageError where one is invalid."""
    return {model: policy.label_names for model, policy in policies_of(home).items()}


class _Stamp(NamedTuple):
    """The stamp of a file, which differs once it was written anew."""

    inode: int
    mtime_ns: int
    size: int


class CurrentPolicies:
    """A file that cannot be read or breaks a rule changes nothing for the others, nor for its own model: that goes on
    by the policy that it had. A model whose file is gone has none. Calls may come from any thread."""

    def __init__(self, home: Home, samples_kept_days: float) -> None:
        self._home = home
        self._kept_days = samples_kept_days
        self._lock = Lock()
        self._stamps: dict[Path, _Stamp] = {}
        self._by_file: dict[Path, ReleasePolicy] = {}
        self.faults: Mapping[str, str] = {}
        """Why a file is not followed, by its name."""
        self._current: Mapping[str, ReleasePolicy] = {}
        self._faults_of: dict[Path, str] = {}

    def __call__(self) -> Mapping[str, ReleasePolicy]:
        """The policies by model, after a look at the folder."""
        with self._lock:
            self._read(self._home.policy_files)
            return self._current

    def label_names(self) -> LabelNames:
        """Return what label sources call classes, by model."""
        return {model: policy.label_names for model, policy in self().items()}

    def label_names_of(self, model: str) -> Mapping[str, str]:
        """Return the label names of one model, without a look at the folder: as they were at the last one."""
        policy = self._current.get(model)
        return policy.label_names if policy is not None else {}

    def falls_back(self, model: str) -> bool:
        """Return whether its known good version stands in for one that serves everybody; as at the last look."""
        policy = self._current.get(model)
        return policy is None or policy.while_stable_restarts is WhileStableRestarts.FALLBACK

    def _read(self, paths: Sequence[Path]) -> None:
        stamps = {path: stamp for path in paths if (stamp := _stamp(path)) is not None}
        if stamps == self._stamps:
            return
        for path in self._by_file.keys() | self._faults_of.keys():
            if path not in stamps:
                self._by_file.pop(path, None)
                self._faults_of.pop(path, None)
        for path, stamp in stamps.items():
            if self._stamps.get(path) != stamp:
                self._take(path)
        self._stamps = stamps
        self._settle()

    def _take(self, path: Path) -> None:
        try:
            policy = load_policy(path)
            check_kept(self._kept_days, [policy])
        except SerinError as error:
            self._faults_of[path] = str(error)
        else:
            self._faults_of.pop(path, None)
            self._by_file[path] = policy

    def _settle(self) -> None:
        """One policy a model: that of the file called after it, or else the first file's, by name."""
        current: dict[str, ReleasePolicy] = {}
        faults = {path.name: reason for path, reason in self._faults_of.items()}
        for path, policy in sorted(self._by_file.items(), key=_own_file_first):
            if policy.model in current:
                faults[path.name] = f"{path}: there is another policy for model {policy.model!r}"
                continue
            try:
                check_distinct(policy.model, current)
            except UsageError as error:
                faults[path.name] = str(error)
            else:
                current[policy.model] = policy
        for name in faults.keys() - self.faults.keys():
            log.warning("policy %s is not followed: %s", name, faults[name])
        for model in current.keys() - self._current.keys():
            log.info("model %s has a policy", model)
        for model in self._current.keys() - current.keys():
            log.info("model %s has no policy any more: what is under way goes on, nothing new begins", model)
        self._current, self.faults = current, faults


def _own_file_first(of: tuple[Path, ReleasePolicy]) -> tuple[bool, Path]:
    """A copy that a person or a program left beside it ("intent (copy).yaml") takes no file's place."""
    path, policy = of
    return path.stem != policy.model, path


def _stamp(path: Path) -> _Stamp | None:
    """Return the file's stamp; None where it is just being replaced: the next look finds it."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return _Stamp(stat.st_ino, stat.st_mtime_ns, stat.st_size)
