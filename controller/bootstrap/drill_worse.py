"""A worse version, made of the one that serves and rehearsed: which gate finds it, and that it answers no user."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Protocol

from controller.adapters.local.drill_news import News
from controller.adapters.local.drill_package import copy_of
from controller.bootstrap.drill_packages import ALTERED, exchanged, surer
from controller.bootstrap.drill_undo import aborted
from controller.core.commands import Command
from controller.core.drills import Check, Mode
from controller.core.events import TrafficConfirmed
from controller.core.release import Release
from controller.errors import Source, TransientError, UsageError, our_fault
from controller.journal.codec import event_of
from controller.overview import opened
from controller.ports.registry import FINGERPRINT_TAG, RegisteredVersion
from controller.service import Service, release_started_by
from gates.outcome import Outcome
from serving.contract import Traffic
from serving.package.artifact import MANIFEST_FILE, fingerprint, verify
from serving.package.rules import Task

DRILL_TAG: Final = "serin.drill"
"""Of a version that a drill made: worse on purpose, and for no user."""
_BLAMED: Final[Mapping[Mode, str]] = {Mode.F2: "accuracy.", Mode.F6: "calibration."}


class Shelf(Protocol):
    """The registry, where a drill's versions stay."""

    def register(self, package_dir: Path, model: str, *, tags: Mapping[str, str]) -> RegisteredVersion:
        """Log the package as the next version of the model, under these tags and no alias."""

    def tagged(self, model: str, tag: str, value: str) -> Mapping[str, str]:
        """Return the fingerprints of the model's versions with this tag, by number."""

    def tag(self, model: str, version: str, tags: Mapping[str, str]) -> None:
        """Set tags on a version."""


@dataclass
class WorseVersion(News):
    """``requests``: how many a version has had, by traffic; None where nobody knows."""

    mode: Mode
    model: str
    package: Path  # of the version that serves
    directory: Path  # of the copy, made and removed here
    service: Service
    shelf: Shelf
    requests: Callable[[str], Mapping[str, float] | None]
    by: str
    _version: str = ""
    _command: Command | None = None
    _refused: str = ""
    _release: Release | None = None
    _told_of_gates: bool = False

    def __post_init__(self) -> None:
        """Raises UsageError: this version cannot be made worse so."""
        manifest = verify(self.package)
        if manifest.rules.task is not Task.SEQUENCE_CLASSIFICATION or len(manifest.labels) < 2:
            raise UsageError(f"{self.model} does not choose between classes, and {self.mode} is about classes")
        if self.mode is Mode.F6 and find_spec("onnx") is None:
            raise UsageError("F6 needs onnx, not installed here: pip install -c constraints.txt onnx")

    @property
    def targets(self) -> Sequence[str]:
        return [f"a copy of {self.package}, registered as a version of {self.model} and rehearsed"]

    def begin(self) -> str:
        self._removed()
        copy = self.directory / "package"
        try:
            copy_of(self.package, copy, altered={MANIFEST_FILE, *ALTERED})
            manifest, how = exchanged(copy) if self.mode is Mode.F2 else surer(copy)
            (copy / MANIFEST_FILE).write_bytes(manifest.to_bytes())
        except OSError as error:
            raise our_fault(Source.PACKAGES, "cannot copy a package", error) from error
        digest = fingerprint(manifest.to_bytes())
        left = self._left()
        self._version = left.pop(digest, "")
        came = "was left by a drill that was killed," if self._version else "was registered"
        if not self._version:
            tags = {FINGERPRINT_TAG: digest, DRILL_TAG: self.mode}
            self._version = self.shelf.register(copy, self.model, tags=tags).version
        self._removed()
        self._told += map(self._marked, left.values())
        reason = f"drill {self.mode}: a version that is worse on purpose and serves no user"
        self._command = self.service.rehearse(self.model, self._version, reason=reason, by=self.by)
        return f"version {self._version}, in which {how}, {came} and is being rehearsed"

    def _left(self) -> dict[str, str]:
        """Return the versions of earlier drills that were never rehearsed, by fingerprint: who made them was killed."""
        versions = self.shelf.tagged(self.model, DRILL_TAG, self.mode)
        released = {one.version for one in self.service.journal.summaries(model=self.model)} if versions else set()
        return {digest: number for number, digest in versions.items() if number not in released}

    def _marked(self, version: str) -> str:
        """Mark what an earlier drill made of another version, so that it is told once."""
        self.shelf.tag(self.model, version, {DRILL_TAG: f"{self.mode}, never rehearsed"})
        return (
            f"version {version} was left in the registry by a drill that was killed before it was rehearsed: it has no "
            f"alias and no users, and its tag {DRILL_TAG} says so now"
        )

    def end(self) -> None:
        self._removed()
        if self._command is not None and not self.is_over():
            aborted(self.service, self.model)

    def _removed(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)

    def look(self) -> None:
        if self._command is None or self._refused or (self._release is not None and not self._release.active):
            return
        try:
            self.service.is_taken_up(self._command)
            found = release_started_by(self.service, self._command)
            release = opened(self.service.release(found.release_id))[0] if found is not None else None
        except UsageError as error:
            self._refused = str(error)
            return
        except TransientError:
            return  # it is looked at again
        if release is not None and release.blamed and not self._told_of_gates:
            self._told_of_gates = True
            self._told.append(f"{', '.join(release.blamed)} failed {release.id}: {release.reason.rstrip('.')}")
        self._release = release

    def is_over(self) -> bool:
        self.look()
        return bool(self._refused) or (self._release is not None and not self._release.active)

    def checks(self) -> Sequence[Check]:
        self.look()
        return (self._found(), self._kept_from_users())

    def _found(self) -> Check:
        gate, release = _BLAMED[self.mode], self._release
        promise = f"A gate of {gate.rstrip('.')} finds it, and ends its release"
        if release is None or release.active:
            why = self._refused or "Its release did not end in time."
            return Check(promise, Outcome.INCONCLUSIVE if self._refused else Outcome.ERROR, why)
        blamed = any(one.startswith(gate) for one in release.blamed)
        told = f"{release.id} is {release.phase}: {release.reason}"
        return Check(promise, Outcome.PASS if blamed else Outcome.INCONCLUSIVE, told)

    def _kept_from_users(self) -> Check:
        """By the tables that its release had users answered by, and by what Prometheus counted, where it was there for
        long enough to be scraped."""
        promise = "No user gets an answer of it"
        if self._release is None:
            return Check(promise, Outcome.INCONCLUSIVE, "It was not rehearsed.")
        counted = self.requests(self._version)
        users = (counted or {}).get(Traffic.LIVE, 0.0)
        others = sum((counted or {}).values()) - users
        told = f"it answered {users:,.0f} users, and {others:,.0f} questions and copies" if counted else "not counted"
        sent = self._version in self._sent_to(self._release.id)
        table = "A table of its release sent users to it" if sent else "No table of its release sent a user to it"
        return Check(promise, Outcome.FAIL if sent or users else Outcome.PASS, f"{table}; by Prometheus {told}.")

    def _sent_to(self, release_id: str) -> set[str]:
        """Return the versions that users were answered by, as the journal of the release says."""
        found = (event_of(one) for one in self.service.entries(release_id) if one.kind == TrafficConfirmed.__name__)
        tables = (event.weights_pct for event in found if isinstance(event, TrafficConfirmed))
        return {version for weights in tables for version, pct in weights.items() if pct > 0}
