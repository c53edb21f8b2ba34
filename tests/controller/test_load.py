"""`serin load`: bounded, steady traffic, and what is said of it; a real server answers."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from controller.cli.app import app
from controller.config.settings import Home, Settings
from controller.config.variables import HOME_VARIABLE
from suites.load import Tally
from tests.controller.test_output_schema import checked
from tests.patience import eventually

FAST = ("--rate-per-s", "200", "--for-s", "0.05")  # ten requests


class Gateway(ThreadingHTTPServer):
    """Answers as version 7, every third time as version 6; with 503 to texts that begin with "bad"."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, str, str | None]] = []  # path, text, token
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Gateway

    def do_POST(self) -> None:
        text = json.loads(self.rfile.read(int(self.headers["content-length"])))["text"]
        self.server.asked.append((self.path, text, self.headers.get("authorization")))
        self.send_response(503 if text.startswith("bad") else 200)
        self.send_header("content-length", "2")
        self.send_header("x-serin-model-version", "7" if len(self.server.asked) % 3 else "6")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def home(tmp_path: Path, gateway: Gateway) -> Home:
    place = Home(tmp_path / "home")
    place.save(Settings(gateway_port=gateway.server_address[1]))
    return place


def loaded(home: Home, texts: Path, *more: str) -> Result:
    given = () if "--for-s" in more else FAST
    return CliRunner().invoke(app, ["load", "intent", "--home", str(home.path), "--texts", str(texts), *given, *more])


def file_of(tmp_path: Path, name: str, text: str) -> Path:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


def test_texts_go_to_the_homes_gateway_in_turn_and_the_end_says_who_answered(
    home: Home, gateway: Gateway, tmp_path: Path
) -> None:
    told = loaded(home, file_of(tmp_path, "texts.txt", "one\n\ntwo\n"), "-o", "json")
    found = checked(told.stdout)
    assert told.exit_code == 0, told.output
    assert (found["sent"], found["answered"], found["failed"], found["interrupted"]) == (10, 10, 0, False)
    assert found["by_version"] == {"6": 3, "7": 7}
    assert found["p50_ms"] <= found["p95_ms"]
    assert {path for path, _, _ in gateway.asked} == {"/models/intent/predict"}
    assert sorted(text for _, text, _ in gateway.asked) == ["one"] * 5 + ["two"] * 5


def test_what_was_not_answered_is_told_by_its_kind_and_is_no_verdict(home: Home, tmp_path: Path) -> None:
    told = loaded(home, file_of(tmp_path, "texts.jsonl", '{"text": "good", "label": "x"}\n{"text": "bad"}\n'))
    assert told.exit_code == 4
    assert "10 sent, 5 answered, 5 failed" in told.output
    assert "5 times: 503 {}" in told.output


def test_a_gateway_that_is_away_is_a_failure_and_no_crash(home: Home, tmp_path: Path) -> None:
    home.save(Settings(gateway_port=1))
    told = loaded(home, file_of(tmp_path, "texts.txt", "one"), "-o", "json")
    found = checked(told.stdout)
    assert told.exit_code == 4
    assert (found["failures"], found["p95_ms"]) == ({"ConnectError": 10}, None)


def test_a_token_is_shown_to_a_gateway_that_was_named(home: Home, gateway: Gateway, tmp_path: Path) -> None:
    token = file_of(tmp_path, "token", "s3cret\n")
    token.chmod(0o600)
    texts = file_of(tmp_path, "texts.txt", "one")
    told = loaded(home, texts, "--gateway", f"{gateway.url}/", "--bearer-file", str(token))
    assert told.exit_code == 0, told.output
    assert {shown for _, _, shown in gateway.asked} == {"Bearer s3cret"}
    refused = loaded(home, texts, "--gateway", "http://serin.example", "--bearer-file", str(token))
    assert "in the clear" in str(refused.exception)


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--rate-per-s", "201", "--for-s", "1"), "--rate-per-s 201"),
        (("--rate-per-s", "0", "--for-s", "1"), "--rate-per-s 0"),
        (("--rate-per-s", "nan", "--for-s", "1"), "--rate-per-s nan"),
        (("--for-s", "3601"), "--for-s 3601"),
        (("--gateway", "ftp://x"), "--gateway"),
    ],
)
def test_what_has_no_bound_is_refused_and_nothing_is_sent(
    home: Home, gateway: Gateway, tmp_path: Path, flags: tuple[str, ...], named: str
) -> None:
    told = loaded(home, file_of(tmp_path, "texts.txt", "one"), *flags)
    assert named in str(told.exception)
    assert not gateway.asked


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [
        ("texts.jsonl", '{"text": "a"}\n{"label": "b"}\n', "line 2: has no `text`"),
        ("texts.jsonl", "plain\n", "line 1: not JSON"),
        ("texts.txt", "\n \n", "has no text"),
    ],
)
def test_a_file_that_has_no_texts_is_named_with_its_line(
    home: Home, tmp_path: Path, name: str, text: str, named: str
) -> None:
    told = loaded(home, file_of(tmp_path, name, text))
    assert named in str(told.exception)


@pytest.mark.integration
def test_ctrl_c_ends_it_with_a_summary(home: Home, gateway: Gateway, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "from controller.cli import main; main()",
        "load",
        "intent",
        "-o",
        "json",
        "--for-s",
        "3600",
    ]
    command += ["--texts", str(file_of(tmp_path, "texts.txt", "one"))]
    environment = {**os.environ, HOME_VARIABLE: str(home.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        eventually(lambda: len(gateway.asked) > 2, what="some requests")
        process.send_signal(signal.SIGINT)
        found: dict[str, Any] = checked(process.communicate()[0])
    assert process.returncode == 130
    assert found["interrupted"]
    assert found["answered"] == found["sent"] == len(gateway.asked)


def test_quantiles_are_by_nearest_rank() -> None:
    tally = Tally()
    assert tally.quantile_ms(0.95) is None
    tally.took_ms.extend(range(1, 101))
    assert (tally.quantile_ms(0.5), tally.quantile_ms(0.95)) == (50, 95)
