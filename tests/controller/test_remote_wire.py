"""What a person reads where an interface elsewhere cannot be asked: one line that says what to do."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from controller.adapters.local.loopback import free_port
from controller.adapters.remote.installation import RemoteInstallation
from controller.adapters.remote.wire import Address, Wire
from controller.api.server import serve
from controller.api.tls import Certificate
from controller.bootstrap.afar import wire_to
from controller.errors import SerinError, TransientError, UsageError
from controller.skew import RELEASE_HEADER, own_release
from tests.certificates import Authority
from tests.controller.api_support import World
from tests.controller.http_support import http_server
from tests.patience import eventually


def said(url: str, *, token_file: Path | None = None, ca_file: Path | None = None, deadline_s: float = 60.0) -> str:
    """What is told of a question there, on one line."""
    with pytest.raises(SerinError) as told:
        RemoteInstallation(wire_to(url, token_file=token_file, ca_file=ca_file, deadline_s=deadline_s)).releases()
    assert "\n" not in str(told.value)
    return str(told.value)


@contextmanager
def answering(status: int, content_type: str, body: bytes, **headers: str) -> Iterator[str]:
    """A server that always says the same."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in {"content-type": content_type, "content-length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with http_server(Handler) as url:
        yield url


# --- nobody, or somebody else -----------------------------------------------------------------------------------------
def test_nobody_listens() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert (
        said(url) == f"{url}: nothing listens there (connection refused); check the address, "
        "and whether the controller is running"
    )


def test_a_host_that_there_is_not() -> None:
    assert "there is no host nowhere.invalid" in said("https://nowhere.invalid:8443")


@pytest.mark.parametrize("url", ["serin:8443", "ftp://serin", "https://", "https://a:b@serin", "https://serin:x", "/"])
def test_what_is_no_address(url: str) -> None:
    assert said(url).startswith(f"--server {url!r}: is not the address of a controller")


def test_a_server_that_hangs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert said(url, deadline_s=0.2) == f"{url} gave no answer in 0.2 s"


def test_a_server_that_drips_is_not_waited_for() -> None:
    """Each byte comes in time, and the answer never does."""
    ended = threading.Event()

    class Dripping(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", "1000000")
            self.end_headers()
            while not ended.wait(0.05):
                self.wfile.write(b" ")
                self.wfile.flush()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with http_server(Dripping) as url:
        assert said(url, deadline_s=0.3) == f"{url} gave no answer in 0.3 s"
        ended.set()


@pytest.mark.parametrize(
    ("status", "kind"), [(502, TransientError), (200, UsageError), (404, UsageError), (403, UsageError)]
)
def test_a_page_of_a_proxy(status: int, kind: type[SerinError]) -> None:
    """Whatever its status: no Serin answers with a page there."""
    with answering(status, "text/html; charset=utf-8", b"<html>Bad gateway</html>") as url:
        with pytest.raises(kind) as told:
            RemoteInstallation(Wire(Address(url))).releases()
        expected = (
            f"{url} answered {status} as text/html, which Serin never does: "
            "there is a proxy in between, or another server"
        )
        assert str(told.value) == expected


def test_a_redirect_is_never_followed() -> None:
    with answering(302, "text/html", b"", location="http://127.0.0.1:1/") as url:
        assert said(url) == f"{url} answered with a redirect (302), which is never followed"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"releases": [{"release_id": "r1"}]}),
        (404, {"error": {"code": "not_found", "message": "GET /v1/releases: not found"}}),
    ],
    ids=["an answer that lacks something", "a route that there is not"],
)
def test_another_release_of_serin(status: int, body: object) -> None:
    """It is told which one answers and which one asks."""
    headers = {RELEASE_HEADER: "0.0.9"}
    with answering(status, "application/json", json.dumps(body).encode(), **headers) as url:
        told = said(url)
    assert told.startswith(f"{url} is Serin 0.0.9, this is {own_release()}, and they differ: ")
    assert told.endswith("; use the same release")


# --- who may ----------------------------------------------------------------------------------------------------------
@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "tls")


@pytest.fixture
def url(authority: Authority) -> Iterator[str]:
    pair = authority.pair()
    app = World().client(open_reading=False)._app
    with serve(app, certificate=Certificate(pair.certificate, pair.key)) as url:
        yield url


def test_without_a_token_the_way_to_one_is_told(url: str, authority: Authority) -> None:
    told = said(url, ca_file=authority.file)
    assert "`serin token create --role view --name NAME` makes a token for it" in told
    assert told.endswith("then name its file with --token-file or SERIN_TOKEN_FILE")


def test_a_token_that_is_not_known(url: str, authority: Authority, tmp_path: Path) -> None:
    """It is told so, and the token stands in no message."""
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text("serin_0123456789ab_secret")
    told = said(url, ca_file=authority.file, token_file=file)
    assert "the token is not known here" in told
    assert "secret" not in told


@pytest.mark.parametrize(
    ("content", "told"), [("", "is empty"), ("a\nb", "must be one line"), (None, "cannot be read")]
)
def test_a_file_of_a_token_that_cannot_be_used(tmp_path: Path, content: str | None, told: str) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.touch(mode=0o600)
        file.write_text(content)
    assert said("https://127.0.0.1:1", token_file=file).startswith(f"--token-file {file}: {told}")


def test_a_token_is_sent_in_the_clear_to_nobody_else(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text("serin_x")
    told = said("http://serin.internal:8081", token_file=file)
    assert told == "--server http://serin.internal:8081: the token would be sent unencrypted: use https://"


# --- certificates -----------------------------------------------------------------------------------------------------
def test_a_certificate_of_another_ca(url: str, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    assert f"was issued by no CA of {other.file}: name its CA with --ca-file" in said(url, ca_file=other.file)
    assert "was issued by no CA that this machine knows: name its CA with --ca-file" in said(url)


def test_a_file_that_holds_no_ca(url: str, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    for name in ("empty", "missing"):
        assert said(url, ca_file=tmp_path / name).startswith(f"--ca-file {tmp_path / name}: holds no certificates")


def test_the_environments_ca_and_proxies_count_for_nothing(
    url: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine's REQUESTS_CA_BUNDLE stands in place of no CA that was named."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, "/nowhere")
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert "needs a token" in said(url, ca_file=authority.file)


def test_a_certificate_for_another_name_and_one_that_has_expired(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    app = World().client()._app
    for name, pair, told in (
        ("name", authority.pair("serin.internal", name="other"), "its certificate is for another name"),
        ("age", authority.pair(ends_at=datetime.now(UTC) - timedelta(days=1)), "its certificate has expired"),
    ):
        with serve(app, certificate=Certificate(pair.certificate, pair.key)) as url:
            assert told in said(url, ca_file=authority.file), name


def test_plain_http_is_no_tls() -> None:
    with serve(World().client()._app) as url:
        assert "does not speak TLS as this command does" in said(url.replace("http://", "https://"))


def test_a_renewed_certificate_is_shown_and_a_spoilt_one_is_not(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As cert-manager renews them, while the server runs; a key that does not fit (yet) changes nothing."""
    pair = authority.pair()
    shown = Certificate(pair.certificate, pair.key)
    with serve(World().client(open_reading=False)._app, certificate=shown) as url:
        assert "needs a token" in said(url, ca_file=authority.file)
        pair.key.write_text("no key")
        eventually(lambda: "the certificate of before is shown on" in caplog.text, what="a line in the log")
        assert "needs a token" in said(url, ca_file=authority.file)
        other = Authority(tmp_path / "other")
        newer = other.pair()
        pair.certificate.write_bytes(newer.certificate.read_bytes())
        pair.key.write_bytes(newer.key.read_bytes())
        eventually(lambda: "needs a token" in said(url, ca_file=other.file), what="the newer certificate")
        assert "no key" not in caplog.text


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda pair: pair.certificate.unlink(), "api_cert_file .*: cannot be read"),
        (lambda pair: pair.key.unlink(), "api_key_file .*: cannot be read"),
        (lambda pair: pair.key.chmod(0o644), "api_key_file .*: everybody may read it"),
        (lambda pair: pair.key.write_text(" "), "api_key_file .*: is empty"),
        (lambda pair: pair.certificate.write_text("x"), "no certificate with its key"),
    ],
    ids=["no certificate", "no key", "an open key", "an empty key", "no PEM"],
)
def test_a_certificate_that_cannot_be_used_is_told_at_the_start(authority: Authority, spoil: object, told: str) -> None:
    pair = authority.pair()
    spoil(pair)  # type: ignore[operator]
    with pytest.raises(UsageError, match=told):
        Certificate(pair.certificate, pair.key)
