"""The places where this installation keeps its things and listens. Written by `serin up`, read by every other
command."""

import dataclasses
import json
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from controller.config.variables import HOME_VARIABLE
from controller.errors import UsageError, in_words
from controller.files import replace_file
from controller.reserve import RESERVE_FILE
from serving.text.jsonlines import Unreadable, bare, loads

AUTO: Final = "auto"
PORTS: Final = ("gateway_port", "api_port", "envoy_admin_port", "prometheus_port", "mlflow_port", "alertmanager_port")
_UNFIT_IN_PATHS = frozenset("*?[]{}\\#%")


@dataclass(frozen=True, slots=True)
class Settings:
    """Ports are on loopback. ``registry_url`` None: Serin runs an MLflow of its own on ``mlflow_port``; likewise
    ``prometheus_url``. What ends in ``_file`` is put there and renewed by somebody else (`SecretFile`)."""

    gateway_port: int = 8080
    api_port: int = 8081
    envoy_admin_port: int = 9901
    prometheus_port: int = 9090
    mlflow_port: int = 5000
    alertmanager_port: int = 9093
    registry_url: str | None = None
    database_url: str | None = None
    database_url_file: str | None = None  # a file with it, where it has a password
    database_connections_max: int = 15  # of PostgreSQL, by one process
    sticky_header: str | None = None
    capture_ratio: float | str = AUTO  # the share of requests that is sampled; "auto": what each model's gates need
    capture_text: bool = False
    require_tokens: bool = False  # also of clients that ask replicas, and of who only reads at the interface
    api_hosts: tuple[str, ...] = ()  # names of the interface besides those of loopback, as behind a proxy
    api_listen: str | None = None  # beyond loopback too, by TLS and for tokens only: "0.0.0.0:8443"
    api_cert_file: str | None = None  # its certificate and those between it and its CA, PEM
    api_key_file: str | None = None
    api_tokens_file: str | None = None  # digests of tokens, beside those that are made in this home
    api_drain_s: float = 0.0  # how long it still answers when told to end, and says that it is not ready
    gateway_hosts: tuple[str, ...] = ()  # likewise of the gateway
    replica_threads: int = 1
    webhook_secret: str | None = None  # shared with MLflow; without it there is no webhook route
    webhook_secret_file: str | None = None
    argilla_secret_file: str | None = None  # with what Argilla signs its webhooks with; without it there is no route
    digest_key_file: str | None = None  # of texts: the controllers of one database share it
    text_key_file: str | None = None
    tick_s: float = 0.25
    lease_s: float = 10.0  # how long a controller may be silent before one that stands by takes over
    samples_kept_days: float = 90.0  # sampled answers and labels; the journal is kept for good
    samples_mb_max: float = 10_000.0  # room that they may take; beyond, the oldest go before their time
    looks_kept_days: float = 30.0  # each look of a release by itself; of older ones the sums of an hour
    packages_kept_days: float = 30.0  # of versions that nothing uses: what comes back later is fetched again
    scrape_interval_s: float = 1.0
    prometheus_url: str | None = None  # with the path before /api/v1, if there is one
    prometheus_token_file: str | None = None  # shown as a bearer token
    prometheus_ca_file: str | None = None
    prometheus_matchers: dict[str, str] = field(default_factory=dict)  # labels that series must have, to be read
    prometheus_timeout_s: float = 5.0
    process_labels: tuple[str, ...] = ("instance",)  # that name a process in metrics, beside its model and version
    region: str = "local"  # of this installation, on every alert
    alert_page_url: str | None = None  # where pages are posted to, as Alertmanager's webhook does it
    runtime: dict[str, Any] | None = None  # where versions run, if not on this machine: `bootstrap.kubernetes`
    alert_ticket_url: str | None = None  # where tickets are; without it, where pages are
    notify: tuple[dict[str, Any], ...] = ()  # who is told of what happens: `config.notify`

    def __post_init__(self) -> None:
        """Raises ValueError: a value is none that the setting may have."""
        from controller.config.setting_values import check_pairs, check_setting, check_together, names_of

        for one in dataclasses.fields(self):
            value = names_of(getattr(self, one.name))  # JSON has lists
            object.__setattr__(self, one.name, value)
            check_setting(one.name, value)
        check_together({name: getattr(self, name) for name in PORTS})
        check_pairs(lambda name: getattr(self, name))

    @property
    def registry(self) -> str:
        return self.registry_url or f"http://127.0.0.1:{self.mlflow_port}"

    @property
    def fixed_capture_ratio(self) -> float | None:
        """Return the share of requests that a person gave; None: it follows from what gates need."""
        return None if isinstance(self.capture_ratio, str) else self.capture_ratio

    @property
    def gateway(self) -> str:
        return f"http://127.0.0.1:{self.gateway_port}"

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def prometheus(self) -> str:
        return self.prometheus_url or f"http://127.0.0.1:{self.prometheus_port}"


@dataclass(frozen=True, slots=True)
class Home:
    """The folder that holds everything of one installation."""

    path: Path

    @property
    def settings_file(self) -> Path:
        """Ports, addresses, files of secrets; what `serin up` is not told, it takes from here."""
        return self.path / "settings.json"

    @property
    def database(self) -> Path:
        """The journal, samples and commands, unless they are in PostgreSQL."""
        return self.path / "serin.db"

    @property
    def policies(self) -> Path:
        """The policies in force, a file each; edit them there while it runs."""
        return self.path / "policies"

    @property
    def policy_files(self) -> Sequence[Path]:
        """In the order of their names. Hidden files are other programs': an editor's lock, another system's notes."""
        return sorted(path for path in self.policies.glob("*.yaml") if not path.name.startswith("."))

    @property
    def packages(self) -> Path:
        """Verified packages of versions, by model and version."""
        return self.path / "packages"

    @property
    def envoy(self) -> Path:
        """The files that Envoy follows: its start-up file, its clusters, the route file and copies of both."""
        return self.path / "envoy"

    @property
    def routes(self) -> Path:
        """The traffic table: which version serves which share. A rollback writes it."""
        return self.envoy / "routes.json"

    @property
    def prometheus(self) -> Path:
        """The data of the Prometheus that runs here, and its configuration."""
        return self.path / "prometheus"

    @property
    def suites(self) -> Path:
        """The answers of versions to suites so far."""
        return self.path / "suites"

    @property
    def targets(self) -> Path:
        """The targets of that Prometheus, a file each."""
        return self.prometheus / "targets"

    @property
    def rules(self) -> Path:
        """Recording and alert rules, from the policies."""
        return self.prometheus / "serin.rules.yml"

    @property
    def alertmanager(self) -> Path:
        """The configuration and data of the Alertmanager that runs here."""
        return self.path / "alertmanager"

    @property
    def mlflow(self) -> Path:
        """The data of the MLflow that runs here: versions too, unless you named a server of yours."""
        return self.path / "mlflow"

    @property
    def deployments(self) -> Path:
        """A record, a log and the secret token of each replica."""
        return self.path / "deployments"

    @property
    def tokens(self) -> Path:
        """Digests of the clients' tokens, for replicas: see `python -m serving.access`."""
        return self.path / "tokens.json"

    @property
    def own_token(self) -> Path:
        """Secret: the token that Serin itself shows to replicas, where they ask for one."""
        return self.path / "serin.token"

    @property
    def api_tokens(self) -> Path:
        """Digests of the tokens of those who ask the controller: see `serin token`."""
        return self.path / "api-tokens.json"

    @property
    def api_token(self) -> Path:
        """Secret: the token that whoever has this home shows to the controller: an admin's."""
        return self.path / "api.token"

    @property
    def scrape_token(self) -> Path:
        """Secret: by it our Prometheus reads the controller's metrics; it may read, and nothing else."""
        return self.path / "prometheus.token"

    @property
    def digest_key(self) -> Path:
        """Secret: the key that texts are digested with, by which answers to one text are matched."""
        return self.path / "digest.key"

    @property
    def text_key(self) -> Path:
        """Secret: the key that captured texts are sealed with in the database; without it they are lost."""
        return self.path / "text.key"

    @property
    def drill(self) -> Path:
        """The folder of what a drill makes and removes."""
        return self.path / "drill"

    @property
    def drill_lock(self) -> Path:
        """Held by the drill that is played here."""
        return self.path / "drill.lock"

    @property
    def controller_lock(self) -> Path:
        """Held by the controller that runs here; it holds a word that tells this home from a copy of it."""
        return self.path / "controller.lock"

    @property
    def logs(self) -> Path:
        """The logs of the programs that run here."""
        return self.path / "logs"

    @property
    def reports(self) -> Path:
        """The reports that `serin report` wrote."""
        return self.path / "reports"

    @property
    def reserve(self) -> Path:
        """Room that is kept back for a rollback on a full disk."""
        return self.path / RESERVE_FILE

    @property
    def contents(self) -> Sequence[Path]:
        """The parts of the folder that are ours: somebody may have chosen one that has other things in it."""
        folders = (
            self.policies,
            self.packages,
            self.envoy,
            self.prometheus,
            self.alertmanager,
            self.mlflow,
            self.deployments,
            self.suites,
            self.drill,
        )
        own = (*folders, self.logs, self.reports, self.settings_file)
        patterns = (
            "serin.db*",
            "*.token",
            "*.key",
            "*tokens.json",
            ".*tokens.json.lock",
            "processes.json",
            "*.lock",
            RESERVE_FILE,
        )
        return (*own, *(file for pattern in patterns for file in sorted(self.path.glob(pattern))))

    def database_url(self, settings: Settings) -> str:
        """The database's address. Raises UsageError where it is in a file that cannot be read."""
        if settings.database_url_file is not None:
            from controller.config.secret_files import read_line  # what is asked on call reads no secret

            return read_line("database_url_file", Path(settings.database_url_file))
        return settings.database_url or f"sqlite:///{self.database}"

    def check_path(self) -> None:
        """See that everything which is told of this folder takes its path for what it is, and that it can be closed to
        others.

        Raises:
            UsageError: Prometheus would read its path as a pattern, a database as an address, or a log as two lines;
                or it is a folder that everybody writes to, such as /tmp.
        """
        if self.path.is_dir() and self.path.stat().st_mode & stat.S_ISVTX:
            raise UsageError(f"--home {self.path}: this folder is everybody's; choose one that only Serin uses")
        unfit = sorted({letter for letter in str(self.path) if letter in _UNFIT_IN_PATHS or not letter.isprintable()})
        if unfit:
            raise UsageError(
                f"--home {str(self.path)!a}: {', '.join(map(ascii, unfit))} cannot be part of its path: choose another"
            )

    def exists(self) -> bool:
        return (self.settings_file).exists()

    def save(self, settings: Settings) -> None:
        """Keep the settings; nothing is written where they stand there already.

        Raises:
            TransientError: the file cannot be written; those of before stand.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = json.dumps(dataclasses.asdict(settings), indent=2) + "\n"
        file = self.settings_file
        if not file.exists() or file.read_text(encoding="utf-8", errors="replace") != text:
            replace_file(file, text, mode=0o600)  # it may hold a secret

    def load(self) -> Settings:
        """The settings of this home.

        Raises:
            UsageError: there is no installation here, or its settings are damaged.
        """
        from controller.config.setting_values import check_keys  # a rollback asks for no setting

        file = self.settings_file
        try:
            document = loads(bare(file.read_bytes()))
            check_keys(document, [one.name for one in dataclasses.fields(Settings)])
            return Settings(**document)
        except FileNotFoundError as error:
            hint = f"start one with `serin up`, or name its folder with --home or {HOME_VARIABLE}"
            raise UsageError(f"{self.path}: no Serin lives here; {hint}") from error
        except (OSError, ValueError, Unreadable) as error:
            raise UsageError(f"{file}: cannot be read: {in_words(error)}") from error
