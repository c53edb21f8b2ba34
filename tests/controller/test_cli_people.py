"""What people ask for by hand: refused where it could only come to nothing, and answered by what became of it."""

import json
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from controller.adapters.envoy.encoding import RouteOptions
from controller.adapters.envoy.tables import read_routes, write_routes
from controller.bootstrap.stores import opened, upgrade_schema
from controller.cli.abort import unless_told
from controller.cli.app import app
from controller.config.settings import Home, Settings
from controller.core.commands import Ask, Command, Freeze
from controller.core.events import Leaving, PhaseEntered, fold
from controller.core.release import Phase
from controller.core.traffic import TrafficTable
from controller.errors import PermanentError, TransientError, UsageError
from controller.journal.codec import entry_of, record_of
from tests.controller import releases
from tests.patience import eventually


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An installation with a policy for the model `intent`; nothing of it runs."""
    place = Home(tmp_path / "home")
    place.save(Settings(api_port=1))
    place.policies.mkdir()
    policy = "apiVersion: serin/v1\nkind: ReleasePolicy\nmodel: intent\n"
    (place.policies / "intent.yaml").write_text(policy, encoding="utf-8")
    upgrade_schema(place)
    return place


def serin(home: Home, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--home", str(home.path)])


def refusal(home: Home, *arguments: str) -> str:
    """What a person reads on standard error, with exit code 2."""
    result = serin(home, *arguments)
    assert isinstance(result.exception, UsageError), result.output
    return str(result.exception)


@pytest.mark.parametrize("command", ["rollback", "abort", "resume", "freeze", "unfreeze"])
@pytest.mark.parametrize("reason", ["", "  "])
def test_an_empty_reason_is_refused(home: Home, command: str, reason: str) -> None:
    """The reason is all that the next person will know."""
    assert "--reason is empty" in refusal(home, command, "intent", "--reason", reason)


def test_a_start_for_a_model_without_a_policy_is_refused(home: Home) -> None:
    """It would wait for a controller that discards it."""
    assert "models here: intent" in refusal(home, "release", "start", "intnt", "7")


def test_a_start_without_a_controller_says_that_it_waits(home: Home) -> None:
    """The command is kept: it is no error, and no silence either."""
    result = serin(home, "release", "start", "intent", "7")
    assert (result.exit_code, result.stdout.splitlines()) == (
        0,
        [
            "intent: A release of version 7 begins.",
            "intent: release of version 7 asked for.",
            "intent: no controller runs here: it waits until `serin up` starts one.",
        ],
    )


def test_a_start_that_the_controller_discards_is_told_with_the_reason(home: Home) -> None:
    """Not "asked for" and a zero, and the reason in a log; nor is it said before that it begins."""
    with opened(home) as store, ThreadPoolExecutor() as pool:
        asked = pool.submit(serin, home, "release", "start", "intent", "9")
        eventually(store.inbox.waiting, what="the command to come in")
        store.inbox.discard(store.inbox.waiting()[0].id, "intent has no version 9")
        told = asked.result(10)
    assert isinstance(told.exception, UsageError)
    assert str(told.exception) == "intent: no release of version 9: intent has no version 9"
    assert told.stdout == ""


def test_a_start_that_will_come_to_nothing_says_so(home: Home) -> None:
    """Nobody waits for a controller to find that the version serves already."""
    home.envoy.mkdir()
    table = TrafficTable("intent", {"7": 100.0}, generation=1)
    write_routes(home.envoy, read_routes(home.envoy).with_table(table, RouteOptions()))
    told = serin(home, "release", "start", "intent", "7").stdout.splitlines()
    assert told[0] == "intent: Version 7 serves all traffic already."
    assert told[-1].endswith("It comes to nothing unless things have changed by then.")


@pytest.mark.parametrize("command", ["freeze", "abort", "resume"])
def test_a_model_without_a_policy_is_refused_with_those_that_have_one(home: Home, command: str) -> None:
    """A slip of the finger must not look like a freeze, or like an abort."""
    said = refusal(home, command, "intnt", "--reason", "incident 42")
    assert said == "there is no policy for model 'intnt'; models here: intent"
    with opened(home) as store:
        assert not store.freezes.in_force()
        assert not store.inbox.waiting()


@pytest.mark.parametrize("command", ["freeze", "abort", "resume"])
def test_on_call_a_broken_policy_stands_in_nobodys_way(home: Home, command: str) -> None:
    """It is the very time when somebody is editing it."""
    (home.policies / "intent.yaml").write_text("{", encoding="utf-8")
    assert serin(home, command, "intent", "--reason", "incident 42").exit_code == 0


@pytest.mark.parametrize("model", ["intent", "*"])
def test_the_hint_after_a_freeze_is_a_command_that_lifts_it(home: Home, model: str) -> None:
    """Copied as it stands, in a shell, it works: the star does not become a list of files."""
    hint = serin(home, "freeze", model, "--reason", "incident 42").stdout.partition("To lift it: serin ")[2]
    lifted = CliRunner().invoke(app, shlex.split(hint))
    assert lifted.stdout == f"{model}: lifted.\n"


def test_status_says_until_when_a_freeze_holds(home: Home) -> None:
    """By the clock and from now; and of one whose time is over, which nobody recorded while nothing ran.

    A line each, however long: this one ends tomorrow, and says the date, wherever it is half past ten at night.
    """
    now_s = time.time()
    reason = "the night, and long enough that no line of eighty letters holds it"
    with opened(home) as store:
        store.freezes.freeze(Freeze("intent", reason, "ana", now_s, ends_at_s=now_s + 5_430.0))
        store.freezes.freeze(Freeze("*", "a drill", "ana", 1.0, ends_at_s=2.0))
    night, drill = [line for line in serin(home, "status").stdout.splitlines() if "frozen by" in line]
    assert re.fullmatch(r"intent  frozen by ana because the night, .* \(until .*\d\d:\d\d UTC, in 1 h 30 min\)", night)
    assert "a drill (until 1970-01-01 00:00 UTC, its time is over)" in drill


def test_status_shows_the_freezes_that_bear_on_the_model(home: Home) -> None:
    """That of the model and that of every model; not those of others."""
    with opened(home) as store:
        for number, model in enumerate(("intent", "*", "other")):
            store.freezes.freeze(Freeze(model, "incident 42", "ana", float(number)))
    frozen = [line for line in serin(home, "status").stdout.splitlines() if "frozen by" in line]
    assert [line.split()[0] for line in frozen] == ["intent", "*", "other"]
    lines = [line for line in serin(home, "status", "intent").stdout.splitlines() if "frozen by" in line]
    assert [line.rstrip() for line in lines] == [
        "intent  frozen by ana because incident 42",
        "*  frozen by ana because incident 42",
    ]
    assert "other" not in "".join(lines)


def test_status_of_one_model_shows_no_other(home: Home) -> None:
    """Neither its releases nor its traffic."""
    home.envoy.mkdir()
    for model in ("intent", "other"):
        document = read_routes(home.envoy).with_table(TrafficTable(model, {"6": 100.0}), RouteOptions())
        write_routes(home.envoy, document)
    text = serin(home, "status", "intent").stdout
    assert "intent" in text
    assert "other" not in text


def test_status_of_a_model_that_nobody_knows_is_refused(home: Home) -> None:
    """Not an empty table, which would read as: all is quiet."""
    assert "no policy for model 'intnt'" in refusal(home, "status", "intnt")


@pytest.mark.parametrize(("model", "told"), [("intnt", True), ("intent", False)])
def test_register_says_where_no_release_will_start(home: Home, tmp_path: Path, model: str, *, told: bool) -> None:
    """A version may be registered for later, or elsewhere; who waits for its release here must know."""
    result = serin(home, "register", str(tmp_path / "no-checkpoint"), "--model", model, "--candidate")
    assert (f"no policy for {model} in this home: no release will start" in result.stderr) is told
    assert "cannot become a version" in str(result.exception)


@dataclass
class Interface:
    """What stands in for the controller's: it answers with a status, and keeps what it was asked."""

    status: int
    port: int = 0
    answer: bytes = b""
    asked: list[tuple[str, str | None, dict[str, str]]] = field(default_factory=list)


@contextmanager
def interface(status: int) -> Iterator[Interface]:
    found = Interface(status)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            found.asked.append((self.path, self.headers["authorization"], body))
            self.send_response(found.status)
            self.send_header("content-length", str(len(found.answer)))
            self.end_headers()
            self.wfile.write(found.answer)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        found.port = server.server_port
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def left_after_telling(home: Home, port: int, *more: str) -> Sequence[str] | None:
    """The arguments that are left to the command; None where the controller at the port took the abort in."""
    home.save(replace(home.load(), api_port=port))
    home.api_token.write_text("a-token", encoding="ascii")
    return unless_told(["intent", "--reason", "wrong checkpoint", "--by", "ada", "--home", str(home.path), *more])


def test_an_abort_is_told_to_a_controller_that_runs(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    with interface(202) as answering:
        assert left_after_telling(home, answering.port, "--id", "incident-4711") is None
    body = {"reason": "wrong checkpoint", "by": "ada", "id": "incident-4711"}
    assert answering.asked == [("/v1/models/intent/abort", "Bearer a-token", body)]
    assert capsys.readouterr().out == "intent: abort asked for; the controller takes it up now.\n"


def test_an_abort_says_what_the_controller_says_that_comes_of_it(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also that it is nothing."""
    with interface(202) as answering:
        answering.answer = b'{"command": "c1", "foreseen": "Nothing to abort: no release is in progress."}'
        assert left_after_telling(home, answering.port) is None
    assert capsys.readouterr().out == "intent: Nothing to abort: no release is in progress.\n"


@pytest.mark.parametrize("ask", ["abort", "resume", "pause", "promote"])
def test_a_word_that_comes_to_nothing_says_so(home: Home, ask: str) -> None:
    """And claims no controller where none runs."""
    told = serin(home, ask, "intent", "--reason", "wrong checkpoint")
    assert (told.exit_code, told.stdout) == (0, f"intent: Nothing to {ask}: no release is in progress.\n")
    as_json = json.loads(serin(home, ask, "intent", "--reason", "wrong checkpoint", "-o", "json").stdout)
    assert (as_json["schema"], as_json["acts"], as_json["controller"]) == ("serin.asked/v1", False, False)


def test_a_start_asks_for_a_flag_where_it_ends_another_or_repeats_what_a_person_took_back(home: Home) -> None:
    """Each by its name, with what for; with the flag it is asked for."""
    taken_back = [releases.started(), Leaving(Phase.ABORTED, "Aborted by ada: wrong", by="ada")]
    taken_back.append(PhaseEntered(Phase.ABORTED, "Aborted by ada: wrong"))
    with opened(home) as store:
        entries = [entry_of(event, 1.0) for event in taken_back]
        store.journal.append(record_of(fold(None, taken_back, 1.0), 3), entries)
    said = refusal(home, "release", "start", "intent", "7")
    assert "a person took version 7 back: Aborted by ada: wrong. Add --repeat if you mean it" in said
    with opened(home) as store:
        canary = releases.release_in(Phase.CANARY)
        later = replace(record_of(canary, 1), release_id="intent-v8-1", version="8", started_at_s=2e9)
        store.journal.append(later, [entry_of(releases.started(), 2e9)])
        store.freezes.freeze(Freeze("*", "holidays", "ana", 3.0))
    said = refusal(home, "release", "start", "intent", "9")
    assert "(canary at 5 %) ends for it, undecided. Add --supersede" in said
    assert "ana froze * (holidays): it waits until the freeze is over. Add --during-freeze" in said
    with opened(home) as store:
        assert not store.inbox.waiting()
    assert serin(home, "release", "start", "intent", "9", "--supersede", "--during-freeze").exit_code == 0


@pytest.mark.parametrize("status", [401, 404, 409, 500])
def test_an_abort_that_the_controller_does_not_take_is_left_to_the_command(home: Home, status: int) -> None:
    """Which asks the store, and says why where that does not take it either."""
    with interface(status) as answering:
        assert left_after_telling(home, answering.port) is not None


def test_an_abort_that_the_controller_took_in_without_a_word_is_asked_once(home: Home) -> None:
    """It was slow, and the command asks the store by the same id."""
    with interface(500) as answering:
        first, other = (left_after_telling(home, answering.port) for _ in range(2))
        (*_, sent), (*_, sent_by_other) = answering.asked
    assert sent["id"] != sent_by_other["id"]
    with opened(home) as store:
        store.inbox.put(Command(sent["id"], Ask.ABORT, "intent", None, "wrong checkpoint", "ada", 1.0))
    for left in (first, other):
        assert CliRunner().invoke(app, ["abort", *(left or ())]).exit_code == 0
    with opened(home) as store:
        assert [one.id for one in store.inbox.waiting()] == [sent["id"], sent_by_other["id"]]


def test_an_abort_without_a_controller_or_with_other_arguments_is_left_to_the_command(home: Home) -> None:
    with interface(202) as answering:
        assert left_after_telling(home, answering.port, "--help") is not None
        assert not answering.asked
    assert left_after_telling(home, answering.port) is not None  # nobody listens there any more
    assert serin(home, "abort", "intent", "--reason", "wrong checkpoint").exit_code == 0


def test_an_abort_is_told_before_anything_that_takes_long_is_imported() -> None:
    """As a rollback is: on call, a second is long."""
    heavy = "typer", "pydantic", "sqlalchemy", "numpy", "httpx"
    code = f"import sys, controller.cli.abort; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_what_is_read_of_releases_waits_for_no_science(home: Home) -> None:
    """Status and reports read what the gates said; what the gates compute by, and what others need, is not imported."""
    heavy = "numpy", "scipy", "mlflow", "sqlalchemy.dialects.postgresql", "litserve"
    code = f"""
import sys
from controller.cli.app import app
app(["status", "--home", {str(home.path)!r}], standalone_mode=False)
page = [name for name in ("jinja2",) if name in sys.modules]
import controller.report.build, controller.report.page, controller.journal.walk
print(page, [name for name in {heavy} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] []"


@pytest.mark.parametrize("what", ["away", "damaged"])
def test_status_says_what_serves_while_the_database_is_away(home: Home, what: str) -> None:
    """And that releases are not known, rather than that there are none; the JSON of it is JSON."""
    home.envoy.mkdir()
    table = TrafficTable("intent", {"7": 100.0}, known_good="6", generation=1)
    write_routes(home.envoy, read_routes(home.envoy).with_table(table, RouteOptions()))
    if what == "away":
        home.save(replace(home.load(), database_url="postgresql://127.0.0.1:1/serin"))
    else:
        for file in home.path.glob("serin.db*"):
            file.write_bytes(b"not a database, by any means" * 100)
    result = serin(home, "status")
    assert isinstance(result.exception, TransientError if what == "away" else PermanentError)
    said = "database did not answer" if what == "away" else "file is not a database"
    assert said in str(result.exception)
    assert "its release is unknown now" in result.stdout
    assert "100 %" in result.stdout
    document = json.loads(serin(home, "status", "--output", "json").stdout)
    assert document["traffic"]["intent"]["weights_pct"] == {"7": 100.0}
    (store,) = (part for part in document["parts"] if part["kind"] == "store")
    assert said in store["fault"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_behind_standard_output_is_no_defect(home: Home) -> None:
    """Tables are drawn by another way than lines are printed: neither shows a traceback."""
    command = (str(Path(sys.executable).with_name("serin")), "status", "--home", str(home.path))
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    told = "serin: standard output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (2, told)
