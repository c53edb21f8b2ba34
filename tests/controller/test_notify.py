"""Each way of telling people, against a real receiver: what it gets, and what is made of every answer, or of none."""

import base64
import json
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from controller.adapters.notify.post import _again_s
from controller.adapters.notify.wording import lines_of
from controller.bootstrap.notify import channels_of, try_targets
from controller.config.notify import targets_of
from controller.config.settings import Home, Settings
from controller.core.notices import Message, Severity
from controller.errors import UsageError
from controller.ports.notices import Channel, UndeliveredError
from tests.contracts.notices import INFO, ROLLED_BACK
from tests.controller.http_support import http_server
from tests.patience import PATIENCE_S

SECRET = "whsec_" + base64.b64encode(b"k" * 24).decode()
PAGE = Message(ROLLED_BACK.id, (ROLLED_BACK,))
BOTH = Message(INFO.id, (INFO, replace(INFO, id="n3", at_s=95.0)))


class Receiver:
    """A server that keeps what it is told, and answers by ``statuses`` first, then with 200."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        self.headers: dict[str, str] = {}
        self.url = ""

    @contextmanager
    def up(self) -> Iterator["Receiver"]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing is logged."""

        with http_server(Handler) as self.url:
            yield self


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().up() as up:
        yield up


def secret(folder: Path, content: str, name: str = "secret") -> str:
    file = folder / name
    file.write_text(content, encoding="utf-8")
    file.chmod(0o600)
    return str(file)


def channel(**target: Any) -> Channel:
    (found,) = channels_of(Settings(notify=({"name": "it", **target},), region="eu-1"))
    return found


def webhook(url: str, folder: Path, **more: Any) -> Channel:
    return channel(kind="webhook", url=url, secret_file=secret(folder, SECRET), **more)


def test_a_webhook_gets_a_cloud_event_that_is_signed(receiver: Receiver, tmp_path: Path) -> None:
    webhook(f"{receiver.url}/hook?team=search", tmp_path).send(PAGE)
    ((path, headers, body),) = receiver.got
    assert path == "/hook?team=search"
    assert headers["content-type"] == "application/cloudevents+json"
    event = Webhook(SECRET).verify(body, headers)
    assert headers["webhook-id"] == event["id"] == "n1"
    assert (event["specversion"], event["type"]) == ("1.0", "serin.release.rolling_back")
    assert (event["source"], event["subject"]) == ("/serin/eu-1", "intent/7")
    assert event["time"] == "1970-01-01T00:01:40.000Z"
    assert event["data"]["severity"] == "page"
    assert (event["data"]["model"], event["data"]["model_version"]) == ("intent", "7")
    assert (event["data"]["gates"], event["data"]["owner"]) == (["accuracy.live"], "search")


@pytest.mark.parametrize("status", [301, 400, 404, 410, 500, 503])
def test_only_a_yes_is_one(receiver: Receiver, tmp_path: Path, status: int) -> None:
    """A redirect is not followed: its place was never named in the settings."""
    receiver.statuses = [status]
    receiver.headers = {"location": f"{receiver.url}/elsewhere"}
    with pytest.raises(UndeliveredError, match=f"127.0.0.1 answered {status}"):
        webhook(receiver.url, tmp_path).send(PAGE)
    assert len(receiver.got) == 1


def test_an_answer_says_when_to_come_again(receiver: Receiver, tmp_path: Path) -> None:
    receiver.statuses, receiver.headers = [429], {"retry-after": "17"}
    with pytest.raises(UndeliveredError) as refused:
        webhook(receiver.url, tmp_path).send(PAGE)
    assert refused.value.again_s == 17


@pytest.mark.parametrize(
    ("said", "again_s"),
    [
        ("Fri, 27 Nov 2026 17:01:30 GMT", 90),
        ("Fri, 27 Nov 2026 16:00:00 GMT", 0),
        ("Sun, 29 Nov 2026 17:00:00 GMT", 3600),
        ("in a while", None),
        ("-5", None),
    ],
)
def test_an_answer_may_name_the_time_to_come_again(said: str, again_s: float | None) -> None:
    """By its own clock, which may differ from ours; for an hour at the most."""
    assert _again_s(said, "Fri, 27 Nov 2026 17:00:00 GMT") == again_s
    assert _again_s(said, None) is None


def test_nobody_there_is_told_without_the_address(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(UndeliveredError, match=r"127\.0\.0\.1 cannot be reached") as refused:
        webhook(f"http://127.0.0.1:{port}/secret-path", tmp_path).send(PAGE)
    assert "secret-path" not in str(refused.value)


@contextmanager
def dripping(greeting: bytes = b"") -> Iterator[int]:
    """The port of a server that says ``greeting`` and then one byte now and then, for ever."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                try:
                    connection.sendall(greeting)
                    while not over.wait(0.05):
                        connection.sendall(b"H")
                except OSError:
                    return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        over.set()
        thread.join(PATIENCE_S)


def test_a_receiver_that_drips_is_left_in_time(tmp_path: Path) -> None:
    with dripping() as port, pytest.raises(UndeliveredError, match=r"gave no answer in 0\.3 s"):
        webhook(f"http://127.0.0.1:{port}", tmp_path, within_s=0.3).send(PAGE)


def test_a_mail_server_that_drips_is_left_in_time() -> None:
    target = {"host": "127.0.0.1", "sender": "serin@example.org", "to": ["ada@example.org"], "tls": "none"}
    with dripping(b"220") as port, pytest.raises(UndeliveredError, match=r"gave no answer in 0\.3 s"):
        channel(kind="email", port=port, within_s=0.3, **target).send(PAGE)


@pytest.mark.parametrize("kind", ["slack", "teams"])
def test_a_chat_gets_the_message_as_its_template_has_it(receiver: Receiver, tmp_path: Path, kind: str) -> None:
    channel(kind=kind, url_file=secret(tmp_path, f"{receiver.url}/T1/s3cret")).send(BOTH)
    ((path, headers, body),) = receiver.got
    assert (path, headers["content-type"]) == ("/T1/s3cret", "application/json")
    document = json.loads(body)
    if kind == "slack":
        header, section, context = document["blocks"]
        assert header["text"]["text"] == "[Info] intent: version 7 is being rolled back (and 1 before it)"
        assert section["text"]["text"].count("accuracy.live failed.") == 2
        assert "owner: search" in context["elements"][0]["text"]
        assert {block.get("text", {}).get("type", "plain_text") for block in document["blocks"]} == {"plain_text"}
    else:
        card = document["attachments"][0]["content"]
        texts = [block["inlines"][0]["text"] for block in card["body"]]
        assert texts[0] == "[Info] intent: version 7 is being rolled back (and 1 before it)"
        assert {block["type"] for block in card["body"]} == {"RichTextBlock"}
        assert "owner: search" in texts


def test_what_others_wrote_calls_nobody_and_forges_no_line() -> None:
    forged = replace(ROLLED_BACK, title="<!channel> *x*\n[PAGE] forged", reason="a\rb")
    lines = lines_of(Message("n1", (forged,)), "eu-1")
    assert all("\n" not in line and "\r" not in line for line in (lines.headline, *lines.body))


def test_a_chats_address_is_never_sent_in_the_clear(tmp_path: Path) -> None:
    with pytest.raises(UndeliveredError, match="must be https://") as refused:
        channel(kind="slack", url_file=secret(tmp_path, "http://chat.example/T1/s3cret")).send(PAGE)
    assert "s3cret" not in str(refused.value)


def test_an_alertmanager_gets_alerts_with_labels_to_group_by(receiver: Receiver, tmp_path: Path) -> None:
    target = {"url": receiver.url, "token_file": secret(tmp_path, "t0ken")}
    channel(kind="alertmanager", **target).send(BOTH)
    ((path, headers, body),) = receiver.got
    assert (path, headers["authorization"]) == ("/api/v2/alerts", "Bearer t0ken")
    first, second = json.loads(body)
    assert (
        first["labels"]
        == second["labels"]
        == {
            "alertname": "SerinEvent",
            "event": "release.went_on",
            "severity": "info",
            "model": "intent",
            "model_version": "7",
            "release": "intent-v7-1",
            "owner": "search",
            "region": "eu-1",
        }
    )
    assert (first["startsAt"], first["endsAt"]) == ("1970-01-01T00:01:30.000Z", "1970-01-01T01:01:30.000Z")


def test_a_command_gets_the_event_on_its_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERIN_OF_THE_CONTROLLER", "x")
    program = "import json, os, sys; json.dump([json.load(sys.stdin), dict(os.environ)], open(sys.argv[1], 'w'))"
    channel(kind="command", argv=[sys.executable, "-c", program, str(tmp_path / "got")]).send(PAGE)
    event, environment = json.loads((tmp_path / "got").read_text())
    assert event["id"] == "n1"
    assert "SERIN_OF_THE_CONTROLLER" not in environment


def test_a_command_that_fails_or_hangs_is_no_delivery(tmp_path: Path) -> None:
    fails = "import sys; sys.exit('no such room')"
    with pytest.raises(UndeliveredError, match="ended with exit code 1: 'no such room'"):
        channel(kind="command", argv=[sys.executable, "-c", fails]).send(PAGE)
    hangs = "import threading; threading.Event().wait()"
    with pytest.raises(UndeliveredError, match=r"did not end within 0\.5 s"):
        channel(kind="command", argv=[sys.executable, "-c", hangs], within_s=0.5).send(PAGE)
    with pytest.raises(UndeliveredError, match="cannot be started"):
        channel(kind="command", argv=[str(tmp_path / "nothing")]).send(PAGE)


class MailServer:
    """As much of SMTP as a mail needs, and what it was given."""

    def __init__(self) -> None:
        self.mails: list[str] = []
        self.recipients: list[str] = []
        self.refuses = False

    @contextmanager
    def up(self) -> Iterator[int]:
        with socket.create_server(("127.0.0.1", 0)) as server:
            thread = threading.Thread(target=self._serve, args=(server,), daemon=True)
            thread.start()
            yield server.getsockname()[1]
            thread.join(PATIENCE_S)

    def _serve(self, server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection, connection.makefile("rwb") as stream:

            def say(line: str) -> None:
                stream.write(f"{line}\r\n".encode())
                stream.flush()

            say("220 mail")
            while line := stream.readline().decode():
                verb = line[:4].upper()
                if verb == "DATA":
                    say("354 go on")
                    self.mails.append("".join(iter(lambda: stream.readline().decode(), ".\r\n")))
                    say("250 taken")
                elif verb == "RCPT":
                    self.recipients.append(line.strip())
                    say("550 unknown" if self.refuses else "250 ok")
                else:
                    say("250 ok")


MAIL = {"kind": "email", "host": "127.0.0.1", "sender": "serin@example.org", "tls": "none"}


def test_mail_goes_to_whom_the_setting_names_with_an_id_of_its_own() -> None:
    server = MailServer()
    with server.up() as port:
        channel(**MAIL, port=port, to=["ada@example.org", "bob@example.org"]).send(PAGE)
    (mail,) = server.mails
    assert len(server.recipients) == 2
    assert "Subject: [PAGE] intent: version 7 is being rolled back\r\n" in mail
    assert "Message-ID: <n1@serin.eu-1>\r\n" in mail
    assert "way back: serin rollback intent" in mail


def test_mail_goes_to_the_contact_of_the_policy_where_nobody_is_named() -> None:
    server = MailServer()
    with server.up() as port:
        contact = replace(ROLLED_BACK, contact="team@example.org")
        channel(**MAIL, port=port).send(Message("n1", (contact,)))
    assert server.recipients == ["rcpt TO:<team@example.org>"]
    with pytest.raises(UndeliveredError, match="nobody to write to"):
        channel(**MAIL).send(Message("n1", (replace(ROLLED_BACK, contact="#search-oncall"),)))


def test_a_mailbox_that_refuses_is_no_delivery() -> None:
    server = MailServer()
    server.refuses = True
    with server.up() as port, pytest.raises(UndeliveredError, match="did not accept the mail"):
        channel(**MAIL, port=port, to=["ada@example.org"]).send(PAGE)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ({"kind": "pigeon"}, r"kind: 'pigeon' is none of webhook, slack"),
        ({"kind": "webhook", "url": "http://127.0.0.1"}, "secret_file: is missing"),
        ({"kind": "webhook", "url": "127.0.0.1", "secret_file": "/s"}, "url: is no address"),
        ({"kind": "webhook", "url": "http://a", "secret_file": "s"}, "secret_file: 's' is no file's path"),
        ({"kind": "slack", "url_file": "/s", "sevrities": ["page"]}, "unknown key 'sevrities'; did you mean"),
        ({"kind": "slack", "url_file": "/s", "severities": ["urgent"]}, "severities: 'urgent' is none of page, ticket"),
        ({"kind": "slack", "url_file": "/s", "within_s": 0}, "within_s: 0 is not a number above 0"),
        ({"kind": "slack", "url_file": ["/s"]}, "url_file: .* is not a text on one line"),
        ({"kind": "command", "argv": ["page"]}, "argv: the program's path"),
        ({"kind": "command", "argv": "page me"}, "argv: 'page me' is not a list of texts"),
        ({"kind": "email", "host": "m", "sender": "serin"}, "'serin' is no address of a mailbox"),
        ({"kind": "email", "host": "m", "sender": "a@b", "tls": "none", "user": "u", "password_file": "/p"}, "tls: n"),
        ({"kind": "email", "host": "m", "sender": "a@b", "user": "u"}, "user and password_file: go together"),
        ({"kind": "alertmanager", "url": "http://a.example", "token_file": "/t"}, "sent in the clear"),
    ],
)  # fmt: skip
def test_a_target_that_cannot_be_is_named_with_its_key(target: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=rf"settings.json: notify\[0\] \(it\): .*{said}"):
        targets_of([{"name": "it", **target}])


def test_names_are_given_once() -> None:
    one = {"name": "it", "kind": "slack", "url_file": "/s"}
    with pytest.raises(UsageError, match="two targets are called 'it'"):
        targets_of([one, one])


def test_a_secret_that_cannot_be_read_is_no_delivery_and_names_its_setting(receiver: Receiver, tmp_path: Path) -> None:
    open_to_all = tmp_path / "open"
    open_to_all.write_text(SECRET)
    open_to_all.chmod(0o644)
    for path, said in ((tmp_path / "nothing", "cannot be read"), (open_to_all, "everybody may read it")):
        with pytest.raises(UndeliveredError, match=rf"secret_file .*{said}"):
            channel(kind="webhook", url=receiver.url, secret_file=str(path)).send(PAGE)
    assert receiver.got == []


def test_targets_are_told_of_pages_and_tickets_unless_they_say_otherwise() -> None:
    assert channel(kind="slack", url_file="/s").severities == {Severity.PAGE, Severity.TICKET}
    assert channel(kind="slack", url_file="/s", severities=["info"]).severities == {Severity.INFO}


def test_each_target_can_be_tried(receiver: Receiver, tmp_path: Path) -> None:
    receiver.statuses = [500]
    targets = [
        {"name": "one", "kind": "webhook", "url": receiver.url, "secret_file": secret(tmp_path, SECRET)},
        {"name": "two", "kind": "alertmanager", "url": receiver.url},
    ]
    home = Home(tmp_path / "home")
    home.save(Settings(notify=tuple(targets)))
    one, two = try_targets(home, None, "ada")
    assert (one.target, two.target, two.trouble) == ("one", "two", "")
    assert "answered 500" in one.trouble
    (again,) = try_targets(home, "one", "ada")
    assert again.trouble == ""
    event = json.loads(receiver.got[-1][2])
    assert (event["type"], event["data"]["severity"]) == ("serin.test", "page")
    with pytest.raises(UsageError, match="no target is called 'three'; there are one, two"):
        try_targets(home, "three", "ada")
    home.save(Settings())
    with pytest.raises(UsageError, match="nobody is to be told"):
        try_targets(home, None, "ada")
