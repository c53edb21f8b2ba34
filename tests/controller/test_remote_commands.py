"""The same commands asked of a home, and from a machine without one of its controller's interface: the same output."""

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from controller.adapters.clock import SystemClock
from controller.adapters.envoy.routes import RouteOptions
from controller.adapters.envoy.tables import read_routes, write_routes
from controller.adapters.sql.store import Store
from controller.api.access import Access
from controller.api.app import ApiPorts, create_app
from controller.api.server import serve
from controller.api.tls import Certificate
from controller.bootstrap.installations import service_of
from controller.bootstrap.stores import opened, store_of, texts_of, upgrade_schema
from controller.cli.app import app
from controller.cli.rollback import rollback
from controller.config.settings import Home, Settings
from controller.config.variables import CA_FILE_VARIABLE, SERVER_VARIABLE, TOKEN_FILE_VARIABLE
from controller.core.commands import Ask, Freeze
from controller.core.events import fold
from controller.core.release import Phase
from controller.core.traffic import TrafficTable
from controller.errors import SerinError, UsageError
from controller.journal.codec import entry_of, record_of
from controller.report.words import utc
from controller.roles import Role
from serving.access.tokens import TokenFile, changing, new_token
from tests.certificates import Authority
from tests.contracts.samples import live
from tests.controller import releases
from tests.controller.report_support import started

RELEASE = "intent-v7-1"


@dataclass
class Installation:
    """One with a policy for `intent`, of which version 6 serves, and a release that has just begun."""

    home: Home
    store: Store
    flags: list[str]
    url: str = ""

    def asked(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, [*arguments, *self.flags])

    def lines(self, *arguments: str) -> list[str]:
        """What a person sees."""
        result = self.asked(*arguments)
        assert (result.exit_code, result.exception) == (0, None), result.output
        return [line.rstrip() for line in result.stdout.splitlines()]

    def status(self, *arguments: str) -> list[str]:
        """The same of `serin status`, which says first that nothing of it runs, and ends with 4."""
        result = self.asked("status", *arguments)
        assert result.exit_code == 4, result.output
        return [line.rstrip() for line in result.stdout.splitlines()]

    def refusal(self, *arguments: str) -> str:
        error = self.asked(*arguments).exception
        assert isinstance(error, UsageError), error
        return str(error)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    place = Home(tmp_path / "home")
    place.save(Settings(api_port=1, capture_text=True))
    place.policies.mkdir()
    policy = "apiVersion: serin/v1\nkind: ReleasePolicy\nmodel: intent\n"
    (place.policies / "intent.yaml").write_text(policy, encoding="utf-8")
    place.text_key.write_text(base64.urlsafe_b64encode(bytes(32)).decode(), encoding="ascii")
    place.envoy.mkdir()
    document = read_routes(place.envoy).with_table(TrafficTable("intent", {"6": 100.0}), RouteOptions())
    write_routes(place.envoy, document)
    upgrade_schema(place)
    return place


@pytest.fixture(params=["at home", "from afar"])
def there(request: pytest.FixtureRequest, home: Home, tmp_path: Path) -> Iterator[Installation]:
    with ExitStack() as stack:
        store = stack.enter_context(opened(home))
        event = started()
        store.journal.append(record_of(fold(None, [event], 1.0), 1), [entry_of(event, 1.0)])
        if request.param == "at home":
            yield Installation(home, store, ["--home", str(home.path)])
            return
        authority = Authority(tmp_path / "tls")
        token = given_token(tmp_path, home, "ada", Role.ADMIN)
        url = stack.enter_context(interface(home, authority))
        flags = ["--server", url, "--token-file", str(token), "--ca-file", str(authority.file)]
        yield Installation(home, store, flags, url)


@contextmanager
def interface(home: Home, authority: Authority) -> Iterator[str]:
    """The interface of the home's installation, as its controller serves it beyond loopback."""
    pair = authority.pair()
    with service_of(home) as service, closing(keeping_texts(home)) as store:
        ports = ApiPorts(
            store.samples, store.standing, store.journal, service, store.deliveries, SystemClock(), lambda: None
        )
        known = create_app(ports, Access(TokenFile(home.api_tokens), open_reading=False))
        with serve(known, certificate=Certificate(pair.certificate, pair.key)) as url:
            yield url


def keeping_texts(home: Home) -> Store:
    """The home's store, as its controller opens it."""
    settings = home.load()
    return store_of(home, settings, texts_of(home, settings))


def given_token(folder: Path, home: Home, name: str, *roles: Role) -> Path:
    """The file of a token that the home's interface takes."""
    entry, token = new_token(name, datetime.now(UTC), roles=roles)
    with changing(home.api_tokens) as entries:
        entries.append(entry)
    file = folder / f"{name}.token"
    file.touch(mode=0o600)
    file.write_text(token + "\n")
    return file


# --- the same output --------------------------------------------------------------------------------------------------
def test_the_status_is_the_same(there: Installation) -> None:
    """Traffic, phase and freezes; of one model, and of one that nobody knows."""
    there.store.freezes.freeze(Freeze("*", "holidays", "ada", 20.0))
    lines = there.status()
    assert lines[0].startswith("DOWN  Users get no answers: the gateway (Envoy)")
    frozen = lines.index("*  frozen by ada because holidays")
    assert lines[frozen + 1] == "intent  release of version 7  Pending"
    assert "  traffic   version 6 100 %" in lines
    assert there.status("intent") == lines
    assert "no policy for model 'intnt'" in there.refusal("status", "intnt")


def test_a_policy_check_warns_of_what_the_data_plane_there_cannot_do(there: Installation, tmp_path: Path) -> None:
    """Also in a pipeline that has no home. The key is named, and the policy is valid all the same."""
    file = tmp_path / "policy.yaml"
    text = "apiVersion: serin/v1\nkind: ReleasePolicy\nmodel: intent\nsteps: [{weight_pct: 0.001}, {weight_pct: 5}]\n"
    file.write_text(text, encoding="utf-8")
    told = there.asked("policy", "check", str(file))
    assert told.exit_code == 0, told.output
    assert "valid. Model intent" in told.stdout
    assert told.stderr.startswith("warning: steps[0].weight_pct: 0.001 is not a share that can be served here")
    file.write_text(text.replace("{weight_pct: 0.001}, ", ""), encoding="utf-8")
    assert there.asked("policy", "check", str(file)).stderr == ""


def test_a_gate_warns_of_what_the_data_plane_there_cannot_do_of_its_policy(there: Installation, tmp_path: Path) -> None:
    """Before it judges, which here it cannot; a data plane that does not say is a warning too."""
    file = tmp_path / "policy.yaml"
    text = "apiVersion: serin/v1\nkind: ReleasePolicy\nmodel: intent\nsteps: [{weight_pct: 0.001}, {weight_pct: 5}]\n"
    file.write_text(text, encoding="utf-8")
    gate = ("gate", "--model", str(tmp_path / "nothing"), "--suite", str(tmp_path / "nothing.jsonl"))
    told = there.asked(*gate, "--policy", str(file))
    assert isinstance(told.exception, UsageError), told.output
    assert told.stderr.startswith("warning: steps[0].weight_pct: 0.001 is not a share that can be served here")
    assert "warning" not in there.asked(*gate).stderr


def test_the_status_as_json_is_the_same(there: Installation) -> None:
    document = json.loads("\n".join(there.status("--json")))
    assert set(document) == {
        *(
            "schema",
            "at_s",
            "releases",
            "traffic",
            "deployments",
            "freezes",
            "troubles",
            "waiting",
            "asking",
            "sampling",
            "replays",
            "watched",
            "able",
            "standing",
            "parts",
            "written_at_s",
        ),
    }
    assert document["traffic"]["intent"]["weights_pct"] == {"6": 100.0}
    assert (document["schema"], document["releases"][0]["state"]["candidate"]["number"]) == ("serin.status/v1", "7")


def test_lists_are_the_same(there: Installation) -> None:
    began = "1970-01-01 00:00:01"
    assert there.lines("release", "list") == [
        f"{RELEASE}\tpending\tThe alias candidate was set on version 7.\t{began}\t{began}"
    ]
    assert "there is no policy for model 'tone'" in there.refusal("release", "list", "--model", "tone")
    (listed,) = json.loads("\n".join(there.lines("release", "list", "--json")))["releases"]
    assert (listed["release_id"], listed["sequence"], "state" in listed) == (RELEASE, 1, False)


def test_reports_are_the_same_files(there: Installation, home: Home, tmp_path: Path) -> None:
    """As the one who has the journal makes them."""
    out = tmp_path / "out"
    assert there.lines("report", RELEASE, "--out", str(out)) == [f"{out}/{RELEASE}.html", f"{out}/{RELEASE}.json"]
    with service_of(home) as service:
        made = service.report(RELEASE)
    assert (out / f"{RELEASE}.html").read_text(encoding="utf-8") == made.html
    assert (out / f"{RELEASE}.json").read_text(encoding="utf-8") == made.json
    assert f"the latest are: {RELEASE}" in there.refusal("report", "intent-v8-1", "--out", str(out))


def test_evidence_is_read_and_its_chain_checked(there: Installation) -> None:
    """None of a release that has only begun; and of one that is not there it is said."""
    assert there.lines("evidence", RELEASE) == []
    assert "there is no release 'intent-v8-1'" in there.refusal("evidence", "intent-v8-1")


def test_freezes_are_made_and_lifted(there: Installation) -> None:
    said = there.lines("freeze", "intent", "--reason", "incident 42", "--by", "bob")
    assert said[0].startswith('intent: frozen. To lift it: serin unfreeze intent --reason "..." --')
    (freeze,) = there.store.freezes.in_force()
    assert (freeze.model, freeze.reason, freeze.by) == ("intent", "incident 42", "ada for bob" if there.url else "bob")
    assert there.lines("unfreeze", "intent", "--reason", "it is over") == ["intent: lifted."]
    assert there.lines("unfreeze", "intent", "--reason", "it is over") == ["intent: nothing was frozen."]
    said = there.lines("freeze", "*", "--for", "2h", "--reason", "the night")
    (freeze,) = there.store.freezes.in_force()
    assert freeze.ends_at_s == pytest.approx(freeze.at_s + 7_200.0)
    assert said[0].startswith(f"*: frozen until {utc(freeze.ends_at_s)}. To lift it sooner: serin unfreeze '*'")
    said_no = there.refusal("freeze", "intent", "--for", "99999d", "--reason", "a slip")
    assert "366 days" in said_no or "for_s" in said_no
    assert there.refusal("freeze", "intent", "--for", "soon", "--reason", "a slip").startswith("--for 'soon': give")
    said_no = there.refusal("freeze", "intnt", "--reason", "incident 42")
    assert said_no == "there is no policy for model 'intnt'; models here: intent"


def test_a_fix_of_a_stable_version_that_is_down_is_asked_for_by_name(there: Installation) -> None:
    start = ("release", "start", "intent", "8", "--because-stable-is-down", "--supersede", "--reason", "6 leaks")
    said = there.lines(*start)
    assert said[0].startswith("intent: Once version 6 is seen to fail, version 8 takes its place on its suites' floors")
    (waiting,) = there.store.inbox.waiting()
    assert (waiting.ask, waiting.version, waiting.reason) == (Ask.REPLACE, "8", "6 leaks")


def asked_for(there: Installation, *flags: str) -> Result:
    return there.asked("label-requests", "intent", *flags)


def test_the_requests_to_label_are_the_same(there: Installation, home: Home) -> None:
    """With their texts; for a person without what the version answered, which would lead whoever labels."""
    assert (asked_for(there).exit_code, asked_for(there).stdout.startswith("intent: no request to label")) == (3, True)
    answered = live("a", text="where is\nmy refund", text_digest="05aa", label="refund")
    with closing(keeping_texts(home)) as store:
        store.samples.add_predictions([answered])
    assert asked_for(there).stdout == f"a\tchance\t{26 / 256:g}\twhere is\\nmy refund\n"
    (one,) = json.loads(asked_for(there, "-o", "json").stdout)["label_requests"]
    assert (one["answers"], one["text"]) == ({"6": "refund"}, "where is\nmy refund")
    (task,) = json.loads(asked_for(there, "--format", "label-studio").stdout)
    assert (task["data"], task["meta"]["serin_request_id"]) == ({"text": "where is\nmy refund"}, "a")
    assert asked_for(there, "--since", "2100-01-01").exit_code == 3


def test_of_an_unknown_model_nothing_is_asked_for(home: Home) -> None:
    """A typing mistake is none that has no requests."""
    error = CliRunner().invoke(app, ["label-requests", "intnt", "--home", str(home.path)]).exception
    assert isinstance(error, UsageError)
    assert str(error).startswith("there is no policy for model 'intnt'")


@pytest.mark.parametrize("ask", ["abort", "resume"])
def test_a_word_waits_for_the_controller(there: Installation, ask: str) -> None:
    said = there.lines(ask, "intent", "--reason", "wrong checkpoint")
    takes = "the controller takes it up at its next round." if there.url else "no controller runs here: it waits until"
    told = {
        "abort": ["intent: the release of version 7 (pending) ends; all traffic goes to version 6.", takes],
        "resume": ["intent: Nothing to resume: the release of version 7 (pending) is not held."],
    }
    assert said[0] == told[ask][0]
    assert [takes in line for line in said[1:]] == [True] * (len(told[ask]) - 1)
    (waiting,) = there.store.inbox.waiting()
    assert (waiting.ask, waiting.model, waiting.reason) == (Ask(ask), "intent", "wrong checkpoint")


def test_a_start_that_the_controller_discards_is_told_with_the_reason(
    there: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def discard(_pause_s: float) -> None:
        for command in there.store.inbox.waiting():
            there.store.inbox.discard(command.id, "intent has no version 9")

    monkeypatch.setattr("controller.cli.releases.time.sleep", discard)
    refusal = there.refusal("release", "start", "intent", "9", "--supersede")
    assert refusal == "intent: no release of version 9: intent has no version 9"
    assert "models here: intent" in there.refusal("release", "start", "intnt", "7")
    assert "'../9'" in there.refusal("release", "start", "intent", "../9")


def test_a_start_waits_for_the_end_and_has_its_code(there: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the release that answers it, not by an earlier one of the version."""

    def answer(_pause_s: float) -> None:
        for command in there.store.inbox.waiting():
            ended = record_of(releases.release_in(Phase.ROLLED_BACK), 1)
            later = replace(ended, release_id="intent-v7-2", started_at_s=command.at_s + 1, reason="It was wrong.")
            there.store.journal.append(later, [entry_of(started(), 1.0)], taken_up=[command.id])

    monkeypatch.setattr("controller.cli.releases.time.sleep", answer)
    result = there.asked("release", "start", "intent", "7", "--wait-s", "60")
    assert result.stdout.splitlines() == [
        "intent: the release of version 7 (pending) is in progress already.",
        "intent: release of version 7 asked for.",
        "intent: version 7 Rolled back: It was wrong.",
        "intent-v7-2: rolled_back. What decided it: serin why intent-v7-2",
    ]
    assert result.exit_code == 1


def test_the_files_that_serve_are_released_again(there: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.bootstrap.condition.registered_again", lambda _home, _model: ("6", "8"))
    assert "Add --supersede" in there.refusal("release", "again", "intent", "--reason", "two replicas")
    said = there.lines("release", "again", "intent", "--reason", "two replicas", "--supersede")
    takes = "the controller" if there.url else "no controller runs here"
    assert said[0] == "intent: version 8 has the files of version 6."
    assert said[1].startswith(f"intent: release of version 8 asked for; {takes}")
    (waiting,) = there.store.inbox.waiting()
    assert (waiting.ask, waiting.version) == (Ask.START, "8")


# --- on call, from afar -----------------------------------------------------------------------------------------------
@pytest.fixture
def afar(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    """Named by the environment, as on a laptop."""
    authority = Authority(tmp_path / "tls")
    token = given_token(tmp_path, home, "ada", Role.ROLLBACK)
    with interface(home, authority) as url, opened(home) as store:
        monkeypatch.setenv(SERVER_VARIABLE, url)
        monkeypatch.setenv(TOKEN_FILE_VARIABLE, str(token))
        monkeypatch.setenv(CA_FILE_VARIABLE, str(authority.file))
        yield Installation(home, store, [], url)


def test_a_rollback_is_done_by_the_controller_and_waited_for(
    afar: Installation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told when all traffic is where it should be, and not before."""
    split = TrafficTable("intent", {"6": 50.0, "7": 50.0})
    write_routes(afar.home.envoy, read_routes(afar.home.envoy).with_table(split, RouteOptions()))
    pauses = 0

    def controller(_pause_s: float) -> None:
        nonlocal pauses
        pauses += 1
        if pauses == 1:
            (command,) = afar.store.inbox.waiting()
            assert (command.ask, command.reason, command.by) == (Ask.ROLLBACK, "wrong refunds", "ada for bob")
            event = started()
            record = record_of(fold(None, [event], 1.0), 1)
            afar.store.journal.append(record, [entry_of(event, 1.0)], taken_up=[command.id])
        else:
            back = TrafficTable("intent", {"6": 100.0}, generation=9)
            write_routes(afar.home.envoy, read_routes(afar.home.envoy).with_table(back, RouteOptions()))

    monkeypatch.setattr("controller.bootstrap.afar.time.sleep", controller)
    rollback(["intent", "--reason", "wrong refunds", "--by", "bob"])
    assert pauses == 2
    assert capsys.readouterr().out.startswith("intent: all traffic to version 6 after ")


def test_a_rollback_that_comes_to_nothing_is_told(afar: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pause_s: float) -> None:
        afar.store.inbox.discard(afar.store.inbox.waiting()[0].id, "nothing to go back to")

    monkeypatch.setattr("controller.bootstrap.afar.time.sleep", refuse)
    with pytest.raises(UsageError, match="intent: not rolled back: nothing to go back to"):
        rollback(["intent", "--reason", "wrong refunds"])
    with pytest.raises(UsageError, match="--to: only with --home"):
        rollback(["intent", "--reason", "wrong refunds", "--to", "5"])


def test_a_home_that_is_named_goes_before_the_environment(
    afar: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = tmp_path / "nowhere"
    refused = CliRunner().invoke(app, ["status", "--home", str(nowhere)]).exception
    assert isinstance(refused, UsageError)
    assert "no Serin lives here" in str(refused)
    with pytest.raises(SerinError, match="nowhere"):
        rollback(["intent", "--reason", "wrong refunds", "--home", str(nowhere)])
    assert any(line.startswith("intent") for line in afar.status())


def test_who_may_not_is_told_which_role_may(afar: Installation) -> None:
    assert "`serin token create --role admin --name NAME` makes a token for it" in afar.refusal(
        "resume", "intent", "--reason", "go on"
    )
    assert "the token of ada (rollback)" in afar.refusal("resume", "intent", "--reason", "go on")
