"""Users are answered whatever becomes of the disk and of `serin up`: a real Envoy, a real small disk, a client."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from controller.adapters.clock import SystemClock
from controller.adapters.envoy.admin import BOOTSTRAP_FILE
from controller.adapters.envoy.bootstrap import bootstrap_digest, envoy_command, is_ready, write_bootstrap
from controller.adapters.envoy.held import settle
from controller.adapters.envoy.rollback import rollback_route
from controller.adapters.envoy.tables import ROUTES_FILE
from controller.adapters.envoy.traffic import EnvoyTraffic
from controller.adapters.local.kept import PROCESSES_FILE, end_leftovers
from controller.adapters.local.loopback import free_ports
from controller.adapters.local.processes import Gateway, LocalProcesses, end_recorded
from controller.adapters.local.supervisor import ProcessSpec, Supervisor
from controller.adapters.sql.store import open_store
from controller.adapters.sql.upgrade import upgrade_store
from controller.bootstrap.chores import chores_of
from controller.bootstrap.condition import troubles_of
from controller.bootstrap.stores import opened, upgrade_schema
from controller.config.settings import Home, Settings
from controller.core.commands import Ask
from controller.core.events import FaultCleared
from controller.core.release import Phase
from controller.core.traffic import Override, TrafficTable
from controller.errors import ConflictError, Source, TransientError
from controller.files import locked
from controller.journal.codec import entry_of, record_of
from controller.reserve import RESERVE_BYTES, RESERVE_FILE, keep_reserve
from controller.service import Service
from tests.contracts.deployments import spec
from tests.contracts.traffic import confirmed
from tests.controller.envoy_support import Upstream, upstream
from tests.controller.releases import release_in
from tests.controller.test_processes import PATIENCE, FakeClock, stub_command
from tests.disks import filled, read_only, small_disk
from tests.fakes.site import FakeSite
from tests.patience import PATIENCE_S, eventually

pytestmark = pytest.mark.integration
DISK_MB = 40
PROMOTED = TrafficTable("intent", {"7": 100.0}, known_good="6", generation=1)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, small enough to be filled."""
    try:
        with small_disk(tmp_path / "disk", DISK_MB) as place:
            yield place
    except PermissionError as error:
        pytest.skip(str(error))


class Client(threading.Thread):
    """Asks all the time, and counts what it got; a request that got no answer counts as status 0."""

    def __init__(self, gateway: str) -> None:
        super().__init__(daemon=True)
        self.gateway = gateway
        self.stopping = threading.Event()
        self.statuses: Counter[int] = Counter()

    def run(self) -> None:
        with httpx.Client(trust_env=False, timeout=PATIENCE_S) as client:
            while not self.stopping.wait(0.01):
                try:
                    answer = client.post(f"{self.gateway}/models/intent/predict", json={"text": "hi"})
                    self.statuses[answer.status_code] += 1
                except httpx.HTTPError:
                    self.statuses[0] += 1

    def stop(self) -> Counter[int]:
        self.stopping.set()
        self.join(PATIENCE_S)
        return self.statuses


@contextmanager
def asking(gateway: str) -> Iterator[Client]:
    client = Client(gateway)
    client.start()
    try:
        yield client
    finally:
        client.stop()


@dataclass
class Site:
    """What `serin up` runs of the data plane, on two stand-ins; version 7 was promoted, 6 is warm."""

    home: Home
    ports: tuple[int, int]
    said: list[str] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def gateway(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    def supervisor(self, *others: ProcessSpec) -> Supervisor:
        def write() -> None:
            write_bootstrap(self.home.envoy, *self.ports)

        specs = [envoy_spec(self.home, self.ports), *others]
        chores = chores_of(self.home, write, self.said.append)
        return Supervisor(self.home.path, specs, progress=self.said.append, stopping=self.stopping, chores=chores)

    def route(self, *versions: Upstream) -> None:
        traffic = EnvoyTraffic(self.home.envoy)
        for version in versions:
            version.announce(traffic)
        traffic.write(PROMOTED)
        assert confirmed(traffic, "intent", PROMOTED.generation)

    def roll_back(self, to: str) -> bool:
        """Whether Envoy confirmed it."""
        result = rollback_route(self.home.routes, "intent", "why", "ada", 0.0, to)
        assert dict(result.table.weights_pct) == {to: 100.0}
        return result.confirmed


def envoy_spec(home: Home, ports: tuple[int, int]) -> ProcessSpec:
    write_bootstrap(home.envoy, *ports)
    env = {"SERIN_BOOTSTRAP": bootstrap_digest(home.envoy)}
    ready = lambda: is_ready(home.envoy)  # noqa: E731
    log = home.path / "envoy.log"
    return ProcessSpec("envoy", envoy_command(home.envoy), ready, log, env=env, data_plane=True)


@pytest.fixture
def versions() -> Iterator[tuple[Upstream, Upstream]]:
    with ExitStack() as stack:
        yield stack.enter_context(upstream("6")), stack.enter_context(upstream("7"))


def site_on(place: Path) -> Site:
    home = Home(place / "home")
    home.path.mkdir()
    one, other = free_ports(2)
    return Site(home, (one, other))


def looked(supervisor: Supervisor, condition: object, *, what: str) -> None:
    def after_a_look() -> object:
        supervisor.look()
        return condition()  # type: ignore[operator]

    eventually(after_a_look, what=what)


def test_on_a_full_disk_users_are_answered_and_rollbacks_work(disk: Path, versions: tuple[Upstream, Upstream]) -> None:
    """What has died is started again, nothing else is ended, a rollback finds room each time, and it is said."""
    site = site_on(disk)
    other = ProcessSpec("other", (sys.executable, "-c", "import signal; signal.pause()"), lambda: True, disk / "log")
    with site.supervisor(other) as supervisor:
        assert supervisor.start()
        site.route(*versions)
        reserve = site.home.path / RESERVE_FILE
        looked(supervisor, lambda: reserve.exists() and reserve.stat().st_size == RESERVE_BYTES, what="the reserve")
        pids = {name: entry["pid"] for name, entry in _recorded(site).items()}
        with asking(site.gateway) as client:
            with filled(disk):
                assert any("is full: make room" in trouble for trouble in troubles_of(site.home))
                os.kill(pids["other"], signal.SIGKILL)
                looked(supervisor, lambda: "started other again" in site.said, what="what died to be started again")
                supervisor.look()
                assert _recorded(site)["other"]["pid"] != pids["other"]
                assert [site.roll_back(to) for to in ("6", "7") * 10] == [True] * 20
                (site.home.envoy / ROUTES_FILE).write_text("")
                told = f"{site.home.envoy / ROUTES_FILE} was damaged"
                looked(supervisor, lambda: any(line.startswith(told) for line in site.said), what="it to be put back")
                assert site.roll_back("6")
                assert reserve.stat().st_size > RESERVE_BYTES // 2
            looked(supervisor, lambda: reserve.stat().st_size == RESERVE_BYTES, what="the reserve to be whole again")
            assert troubles_of(site.home) == ()
        assert _recorded(site)["envoy"]["pid"] == pids["envoy"]
    assert client.statuses.keys() == {200}


def test_on_a_disk_that_can_only_be_read_a_rollback_is_held_in_memory_until_it_can_be_written(
    disk: Path, versions: tuple[Upstream, Upstream]
) -> None:
    """Envoy routes by it at once; `serin status` says so; then it is written down, by whom and why."""
    site = site_on(disk)
    with site.supervisor() as supervisor:
        supervisor.start()
        site.route(*versions)
        pids = _recorded(site)
        with asking(site.gateway) as client:
            with read_only(disk):
                result = rollback_route(site.home.routes, "intent", "why", "ada", 1.5)
                assert result.confirmed
                assert "remount" in result.unwritten
                _answers_come_from(site, "6")
                disk_says, memory_says = troubles_of(site.home)
                assert "is read-only" in disk_says
                assert "intent was rolled back to version 6 in Envoy's memory only" in memory_says
                looked(supervisor, lambda: any("cannot write" in line for line in site.said), what="it to be told")
                assert site.roll_back("7")
                _answers_come_from(site, "7")
                assert site.roll_back("6")
            written = "the rollback of intent to version 6, so far only in Envoy's memory, is now written to its file"
            looked(supervisor, lambda: written in site.said, what="it to be written down")
            table = EnvoyTraffic(site.home.envoy).read("intent")
            assert table == PROMOTED.next(weights_pct={"6": 100.0}, override=Override("why", "ada", 0.0))
            _answers_come_from(site, "6")
            assert site.roll_back("7")
            _answers_come_from(site, "7")
            assert troubles_of(site.home) == ()
        assert _recorded(site) == pids
    assert client.statuses.keys() == {200}


def test_an_abort_that_the_database_cannot_take_is_done_at_once(
    disk: Path, versions: tuple[Upstream, Upstream]
) -> None:
    """It is not refused for the disk's sake; with room, it waits for the controller as any word does."""
    site = site_on(disk)
    url = f"sqlite:///{disk}/store.db"
    upgrade_store(url)
    traffic = EnvoyTraffic(site.home.envoy)
    with site.supervisor() as supervisor, closing(open_store(url)) as store:
        ports = (store.journal, store.inbox, store.freezes, SystemClock(), {"intent"}, FakeSite())
        service = Service(*ports, retreat=traffic.retreat)
        supervisor.start()
        site.route(*versions)
        release = release_in(Phase.CANARY)
        store.journal.append(record_of(release, 1), [entry_of(FaultCleared("metrics"), 0.0)])
        service.resume("intent", reason="first", by="ada")
        with asking(site.gateway) as client, filled(disk):
            with pytest.raises(TransientError):
                service.resume("intent", reason="again", by="ada")
            service.abort("intent", reason="it fails", by="ada")
            _answers_come_from(site, "6")
        assert client.statuses.keys() == {200}
        settle(site.home.envoy)  # as `serin up` does; without a reserve Envoy alone held it
        table = traffic.read("intent")
        assert table is not None
        assert table.weights_pct == {"6": 100.0}
        assert table.override is not None
        assert (table.override.by, table.override.reason) == ("ada", "it fails")
        service.abort("intent", reason="with room", by="ada")
        assert [(one.ask, one.reason) for one in store.inbox.waiting()] == [
            (Ask.RESUME, "first"),
            (Ask.ABORT, "with room"),
        ]
        assert traffic.read("intent") == table


def test_what_is_held_in_memory_is_taken_up_before_the_controller_writes(
    disk: Path, versions: tuple[Upstream, Upstream]
) -> None:
    """Made from what it had read before, its next table is a conflict."""
    site = site_on(disk)
    with site.supervisor() as supervisor:
        supervisor.start()
        site.route(*versions)
        with read_only(disk):
            assert site.roll_back("6")
        traffic = EnvoyTraffic(site.home.envoy)
        with pytest.raises(ConflictError):
            traffic.write(PROMOTED.next(known_good=None))
        table = traffic.read("intent")
        assert table is not None
        assert table.override == Override("why", "ada", 0.0)
        traffic.write(table.next(weights_pct={"7": 100.0}, override=None))
        assert confirmed(traffic, "intent", 3)
        _answers_come_from(site, "7")


def test_what_happened_can_be_read_on_a_read_only_disk(disk: Path) -> None:
    """While the controller, or another, has the database open: who looks into it writes nothing."""
    home = Home(disk / "home")
    home.save(Settings())
    upgrade_schema(home)
    with opened(home), read_only(disk), opened(home) as reader:
        assert reader.journal.releases() == ()
        assert reader.freezes.in_force() == ()


def test_a_lock_that_cannot_be_made_says_that_the_disk_is_read_only(disk: Path) -> None:
    """One that is there is held all the same."""
    with locked(disk / "there.lock", source=Source.HOME):
        pass
    with read_only(disk):
        with locked(disk / "there.lock", source=Source.HOME):
            pass
        with (
            pytest.raises(TransientError, match="Read-only file system; the disk is read-only: remount it"),
            locked(disk / "new.lock", source=Source.HOME),
        ):
            pass


def test_replicas_are_started_and_known_on_a_full_disk(disk: Path) -> None:
    """A record finds room in the reserve, and so do the ports of a replica; without any it is kept in memory."""
    home = Home(disk / "home")
    home.path.mkdir()
    assert keep_reserve(home.path)
    nobody = Gateway(lambda *_: None, lambda *_: None)
    deployments = LocalProcesses(home.deployments, stub_command, nobody, FakeClock(), PATIENCE)
    try:
        with filled(disk):
            eventually(lambda: deployments.ensure(spec("6")).ready, what="the replica to be ready")
            (home.path / RESERVE_FILE).unlink()
            with filled(disk / "home"):
                eventually(lambda: deployments.ensure(spec("6")).ready, what="it to be ready still")
        assert (home.deployments / "intent-v6.log").read_text().split().count("serving") <= 1
    finally:
        end_recorded(home.deployments, grace_s=1)
        for child in deployments._children.values():
            child.wait(PATIENCE_S)


def test_a_killed_serin_up_takes_nobody_along(tmp_path: Path, versions: tuple[Upstream, Upstream]) -> None:
    """kill -9, and another one in its place: no request fails, and Envoy is the same process."""
    site = site_on(tmp_path)
    killed = """
        import sys, threading
        from pathlib import Path
        from controller.adapters.local.supervisor import Supervisor
        from controller.config.settings import Home
        from tests.lessons.test_the_data_plane_goes_on import envoy_spec
        home = Home(Path(sys.argv[1]))
        spec = envoy_spec(home, (int(sys.argv[2]), int(sys.argv[3])))
        with Supervisor(home.path, [spec], progress=print, stopping=threading.Event()) as supervisor:
            supervisor.start()
            (home.path / "up").touch()
            supervisor.run()
    """
    arguments = [str(site.home.path), *map(str, site.ports)]
    root = Path(__file__).parents[2]
    up = subprocess.Popen([sys.executable, "-c", textwrap.dedent(killed), *arguments], cwd=root)
    try:
        eventually((site.home.path / "up").exists, what="the first one to be up")
        site.route(*versions)
        envoy = _recorded(site)["envoy"]["pid"]
        with asking(site.gateway) as client:
            eventually(lambda: client.statuses[200] >= 10, what="answers")
            up.send_signal(signal.SIGSTOP)
            eventually(lambda: troubles_of(site.home), what="it to be told")
            (trouble,) = troubles_of(site.home)
            assert trouble.startswith("`serin up` is stopped, as by Ctrl-Z, and restarts nothing")
            assert f"kill -CONT {up.pid}" in trouble
            up.kill()
            up.wait(PATIENCE_S)
            before = client.statuses[200]
            eventually(lambda: client.statuses[200] >= before + 20, what="answers without a supervisor")
            (trouble,) = troubles_of(site.home)
            assert trouble.startswith("`serin up` was killed, and envoy went on without it")
            assert site.roll_back("6")
            with site.supervisor() as supervisor:
                assert supervisor.start()
                assert site.said == ["envoy is still running, and is taken over", site.said[-1]]
                assert _recorded(site)["envoy"]["pid"] == envoy
                assert troubles_of(site.home) == ()
                client.stop()
        assert client.statuses.keys() == {200}
    finally:
        up.kill()
        up.wait(PATIENCE_S)
        end_leftovers(site.home.path)


@pytest.mark.parametrize("file", [ROUTES_FILE, "clusters.json", BOOTSTRAP_FILE])
@pytest.mark.parametrize("damage", ["half", None], ids=["half written", "deleted"])
def test_an_envoy_that_dies_starts_again_from_files_that_were_damaged_meanwhile(
    tmp_path: Path, versions: tuple[Upstream, Upstream], file: str, damage: str | None
) -> None:
    """It would not start from them."""
    site = site_on(tmp_path)
    with site.supervisor() as supervisor:
        supervisor.start()
        site.route(*versions)
        path = site.home.envoy / file
        text = path.read_text()
        path.unlink() if damage is None else path.write_text(text[: len(text) // 2])
        os.kill(_recorded(site)["envoy"]["pid"], signal.SIGKILL)
        looked(supervisor, lambda: "started envoy again" in site.said, what="the second start")
        looked(supervisor, lambda: is_ready(site.home.envoy), what="Envoy to be ready")
        assert path.read_text() == text
        answer = httpx.post(f"{site.gateway}/models/intent/predict", json={"text": "hi"}, trust_env=False)
        assert answer.json() == {"version": "7"}


def _answers_come_from(site: Site, version: str) -> None:
    """Envoy's threads follow within a moment of its word; from then on all of them come from there."""
    with httpx.Client(trust_env=False, timeout=PATIENCE_S) as client:

        def answered() -> str:
            answer = client.post(f"{site.gateway}/models/intent/predict", json={"text": "hi"})
            return str(answer.json()["version"])

        eventually(lambda: answered() == version, what=f"version {version} to answer")
        eventually(lambda: {answered() for _ in range(20)} == {version}, what=f"version {version} alone to answer")


def _recorded(site: Site) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = json.loads((site.home.path / PROCESSES_FILE).read_text())
    return found
