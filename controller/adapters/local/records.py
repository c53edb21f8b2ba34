"""What is known of each local deployment, in one small file each, so that the next controller finds them running."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from controller.adapters.files import replace_file
from controller.adapters.local.processes_os import ProcessIdentity
from controller.errors import PermanentError
from serving.contract import deployment_name


@dataclass(frozen=True, slots=True)
class Record:
    """One deployment's present start. ``failure`` is empty while its process is believed to run."""

    model: str
    version: str
    pid: int
    create_time_s: float
    command: tuple[str, ...]
    started_at_s: float
    starts_s: tuple[float, ...]  # this start and those before it that still count for the restart limit
    log_offset: int  # where this start's output begins in the log
    port: int | None = None
    answered: bool = False  # it answered its health route at least once since this start
    ending_since_s: float | None = None
    restarts: int = 0  # starts after the first, since the deployment was asked for
    failed_at_s: float | None = None
    failure: str = ""
    shadow_port: int | None = None  # none: started by a version of Serin in which copies had no port of their own
    fingerprint: str = ""  # of the package that it was started with
    boot_id: str = ""  # of the machine's run in which it was started
    memory_kills: int | None = None  # on this machine, before it was started
    recovering: bool = False  # it had died by itself before this start, after it had answered or ever since
    ours: bool = False  # the failure is one of this machine

    @property
    def name(self) -> str:
        return deployment_name(self.model, self.version)

    @property
    def identity(self) -> ProcessIdentity:
        return ProcessIdentity(self.pid, self.create_time_s)

    @property
    def url(self) -> str | None:
        return _url(self.port)

    @property
    def shadow_url(self) -> str | None:
        return _url(self.shadow_port)


def _url(port: int | None) -> str | None:
    return None if port is None else f"http://127.0.0.1:{port}"


class Records:
    """The folder of records, logs and port files. One writer at a time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def load(self, name: str) -> Record | None:
        path = self._path(name)
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            return Record(**{**fields, "command": tuple(fields["command"]), "starts_s": tuple(fields["starts_s"])})
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise PermanentError(
                f"{path} is not a readable record of a deployment ({error!r}): end its process, then remove the file"
            ) from error

    def all(self) -> Sequence[Record]:
        names = sorted(path.stem for path in self._directory.glob("*.json"))
        return [record for record in map(self.load, names) if record is not None]

    def save(self, record: Record) -> Record:
        replace_file(self._path(record.name), json.dumps(dataclasses.asdict(record), indent=1))
        return record

    def forget(self, name: str) -> None:
        """The log stays: it may be all that tells why."""
        self._path(name).unlink(missing_ok=True)
        self.port_file(name).unlink(missing_ok=True)
        self.token_file(name).unlink(missing_ok=True)

    def prepare(self, name: str) -> int:
        """Make room for a new start, and say where its output will begin in the log."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self.port_file(name).unlink(missing_ok=True)
        log_file = self.log_file(name)
        return log_file.stat().st_size if log_file.exists() else 0

    def port_file(self, name: str) -> Path:
        return self._directory / f"{name}.port"

    def token_file(self, name: str) -> Path:
        """The secret by which the replica sends its predictions."""
        return self._directory / f"{name}.token"

    def log_file(self, name: str) -> Path:
        return self._directory / f"{name}.log"

    def read_ports(self, name: str) -> tuple[int, int] | None:
        """The port for live requests and that for copies; None until the replica has written both, to the last line's
        end."""
        try:
            lines = self.port_file(name).read_text(encoding="ascii").splitlines(keepends=True)
        except FileNotFoundError:
            return None
        ports = [int(line) for line in lines if line.endswith("\n") and line.strip().isdigit()]
        return (ports[0], ports[1]) if len(ports) == 2 else None

    def log_tail(self, record: Record, *, bytes_max: int = 1500) -> str:
        """The end of what this start said; nothing where the log was cleared away."""
        if not self.log_file(record.name).exists():
            return ""
        with self.log_file(record.name).open("rb") as log:
            end = log.seek(0, 2)
            log.seek(max(record.log_offset, end - bytes_max))
            return log.read().decode("utf-8", errors="replace").strip()

    def _path(self, name: str) -> Path:
        if Path(name).name != name or name.startswith("."):
            raise PermanentError(f"{name!r} cannot name a deployment: it would be a path")
        return self._directory / f"{name}.json"
