"""The MLflow model registry, through its client library, with precautions for what MLflow does not guarantee.

Aliases have no compare-and-swap, so they are read before and after each move. A version's files are fetched by the id
of the logged model behind it, as data: no flavour is loaded and no code of the candidate runs. MLflow keeps no digests
of files, so fetched files prove nothing until their manifest is verified.
"""

import os
import re
import tempfile
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from stat import S_ISREG
from typing import Any, Final

from controller.adapters.mlflow.calls import wrapped
from controller.adapters.mlflow.runs import lineage_of
from controller.errors import ConflictError, PermanentError, Source, UsageError
from controller.naming import model_named
from controller.ports.registry import FINGERPRINT_TAG, LoggedCheckpoint, RegisteredVersion
from serving.package.origin import Lineage

EXPERIMENT: Final = "serin"  # where registered packages are logged
CHAIN_LENGTH_MAX: Final = 8  # a version copied from a version copied from ...
FILES_MAX: Final = 64
PACKAGE_BYTES_MAX: Final = 8 * 2**30
READ_BYTES_MAX: Final = 4 * 2**20  # of one small file, such as a manifest
PAGE_MODELS: Final = 1000  # the most that MLflow returns at a time
SEARCHED_AS_ONE: Final = 50  # how many models a search returns in the time of one single read

_LOGGED_MODEL: Final = re.compile(r"models:/(m-[0-9a-f]{32})")
_COPIED: Final = re.compile(r"models:/([^/:@]+)/([0-9]+)")
_SERVED_LOCATION: Final = re.compile(r"mlflow-artifacts:/(?!/)[A-Za-z0-9._/-]+")  # served by the registry itself
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


class MlflowRegistry:
    """The port ``Registry`` on an MLflow tracking server.

    The client library reads its time-outs only from the environment. So the constructor sets ``MLFLOW_HTTP_REQUEST_*``
    for the whole process, and switches off redirects, telemetry and progress bars. Without these time-outs, a call to a
    registry that is away hangs for four minutes.
    """

    def __init__(self, url: str, *, timeout_s: int = 5, retries: int = 2) -> None:
        if not url.startswith(("http://", "https://")):
            raise UsageError(
                f"registry address: an http:// or https:// address of an MLflow server is needed, got {url}"
            )
        self._url = url
        self._registered = 0  # how many models there are, as far as is known
        os.environ |= {
            "MLFLOW_HTTP_REQUEST_TIMEOUT": str(timeout_s),
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(retries),
            "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
            "MLFLOW_ALLOW_HTTP_REDIRECTS": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        }

    @cached_property
    def _client(self) -> Any:
        from mlflow import MlflowClient  # takes a second to import, which would slow commands that need no registry

        return MlflowClient(tracking_uri=self._url, registry_uri=self._url)

    def aliases_by_model(self, models: Collection[str]) -> Mapping[str, Mapping[str, str]]:
        """Return the aliases of those of the ``models`` that are registered, by model.

        A search returns a page of many models in the time that a few single reads take. So it is preferred, unless the
        registry is very much larger than what is asked for.
        """
        if len(models) * SEARCHED_AS_ONE < self._registered:
            return {model: found for model in models if (found := self._aliases_if_any(model)) is not None}
        everything = self._every_alias()
        self._registered = len(everything)
        return {model: everything[model] for model in models if model in everything}

    def _aliases_if_any(self, model: str) -> Mapping[str, str] | None:
        try:
            return self.aliases(model)
        except PermanentError:
            return None

    def _every_alias(self) -> Mapping[str, Mapping[str, str]]:
        found: dict[str, Mapping[str, str]] = {}
        token: str | None = None
        with wrapped("read the aliases of all models"):
            while True:
                page = self._client.search_registered_models(max_results=PAGE_MODELS, page_token=token)
                found |= {model.name: _told(model.aliases) for model in page}
                token = page.token
                if not token:
                    return found

    def aliases(self, model: str) -> Mapping[str, str]:
        """Return the version of each alias.

        Raises:
            PermanentError: there is no such model.
        """
        with wrapped(f"read model {model!r}"):
            return _told(self._client.get_registered_model(model).aliases)

    def version(self, model: str, version: str) -> RegisteredVersion:
        """Return the version, with the logged model at the end of its chain of sources.

        Raises:
            PermanentError: it does not exist, its registration failed, its source is not a logged model of this server,
                the chain of copies is too long, or the tags along it name two fingerprints.
        """
        ready = True
        tagged: set[str] = set()
        name, number = model, version
        for _ in range(CHAIN_LENGTH_MAX):
            with wrapped(f"read {name} version {number}"):
                found = self._client.get_model_version(name, number)
            tagged.add(str(found.tags.get(FINGERPRINT_TAG, "")))
            ready = self._is_ready(f"{name} version {number}", str(found.status)) and ready
            if copied := _COPIED.fullmatch(found.source):
                name, number = copied.groups()
            elif logged := _LOGGED_MODEL.fullmatch(found.source):
                source_id = logged.group(1)
                package = self._logged(source_id)
                tagged.add(str(package.tags.get(FINGERPRINT_TAG, "")))
                ready = self._is_ready(f"logged model {source_id}", str(package.status)) and ready
                return RegisteredVersion(model, version, source_id, ready, _one(tagged - {""}, model, version))
            else:
                raise PermanentError(
                    f"{name} version {number} comes from {found.source!r}, which is not allowed: register a package "
                    "with `serin register`, so that its source is a logged model (models:/m-...)"
                )
        raise PermanentError(f"{model} version {version}: more than {CHAIN_LENGTH_MAX} copies of copies, or a cycle")

    def fetch(self, version: RegisteredVersion, into: Path) -> Path:
        """Download the package to ``into``, which appears whole or not at all, and return ``into``.

        Raises:
            PermanentError: the package is not a flat set of plainly named files, is too large, or lies on another
                server.
        """
        location = self._location(version)
        names = self._package_files(version)
        into.parent.mkdir(parents=True, exist_ok=True)
        with (
            wrapped(f"download {version.model} version {version.version}"),
            tempfile.TemporaryDirectory(dir=into.parent, prefix=f".{into.name}.") as work,
        ):
            arriving = Path(work) / "package"
            arriving.mkdir()
            for name in names:
                self._download(f"{location}/{name}", arriving)
            if sorted(path.name for path in arriving.iterdir() if S_ISREG(path.lstat().st_mode)) != sorted(names):
                raise PermanentError(
                    f"{version.model} version {version.version}: the files that arrived are not those that were listed"
                )
            arriving.rename(into)
        return into

    def read(self, version: RegisteredVersion, name: str) -> bytes:
        """Return one file of a package, not yet verified.

        Raises:
            PermanentError: there is no such file, it is empty or longer than ``READ_BYTES_MAX``, or it lies on another
                server.
        """
        location = self._location(version)
        with wrapped(f"list the files of {version.model} version {version.version}"):
            sizes = {
                one.path: one.file_size or 0 for one in self._client.list_logged_model_artifacts(version.source_id)
            }
        if not 0 < sizes.get(name, 0) <= READ_BYTES_MAX:
            raise PermanentError(
                f"{version.model} version {version.version} has no {name} of 1 to {READ_BYTES_MAX} bytes"
            )
        with (
            wrapped(f"download {name} of {version.model} version {version.version}"),
            tempfile.TemporaryDirectory(prefix="serin-read-") as folder,
        ):
            self._download(f"{location}/{name}", Path(folder))
            return (Path(folder) / name).read_bytes()

    def move_alias(self, model: str, alias: str, version: str, *, expected: str | None) -> None:
        """Point the alias at the version; see the port.

        Raises:
            ConflictError: the alias did not point at ``expected`` before, or not at ``version`` afterwards.
        """
        before = self.aliases(model).get(alias)
        if before == version:
            return
        if before != expected:
            raise ConflictError(
                Source.REGISTRY,
                f"alias {alias!r} of {model}: expected at {_place(expected)}, found at {_place(before)}",
            )
        with wrapped(f"move alias {alias!r} of {model} to version {version}"):
            self._client.set_registered_model_alias(model, alias, version)
        after = self.aliases(model).get(alias)
        if after != version:
            said = f"alias {alias!r} of {model}: set to {_place(version)}, but found at {_place(after)}"
            raise ConflictError(Source.REGISTRY, said)

    def drop_alias(self, model: str, alias: str, *, expected: str) -> None:
        """Remove the alias if it points at ``expected``; otherwise do nothing."""
        if self.aliases(model).get(alias) == expected:
            with wrapped(f"remove alias {alias!r} of {model}"):
                self._client.delete_registered_model_alias(model, alias)

    def tag(self, model: str, version: str, tags: Mapping[str, str]) -> None:
        """Set tags on a version."""
        with wrapped(f"tag {model} version {version}"):
            for key, value in tags.items():
                self._client.set_model_version_tag(model, version, key, value)

    def tagged(self, model: str, tag: str, value: str) -> Mapping[str, str]:
        """Return the fingerprints of the model's versions that have this tag, by number; an empty text if a version's
        tags do not name its fingerprint."""
        found: dict[str, str] = {}
        token: str | None = None
        with wrapped(f"search the versions of {model}"):
            while True:
                page = self._client.search_model_versions(
                    f"name='{model_named(model)}' and tags.`{tag}`='{value}'",
                    max_results=PAGE_MODELS,
                    page_token=token,
                )
                found |= {str(one.version): str(one.tags.get(FINGERPRINT_TAG, "")) for one in page}
                token = page.token
                if not token:
                    return found

    def lineage(self, run_id: str) -> Lineage:
        """Return the lineage of a run: its parameters, its data and its commit."""
        return lineage_of(self._client, run_id)

    def checkpoint(self, model: str, version: str, into: Path) -> LoggedCheckpoint:
        """Download to ``into`` the files of a version that somebody else logged, with their folders. Return the folder
        of the files, and the run that logged them.

        Raises:
            PermanentError: the version's source is no logged model of this server, or it is too large.
        """
        found = self.version(model, version)
        location, run = self._location(found), str(self._logged(found.source_id).source_run_id or "")
        whose = f"{model} version {version}"
        with wrapped(f"list the files of {whose}"):
            size = sum(self._sizes(found.source_id))
        if size > PACKAGE_BYTES_MAX:
            raise PermanentError(f"{whose} has {size} bytes: at most {PACKAGE_BYTES_MAX} are accepted")
        into.mkdir(parents=True)
        with wrapped(f"download {whose}"):
            self._download(location, into)
        (folder,) = into.iterdir()
        return LoggedCheckpoint(folder, run)

    def _sizes(self, source_id: str, folder: str | None = None) -> Iterator[int]:
        for file in self._client.list_logged_model_artifacts(source_id, folder):
            if file.is_dir:
                yield from self._sizes(source_id, file.path)
            else:
                yield file.file_size or 0

    def register(
        self, package_dir: Path, model: str, *, tags: Mapping[str, str], run: str | None = None
    ) -> RegisteredVersion:
        """Log the directory as a new logged model, register that as the next version of ``model``, which is created if
        it does not exist, and return the version. ``run`` is the run that the files come from.

        A failure on the way leaves no version, and at most a logged model that nothing uses.

        Raises:
            UsageError: the name is not allowed for a model; nothing was written.
        """
        model_named(model)
        with wrapped(f"register a version of {model}"):
            self._ensure(self._client.create_experiment, EXPERIMENT)
            experiment_id = self._client.get_experiment_by_name(EXPERIMENT).experiment_id
            logged = self._client.create_logged_model(
                experiment_id, name=_logged_name(model), source_run_id=run, tags=dict(tags)
            )
            try:
                self._client.log_model_artifacts(logged.model_id, str(package_dir))
            except Exception:
                self._client.finalize_logged_model(logged.model_id, "FAILED")
                raise
            self._client.finalize_logged_model(logged.model_id, "READY")
            self._ensure(self._client.create_registered_model, model)
            created = self._client.create_model_version(
                model,
                f"models:/{logged.model_id}",
                run_id=run,
                tags=dict(tags),
                await_creation_for=0,
                model_id=logged.model_id,
            )
        return self.version(model, str(created.version))

    def register_again(self, model: str, version: str) -> RegisteredVersion:
        """Register the files of a version once more, as the next version of the model, and return that.

        Raises:
            PermanentError: there is no such version, or its source is not allowed.
        """
        found = self.version(model, version)
        tags = {FINGERPRINT_TAG: found.fingerprint} if found.fingerprint else {}
        with wrapped(f"register version {version} of {model} again"):
            created = self._client.create_model_version(
                model, f"models:/{found.source_id}", tags=tags, await_creation_for=0, model_id=found.source_id
            )
        return self.version(model, str(created.version))

    def _logged(self, source_id: str) -> Any:
        with wrapped(f"read logged model {source_id}"):
            return self._client.get_logged_model(source_id)

    def _location(self, version: RegisteredVersion) -> str:
        location = str(self._logged(version.source_id).artifact_location)
        if not _SERVED_LOCATION.fullmatch(location) or ".." in location:
            raise PermanentError(
                f"the files of {version.model} version {version.version} are at {location!r}: only files that "
                "the registry's own server serves are accepted (mlflow server --serve-artifacts)"
            )
        return location

    def _package_files(self, version: RegisteredVersion) -> list[str]:
        """Return the names of the package's files, checked before anything is downloaded."""
        whose = f"{version.model} version {version.version}"
        with wrapped(f"list the files of {whose}"):
            listed = self._client.list_logged_model_artifacts(version.source_id)
        for file in listed:
            if file.is_dir or not _FILE_NAME.fullmatch(file.path):
                raise PermanentError(
                    f"{whose} holds {file.path!r}: a package is a flat directory of plainly named files. To make "
                    "a package from a model that was logged as it was trained: serin register "
                    f"models:/{version.model}/{version.version} --model {version.model}"
                )
        size = sum(file.file_size or 0 for file in listed)
        if not 0 < len(listed) <= FILES_MAX or size > PACKAGE_BYTES_MAX:
            raise PermanentError(
                f"{whose} has {len(listed)} files of {size} bytes together: a package has 1 to {FILES_MAX} files and "
                f"at most {PACKAGE_BYTES_MAX} bytes"
            )
        return [file.path for file in listed]

    def _download(self, uri: str, into: Path) -> None:
        from mlflow.artifacts import download_artifacts

        download_artifacts(artifact_uri=uri, dst_path=str(into), tracking_uri=self._url)

    @staticmethod
    def _is_ready(what: str, status: str) -> bool:
        if "FAILED" in status:
            raise PermanentError(f"{what} is marked as failed: register it again")
        return status == "READY"

    @staticmethod
    def _ensure(create: Any, name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            create(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise


def _told(aliases: Mapping[str, Any]) -> Mapping[str, str]:
    return {alias: str(version) for alias, version in aliases.items()}


def _one(fingerprints: set[str], model: str, version: str) -> str:
    """Return the fingerprint that the tags along the chain agree on; empty if none of them names one."""
    if len(fingerprints) > 1:
        named = " and ".join(sorted(fingerprint[:64] for fingerprint in fingerprints))
        raise PermanentError(
            f"the tags {FINGERPRINT_TAG} of {model} version {version} and of its source contradict each "
            f"other ({named}): somebody changed one. Register the version again."
        )
    return next(iter(fingerprints), "")


def _logged_name(model: str) -> str:
    """Return the name of the model's logged models, which is for people. MLflow allows no dot in it, though it does in
    the names of registered models."""
    return model.replace(".", "-")


def _place(version: str | None) -> str:
    return "no version" if version is None else f"version {version}"
