"""A replica on a package with a foreign tokenizer: the digests are right, but the golden texts are not."""

import json
import os
import shutil
import subprocess
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from controller.adapters.local.command import serving_command
from controller.adapters.local.drill_news import News
from controller.adapters.local.loopback import get
from controller.adapters.local.processes_os import end_groups, identity_of, start_process
from controller.core.drills import Check
from controller.errors import Source, UsageError, our_fault
from controller.ports.runtime import DeploymentSpec
from gates.outcome import Outcome
from serving.contract import EXIT_REFUSED, HEALTH_ROUTE
from serving.package.artifact import MANIFEST_FILE, TOKENIZER_FILE, file_record, read_manifest

_LOG_TAIL_BYTES = 1_500
_END_WITHIN_S = 5.0
_HEALTH_WITHIN_S = 0.5


@dataclass
class AlteredPackage(News):
    """A replica started on a copy of a package in which two words of the vocabulary are swapped. No gateway and no
    controller knows it, and it ends with this process, however that ends (Linux)."""

    spec: DeploymentSpec
    package: Path
    directory: Path  # of the copy, made and removed here
    _child: subprocess.Popen[bytes] | None = None
    _found: Check | None = None

    @property
    def targets(self) -> Sequence[str]:
        return [f"a copy of {self.package}"]

    def begin(self) -> str:
        self._removed()
        try:
            copy = copy_of(self.package, self.directory / "package", altered={MANIFEST_FILE, TOKENIZER_FILE})
            one, other = _altered(copy)
        except OSError as error:
            raise our_fault(Source.PACKAGES, "cannot copy a package", error) from error
        command = serving_command(self.spec, copy, self.directory / "ports")
        self._child = start_process(command, self._log_file, ends_with_us=True)
        return f"a replica was started on a copy of the package in which {one!r} and {other!r} have changed places"

    @property
    def _log_file(self) -> Path:
        return self.directory / "replica.log"

    def end(self) -> None:
        if self._child is not None and (identity := identity_of(self._child.pid)) is not None:
            end_groups([identity], grace_s=_END_WITHIN_S, reap=[self._child])
        self._removed()

    def _removed(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)

    def look(self) -> None:
        if self._found is not None:
            return
        promise = "A replica with a different tokenizer is rejected before it gets traffic"
        if self._child is not None and (code := self._child.poll()) is not None:
            last = _last_line(self._log_file)
            kind = Outcome.PASS if code == EXIT_REFUSED and TOKENIZER_FILE in last else Outcome.ERROR
            self._found = Check(promise, kind, f"It ended with {code}: {last}")
            self._told.append(f"the replica refused its package: {last}")
        elif self._serves():
            self._found = Check(promise, Outcome.FAIL, "It serves.")

    def is_over(self) -> bool:
        self.look()
        return self._found is not None

    def _serves(self) -> bool:
        try:
            port = int((self.directory / "ports").read_text(encoding="ascii").split()[-1])
            return get(f"http://127.0.0.1:{port}{HEALTH_ROUTE}", timeout_s=_HEALTH_WITHIN_S)[0] == HTTPStatus.OK
        except (OSError, ValueError, IndexError):
            return False

    def checks(self) -> Sequence[Check]:
        if self._found is not None:
            return (self._found,)
        return (Check("A replica with a different tokenizer is rejected", Outcome.ERROR, "It did not end in time."),)


def copy_of(package: Path, copy: Path, altered: Container[str]) -> Path:
    """Make a copy of the package, and return it. What is not ``altered`` is a link where that can be: weights are
    large."""
    copy.mkdir(parents=True, mode=0o700)
    for file in package.iterdir():
        _copied(file, copy / file.name, linked=file.name not in altered)
    return copy


def _copied(file: Path, to: Path, *, linked: bool) -> None:
    if not linked:
        shutil.copyfile(file, to)
        return
    try:
        os.link(file, to)
    except OSError:
        shutil.copyfile(file, to)


def _altered(package: Path) -> tuple[str, str]:
    """Swap two words that a golden text has, write matching digests, and return the words."""
    manifest, _ = read_manifest(package)
    path = package / TOKENIZER_FILE
    tokenizer = json.loads(path.read_bytes())
    special = {one["id"] for one in tokenizer.get("added_tokens", ())}
    vocabulary = tokenizer["model"]["vocab"]
    for golden in manifest.golden:
        wanted = [one for one in dict.fromkeys(golden.token_ids) if one not in special]
        words = dict(_words(vocabulary, wanted[:2]))
        if len(words) == 2:
            (one, first), (other, second) = words.items()
            _exchange(vocabulary, (one, first), (other, second))
            path.write_text(json.dumps(tokenizer), encoding="utf-8")
            _write_digest(package, path)
            return one, other
    raise UsageError(f"{package}: no golden text has two words that could be swapped")


def _words(vocabulary: Any, ids: Sequence[int]) -> Iterator[tuple[str, int]]:
    """Yield the words of the ids: a vocabulary gives ids by word, or lists words with their scores."""
    for number in ids:
        if isinstance(vocabulary, dict):
            yield from ((word, number) for word, known in vocabulary.items() if known == number)
        else:
            with suppress(IndexError):
                yield vocabulary[number][0], number


def _exchange(vocabulary: Any, one: tuple[str, int], other: tuple[str, int]) -> None:
    if isinstance(vocabulary, dict):
        vocabulary[one[0]], vocabulary[other[0]] = other[1], one[1]
    else:
        vocabulary[one[1]][0], vocabulary[other[1]][0] = other[0], one[0]


def _write_digest(package: Path, path: Path) -> None:
    manifest = json.loads((package / MANIFEST_FILE).read_bytes())
    record = file_record(path)
    manifest["files"][path.name] = {"sha256": record.sha256, "size_bytes": record.size_bytes}
    (package / MANIFEST_FILE).write_text(json.dumps(manifest), encoding="utf-8")


def _last_line(log_file: Path) -> str:
    try:
        said = log_file.read_bytes()[-_LOG_TAIL_BYTES:].decode("utf-8", errors="replace").strip()
    except OSError as error:
        said = f"({error.strerror})"
    return said.splitlines()[-1] if said else "(it said nothing)"
