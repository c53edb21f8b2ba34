"""The on-call rollback on a cluster: one write, with a kubeconfig that may do nothing else."""

import base64
import json
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from controller.adapters.kubernetes.kubeconfig import Account, account_of
from controller.adapters.kubernetes.lone import LoneClient
from controller.adapters.kubernetes.rollback import RouteRolledBack, roll_back_route
from controller.adapters.kubernetes.traffic import KubernetesTraffic
from controller.core.traffic import Mirror, Override
from controller.errors import ConflictError, PermanentError, TransientError, UsageError
from tests.certificates import Authority, Pair
from tests.contracts.traffic import V6_ONLY
from tests.fakes.kubernetes import FakeCluster, writes
from tests.fakes.kubernetes.rights import Access
from tests.kubernetes.test_traffic import CHANGED, SITE, Edits, World, git_applies, name_of, world

__all__ = ["world"]  # a fixture
CANARY = V6_ONLY.next(weights_pct={"6": 90.0, "7": 10.0}, mirror=Mirror("7", 100.0))
ADA = Override("wrong refunds, incident 4711", "ada", 1_795_432_308.5)
RIGHTS = [
    {
        "apiGroups": ["gateway.networking.k8s.io"],
        "resources": ["httproutes"],
        "resourceNames": ["intent"],
        "verbs": ["get", "patch"],
    }
]

RollBack = Callable[..., RouteRolledBack]


@pytest.fixture
def traffic(world: World) -> KubernetesTraffic:
    traffic = world.traffic_of(SITE)
    traffic.write(V6_ONLY)
    traffic.write(CANARY)
    world.gateway.step()
    return traffic


@pytest.fixture
def kubeconfig(cluster: FakeCluster, tmp_path: Path) -> Path:
    cluster.add_account("oncall", RIGHTS, namespace="default")
    file = tmp_path / "oncall.yaml"
    file.write_text(yaml.safe_dump(cluster.kubeconfig("oncall")))
    return file


@pytest.fixture
def roll_back(kubeconfig: Path) -> RollBack:
    def now(model: str = "intent", to: str | None = None) -> RouteRolledBack:
        return roll_back_route(account_of(kubeconfig, None, None), model, ADA, name_of, lambda model: model, to)

    return now


def test_7_a_rollback_is_one_write_of_one_object(
    world: World, traffic: KubernetesTraffic, roll_back: RollBack, cluster: FakeCluster
) -> None:
    """With a kubeconfig that may only get and patch that route. The controller finds it and who it was, as no drift."""
    account = cluster.add_account("oncall", RIGHTS, namespace="default")
    result = roll_back()
    assert dict(result.table.weights_pct) == {"6": 100.0}
    assert world.backends == {"intent-v6": 10000}
    assert "RequestMirror" not in str(world.route["spec"])
    assert [one.verb for one in account.done if one.verb != "get"] == ["patch"]
    table = traffic.read("intent")
    assert table == CANARY.next(weights_pct={"6": 100.0}, mirror=None, override=ADA)
    assert traffic.drift("intent") is None


def test_7_the_gateways_word_is_waited_for(world: World, traffic: KubernetesTraffic, roll_back: RollBack) -> None:
    """Or told to be missing: the write stands either way, and its time is told without the wait."""
    began_s = time.perf_counter()
    first = roll_back()
    assert not first.accepted
    assert first.elapsed_ms < (time.perf_counter() - began_s) * 1_000 - 400
    world.gateway.step()
    repeated = roll_back()
    assert repeated.table.generation == 4
    assert world.backends == {"intent-v6": 10000}


def test_a_rollback_that_is_written_is_no_failure_though_nobody_can_confirm_it(
    traffic: KubernetesTraffic, roll_back: RollBack, cluster: FakeCluster
) -> None:
    """The API server goes away right after the write. An error would make the person on call doubt what is done."""
    seen: list[str] = []
    away = threading.Event()

    def is_after_the_write(access: Access) -> bool:
        seen.append(access.verb)
        return seen[-2:] == ["patch", "get"]

    with ExitStack() as outage:

        def leave() -> None:
            outage.enter_context(cluster.away())
            away.set()

        cluster.faults.meanwhile(leave, concerns=is_after_the_write)
        result = roll_back()
        assert away.wait(10)
    assert not result.accepted
    assert (dict(result.table.weights_pct), result.table.generation) == ({"6": 100.0}, 3)
    assert roll_back().table.generation == 4  # the route has the third


def test_the_controller_goes_on_from_a_rollback(world: World, traffic: KubernetesTraffic, roll_back: RollBack) -> None:
    """Its next write is the next generation, and takes the rules over from whom the rollback wrote as."""
    result = roll_back()
    traffic.write(result.table.next(override=None, weights_pct={"6": 95.0, "7": 5.0}))
    assert world.backends == {"intent-v6": 9500, "intent-v7": 500}
    assert traffic.drift("intent") is None


def test_16_a_conflict_never_loses_a_rollback(
    world: World, traffic: KubernetesTraffic, roll_back: RollBack, cluster: FakeCluster
) -> None:
    """The controller writes its next step between our read and our write; and the server refuses twice besides."""
    step = CANARY.next(weights_pct={"6": 50.0, "7": 50.0})
    for name in ("intent-v6", "intent-v7"):
        world.kubelet.scaled(name, 1)
    cluster.faults.meanwhile(lambda: traffic.write(step), concerns=lambda access: access.verb == "patch")
    cluster.faults.answer(CHANGED, times=2, concerns=writes)
    result = roll_back()
    assert result.table.generation == 4
    assert world.backends == {"intent-v6": 10000}


def test_16_conflicts_without_end_are_told(
    world: World, traffic: KubernetesTraffic, roll_back: RollBack, cluster: FakeCluster
) -> None:
    cluster.faults.answer(CHANGED, times=99, concerns=writes)
    with pytest.raises(ConflictError, match="cannot write the route of intent"):
        roll_back()


def test_an_edited_route_is_rolled_back_all_the_same(
    world: World, traffic: KubernetesTraffic, roll_back: RollBack
) -> None:
    """Who is on call does not ask who wrote it last."""
    Edits(world).edit("intent", {"7": 100.0})
    git_applies(world)
    roll_back()
    assert world.backends == {"intent-v6": 10000}
    assert world.route["spec"]["hostnames"] == ["models.example.com"]


def test_a_version_can_be_named(world: World, traffic: KubernetesTraffic, roll_back: RollBack) -> None:
    roll_back(to="7")
    assert world.backends == {"intent-v7": 10000}


def test_what_cannot_be_done_is_said(
    world: World, traffic: KubernetesTraffic, roll_back: RollBack, cluster: FakeCluster, kubeconfig: Path
) -> None:
    with pytest.raises(PermanentError, match="needs get and patch on this one route"):
        roll_back("topic")
    traffic.write(CANARY.next(known_good=None))
    with pytest.raises(UsageError, match="no known good version yet"):
        roll_back()
    Edits(world).delete("intent")
    with pytest.raises(UsageError, match="not found"):
        roll_back()
    with cluster.away(), pytest.raises(TransientError, match="the API server at"):
        roll_back()


def test_a_table_that_was_never_written_is_said(world: World, roll_back: RollBack) -> None:
    git_applies(world)
    with pytest.raises(UsageError, match="Serin has written no traffic of intent there yet"):
        roll_back()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"current-context": "other"}, "context 'other'"),
        ({"clusters": []}, "cluster 'fake'"),
        ({"contexts": None}, "context 'fake'"),
        ({"users": [{"name": "other"}]}, "user 'user'"),
        ({"clusters": ["fake"]}, "is not written as a kubeconfig: see"),
    ],
)
def test_a_kubeconfig_that_says_too_little(kubeconfig: Path, change: dict[str, object], problem: str) -> None:
    document = yaml.safe_load(kubeconfig.read_text())
    kubeconfig.write_text(yaml.safe_dump({**document, **change}))
    with pytest.raises(UsageError, match=problem):
        account_of(kubeconfig, None, None)


def test_credentials_of_a_clouds_program_and_of_a_file(
    world: World, traffic: KubernetesTraffic, roll_back: RollBack, kubeconfig: Path, tmp_path: Path
) -> None:
    """As managed clusters have them."""
    said = '{"kind": "ExecCredential", "status": {"token": "oncall"}}'
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": ["-c", f"import os; os.environ['KUBERNETES_EXEC_INFO'], os.environ['ZONE']; print('''{said}''')"],
        "env": [{"name": "ZONE", "value": "a"}],
    }
    (tmp_path / "token").write_text("oncall\n")
    document = yaml.safe_load(kubeconfig.read_text())
    for user in ({"exec": plugin}, {"tokenFile": "token"}):
        kubeconfig.write_text(yaml.safe_dump({**document, "users": [{"name": "user", "user": user}]}))
        assert roll_back().table.weights_pct == {"6": 100.0}
    for broken, problem in (
        ({**plugin, "args": ["-c", "raise SystemExit(1)"]}, "gave no credentials"),
        ({"command": sys.executable}, "exec: 'apiVersion' is missing"),
        ({**plugin, "env": [{"name": "ZONE"}]}, "exec: 'value' is missing"),
    ):
        kubeconfig.write_text(yaml.safe_dump({**document, "users": [{"name": "user", "user": {"exec": broken}}]}))
        with pytest.raises(UsageError, match=problem):
            roll_back()


@pytest.mark.parametrize("data", [base64.b64encode(b"none").decode(), "cut of"])
def test_certificates_that_cannot_be_used_are_said(kubeconfig: Path, data: str) -> None:
    document = yaml.safe_load(kubeconfig.read_text())
    cluster = {"server": "https://127.0.0.1:1", "certificate-authority-data": data}
    kubeconfig.write_text(yaml.safe_dump({**document, "clusters": [{"name": "fake", "cluster": cluster}]}))
    with pytest.raises(UsageError, match="its certificates cannot be used"):
        roll_back_route(account_of(kubeconfig, None, None), "intent", ADA, name_of, lambda model: model)


def test_it_imports_the_standard_library_and_nothing_of_the_other_way(kubeconfig: Path) -> None:
    """Nothing that takes long to import stands between a person and a rollback. The command is asked for a route that
    is not there, so that it goes as far as to the server."""
    command = ["rollback", "nothing", "--kubeconfig", str(kubeconfig), "--reason", "a test"]
    script = (
        "import sys, controller.cli\n"
        f"sys.argv = ['serin', *{command!r}]\n"
        "try:\n    controller.cli.main()\nfinally:\n    print('\\n'.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "read the route of nothing" in done.stderr
    assert "controller.adapters.kubernetes.rollback" in done.stdout
    assert "controller.adapters.envoy" not in done.stdout
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    plain = subprocess.run(
        [sys.executable, "-c", "import sys; print('\\n'.join(sys.modules))"], capture_output=True, text=True, check=True
    )
    before = {name.partition(".")[0] for name in plain.stdout.split()}
    others = loaded - before - set(sys.stdlib_module_names)
    assert {name for name in others if not name.startswith(("_", "cython"))} == {"controller", "serving"}
    assert "controller.config.settings" not in done.stdout


class Tls(ThreadingHTTPServer):
    """An API server that knows its users by certificates."""

    def __init__(self, own: Pair, authority: Authority) -> None:
        super().__init__(("127.0.0.1", 0), _Says)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(own.certificate, own.key)
        context.load_verify_locations(authority.file)
        context.verify_mode = ssl.CERT_REQUIRED
        self.socket = context.wrap_socket(self.socket, server_side=True)


class _Says(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        (name,) = [value for part in self.connection.getpeercert()["subject"] for _, value in part]  # type: ignore[attr-defined]
        body = json.dumps({"user": name}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on the test's output."""


def test_certificates_in_the_kubeconfig_are_used(tmp_path: Path) -> None:
    """The server's, under the name that the kubeconfig has for it, and the user's own; another's is refused."""
    authority, stranger = Authority(tmp_path / "ca"), Authority(tmp_path / "other", "other")
    own, user = authority.pair("api.internal", name="server"), authority.pair(name="ada")
    with Tls(own, authority) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            for known, name, inline in ((authority, "api.internal", True), (authority, "api.internal", False)):
                account = _account(tmp_path, server.server_port, known, user, name, inline=inline)
                with LoneClient(account) as client:
                    assert client.ask("GET", "/") == (200, {"user": "ada"})
            for known, name in ((stranger, "api.internal"), (authority, "elsewhere")):
                account = _account(tmp_path, server.server_port, known, user, name, inline=True)
                with LoneClient(account) as client, pytest.raises(TransientError, match="certificate"):
                    client.ask("GET", "/")
        finally:
            server.shutdown()
            thread.join()


def _account(folder: Path, port: int, authority: Authority, user: Pair, name: str, *, inline: bool) -> Account:
    def held(key: str, file: Path) -> dict[str, str]:
        return {f"{key}-data": base64.b64encode(file.read_bytes()).decode()} if inline else {key: str(file)}

    cluster = {"server": f"https://127.0.0.1:{port}", "tls-server-name": name}
    document = {
        "clusters": [{"name": "c", "cluster": cluster | held("certificate-authority", authority.file)}],
        "users": [{"name": "u", "user": held("client-certificate", user.certificate) | held("client-key", user.key)}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    file = folder / "tls.yaml"
    file.write_text(yaml.safe_dump(document))
    return account_of(file, None, None)
