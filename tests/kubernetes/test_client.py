"""What the client makes of a server that answers, refuses, hangs or is away."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.connection import Connection, connect
from controller.adapters.kubernetes.refusals import ExpiredError, ForbiddenError
from controller.adapters.kubernetes.resources import CONFIG_MAPS, DEPLOYMENTS, HTTP_ROUTES
from controller.errors import ConflictError, PermanentError, SerinError, Source, TransientError, UsageError
from tests.certificates import Authority
from tests.contracts.leadership import Monotonic
from tests.fakes.kubernetes import ApiError, FakeCluster, writes

Connected = Callable[..., Connection]
READ_ONE_ROUTE = {
    "apiGroups": ["gateway.networking.k8s.io"],
    "resources": ["httproutes"],
    "resourceNames": ["intent"],
    "verbs": ["get", "patch"],
}


def client_of(connection: Connection) -> KubernetesClient:
    return KubernetesClient(connection, manager="serin", source=Source.TRAFFIC)


def test_a_server_that_hangs_is_waited_for_until_the_time_out_and_told(
    cluster: FakeCluster, connected: Connected
) -> None:
    """The message names the server and the time, and the error is asked again later."""
    client = client_of(connected(timeout_s=0.2))
    with cluster.faults.hanging(), pytest.raises(TransientError, match=r"did not answer within 0\.2 s") as told:
        client.get(CONFIG_MAPS, "a")
    assert told.value.source is Source.TRAFFIC
    assert cluster.url in str(told.value)


def test_a_server_that_hangs_is_waited_for_once_by_all_who_ask(cluster: FakeCluster, connected: Connected) -> None:
    """A round asks for many models: it shall not wait for each. Half a time-out later it is asked again."""
    monotonic = Monotonic()
    client = client_of(connected(timeout_s=1.0, monotonic=monotonic))
    with cluster.faults.hanging():
        for _ in range(20):
            with pytest.raises(TransientError, match="did not answer within 1 s"):
                client.get(CONFIG_MAPS, "a")
        assert len(cluster.admin.done) == 1
    monotonic.at_s += 0.5
    assert client.get(CONFIG_MAPS, "a") is None


def test_a_server_that_refuses_connections_is_told_and_found_again(
    cluster: FakeCluster, client: KubernetesClient
) -> None:
    """Nothing is left of the connections that were cut."""
    assert client.get(CONFIG_MAPS, "a") is None
    with cluster.away(), pytest.raises(TransientError, match=r"cannot be reached|broke off the connection"):
        client.get(CONFIG_MAPS, "a")
    assert client.get(CONFIG_MAPS, "a") is None


def test_a_watch_that_is_cut_off_is_told(cluster: FakeCluster, client: KubernetesClient) -> None:
    """It does not look like one that ended."""
    watched = client.watch(CONFIG_MAPS, client.list(CONFIG_MAPS).revision, lasts_s=60)
    client.create(CONFIG_MAPS, {"metadata": {"name": "a"}})
    assert next(watched).found["metadata"]["name"] == "a"
    with cluster.away(), pytest.raises(TransientError):
        next(watched)


def test_a_watch_ends_with_a_bookmark(client: KubernetesClient) -> None:
    """From which the next one goes on, however much happened elsewhere."""
    revision = client.list(CONFIG_MAPS).revision
    client.create(DEPLOYMENTS, _deployment())
    last = list(client.watch(CONFIG_MAPS, revision, lasts_s=0))[-1]
    assert last.what == "BOOKMARK"
    assert int(last.revision) >= int(revision)


def test_a_watch_whose_revision_was_compacted_away_has_expired(cluster: FakeCluster, client: KubernetesClient) -> None:
    """While it runs, as well as at its beginning."""
    revision = client.list(CONFIG_MAPS).revision
    client.create(CONFIG_MAPS, {"metadata": {"name": "a"}})
    cluster.store.compact()
    with pytest.raises(ExpiredError):
        list(client.watch(CONFIG_MAPS, revision, lasts_s=60))


@pytest.mark.parametrize(
    ("code", "kind"),
    [(429, TransientError), (500, TransientError), (503, TransientError), (409, ConflictError), (422, PermanentError)],
)
def test_refusals_are_errors_by_what_to_do_about_them(
    cluster: FakeCluster, client: KubernetesClient, code: int, kind: type[SerinError]
) -> None:
    """Asked again later, read again first, or for a person; the server's own words are told."""
    cluster.faults.answer(ApiError(code, "Because", "etcd is in a bad mood"), concerns=writes)
    with pytest.raises(kind, match="etcd is in a bad mood") as told:
        client.create(CONFIG_MAPS, {"metadata": {"name": "a"}})
    assert type(told.value) is kind


def test_a_missing_right_names_who_lacks_which(cluster: FakeCluster, connected: Connected) -> None:
    """It is our own fault, so no version's; a person can give it."""
    cluster.add_account("oncall", [READ_ONE_ROUTE], namespace="default")
    client = client_of(connected("oncall"))
    assert client.get(HTTP_ROUTES, "intent") is None
    with pytest.raises(
        ForbiddenError, match=r'User "oncall" cannot get resource "httproutes".*Role of Serin.s account lacks'
    ):
        client.get(HTTP_ROUTES, "other")
    with pytest.raises(ForbiddenError, match='cannot list resource "httproutes"'):
        client.list(HTTP_ROUTES)


def test_rights_that_nobody_needed_are_known(cluster: FakeCluster, connected: Connected) -> None:
    """A Role with a verb too many can be told."""
    account = cluster.add_account("oncall", [READ_ONE_ROUTE], namespace="default")
    client_of(connected("oncall")).get(HTTP_ROUTES, "intent")
    assert account.unused() == [("gateway.networking.k8s.io", "httproutes", "patch")]


def test_a_wrong_token_is_told_and_never_shown(cluster: FakeCluster, connected: Connected) -> None:
    """Nor in any other message."""
    client = client_of(connected("very-secret-token"))
    with pytest.raises(ForbiddenError, match="token is wrong or has expired") as told:
        client.get(CONFIG_MAPS, "a")
    with cluster.away(), pytest.raises(TransientError) as away:
        client.get(CONFIG_MAPS, "a")
    assert "very-secret" not in f"{told.value}{away.value}{told.value.__context__}{away.value.__cause__}"


def _over_tls(cluster: FakeCluster, folder: Path, authority: Path) -> KubernetesClient:
    config = cluster.kubeconfig()
    config["clusters"][0]["cluster"]["certificate-authority"] = str(authority)
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return client_of(connect(path))


def test_the_kubeconfigs_authority_is_believed_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that other programs of the machine need lead to no other one, neither to less nor to more."""
    known, other = Authority(tmp_path / "known"), Authority(tmp_path / "other")
    with FakeCluster((known.pair(), known.file)) as cluster:
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
            monkeypatch.setenv(name, str(other.file))
        assert _over_tls(cluster, tmp_path, known.file).get(CONFIG_MAPS, "a") is None
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
            monkeypatch.setenv(name, str(known.file))
        with pytest.raises(TransientError, match="kubeconfig's authority did not sign"):
            _over_tls(cluster, tmp_path, other.file).get(CONFIG_MAPS, "a")


@pytest.mark.parametrize(
    ("written", "told"),
    [("", "kubeconfig"), ("a: [", "kubeconfig"), ("current-context: away", "kubeconfig"), (None, "kubeconfig")],
)
def test_a_kubeconfig_that_cannot_be_used_is_named(tmp_path: Path, written: str | None, told: str) -> None:
    """In one line, with the file."""
    path = tmp_path / "config"
    if written is not None:
        path.write_text(written)
    with pytest.raises(UsageError, match=told) as refused:
        connect(path)
    assert "\n" not in str(refused.value)
    assert str(path) in str(refused.value)


def test_outside_of_a_pod_there_is_no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which the message says."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(UsageError, match="the account of this pod"):
        connect(None)


def test_the_context_that_was_asked_for_is_taken(cluster: FakeCluster, tmp_path: Path) -> None:
    """With its namespace."""
    config = cluster.kubeconfig()
    other = {"name": "other", "context": {"cluster": "fake", "user": "user", "namespace": "elsewhere"}}
    config["contexts"].append(other)
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(config))
    assert connect(path).namespace == "default"
    assert connect(path, context="other").namespace == "elsewhere"


def test_what_answers_no_json_is_no_api_server(tmp_path: Path, cluster: FakeCluster) -> None:
    """A proxy's page is told as such."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = cluster.kubeconfig()
        config["clusters"][0]["cluster"]["server"] = f"http://127.0.0.1:{listening.getsockname()[1]}"
        path = tmp_path / "config"
        path.write_text(yaml.safe_dump(config))
        client = client_of(connect(path))
        listening.setblocking(True)
        import threading

        def answer() -> None:
            asked, _ = listening.accept()
            with asked:
                asked.recv(65_536)
                asked.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(TransientError, match="other than a JSON object: is there a proxy in between"):
            client.get(CONFIG_MAPS, "a")
        thread.join()


def test_owners_take_what_they_own_with_them(client: KubernetesClient) -> None:
    """Whoever deletes the owner need not know what it owns."""
    owner = client.create(CONFIG_MAPS, {"metadata": {"name": "owner"}})
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    client.create(CONFIG_MAPS, {"metadata": {"name": "owned", "ownerReferences": [reference]}})
    client.delete(CONFIG_MAPS, "owner")
    assert client.get(CONFIG_MAPS, "owned") is None


def _deployment() -> dict[str, object]:
    labels = {"app": "v6"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "a.example/a:1"}]}}
    return {"metadata": {"name": "v6"}, "spec": {"selector": {"matchLabels": labels}, "template": template}}
