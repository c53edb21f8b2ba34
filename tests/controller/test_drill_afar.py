"""Drills from afar: played by a controller's real interface and a gateway, seen by metrics, undone, by a guard too."""

import json
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from controller.api.access import Access
from controller.api.app import create_app
from controller.api.callers import Refusals
from controller.api.server import serve
from controller.bootstrap import drill_undo_afar
from controller.bootstrap.drill_counts import Counts
from controller.bootstrap.drill_sight import AfarLookout
from controller.bootstrap.drilling import Asked
from controller.bootstrap.drilling_afar import Afar
from controller.bootstrap.installations import elsewhere
from controller.cli.app import app
from controller.core.commands import Freeze
from controller.core.drills import DRILLS, Drilled, Mode
from controller.core.parts import Kind, Part
from controller.core.traffic import TrafficTable
from controller.drilling import Times
from controller.errors import PermanentError, Source, TransientError, UsageError
from controller.roles import Role
from gates.outcome import Outcome
from suites.intents.demo.installation import SERIN
from tests.controller.answering import answering
from tests.controller.api_support import FakeTokens
from tests.controller.test_drill_lists import server, well
from tests.controller.test_telemetry import Told
from tests.patience import eventually

MINE = "drill F9: monthly"
TIMES = Times(before_s=0.2, for_s=1.5, see_s=0.5, over_within_s=20.0)
NOTHING: Mapping[str, str] = {}


@dataclass
class There:
    """A controller of `intent`, of which version 6 serves, behind its real interface; and a gateway."""

    url: str
    gateway: str
    folder: Path
    tokens: FakeTokens
    told: Told
    ids: list[str]
    refusals: Refusals
    status: list[int]
    frozen_meanwhile: list[list[str]] = field(default_factory=list)
    ends_meanwhile: list[float | None] = field(default_factory=list)  # of the freezes, in unix seconds

    @property
    def freezes(self) -> list[str]:
        return [one.reason for one in self.told.world.freezes.in_force()]

    def token_file(self, *roles: Role) -> Path:
        file = self.folder / "token"
        file.touch(mode=0o600)
        file.write_text(self.tokens.add("ada", *roles), encoding="ascii")
        return file

    def flags(self, *roles: Role) -> list[str]:
        texts = self.folder / "texts.txt"
        texts.write_text("where is my card\n", encoding="utf-8")
        named = {"--server": self.url, "--token-file": str(self.token_file(*(roles or (Role.ADMIN,))))}
        named |= {"--gateway": self.gateway, "--texts": str(texts), "--out": str(self.folder / "page.html")}
        return [word for pair in named.items() for word in pair]

    def refusal(self, *arguments: str, flags: list[str] | None = None) -> str:
        error = CliRunner().invoke(app, ["drill", *arguments, *(self.flags() if flags is None else flags)]).exception
        assert isinstance(error, UsageError | PermanentError), error
        assert "\n" not in str(error)
        return str(error)

    def played(self, mode: Mode, prometheus: str | None = None, shown: Mapping[str, str] = NOTHING) -> Drilled:
        predict = f"{self.gateway}/models/intent/predict"
        afar = Afar(self.url, self.token_file(Role.ADMIN), None, predict, shown, prometheus, every_s=0.0)
        times = TIMES if DRILLS[mode].lasts else replace(TIMES, for_s=0.0)
        freeze = f"drill {mode}: monthly"
        asked = Asked(DRILLS[mode], "intent", times, 50.0, ["my card"], freeze, "ada", users_may_fail=True)

        def wait(length_s: float) -> bool:
            self.frozen_meanwhile.append(self.freezes)
            self.ends_meanwhile += [one.ends_at_s for one in self.told.world.freezes.in_force()]
            threading.Event().wait(min(length_s, 0.05))
            return False

        return afar.play(asked, wait=wait, tell=lambda _: None)


def away(there: There) -> None:
    there.told.world.site.answering = (
        Part(Kind.REGISTRY, "the registry (MLflow)", "http://127.0.0.1:5000", "is away"),
    )


def left(there: There) -> None:
    there.told.world.freezes.freeze(Freeze("intent", "drill F8: weekly", "ada", 1.0))


@pytest.fixture
def there(tmp_path: Path) -> Iterator[There]:
    told, tokens, refusals, status = Told(), FakeTokens(), Refusals(), [200]
    told.world.site.tables["intent"] = TrafficTable("intent", {"6": 100.0})
    told.telemetry.readings = replace(told.telemetry.readings, refusals=refusals)
    told.world.telemetry = told.telemetry
    ports = replace(told.world.ports(), refusals=refusals)

    def answer(texts: int) -> tuple[int, dict[str, str]]:
        return status[0], well(texts)[1]

    with serve(create_app(ports, Access(tokens, open_reading=False))) as url, server(answer, 0.005) as (gateway, ids):
        yield There(url, gateway.removesuffix("/predict"), tmp_path, tokens, told, ids, refusals, status)


@contextmanager
def prometheus(value: Callable[[], float]) -> Iterator[str]:
    """One that has this value of everything, and no alert."""

    def answer(path: str) -> tuple[int, bytes]:
        found = [] if "ALERTS" in path else [{"metric": {}, "value": [0, str(value())]}]
        return 200, json.dumps({"data": {"result": found}}).encode()

    with answering(answer) as url:
        yield url


# --- played ----------------------------------------------------------------------------------------------------------
def test_strangers_are_refused_by_an_interface_elsewhere(there: There) -> None:
    """Seen by its metrics, which need no machine; frozen meanwhile, and not afterwards."""
    found = there.played(Mode.F9)
    assert found.outcome is Outcome.PASS, found.checks
    assert found.seen is not None
    assert "the controller's metrics count" in found.seen.what
    assert found.checks[1].found.startswith("150 of 150 were (150 times 401)")
    assert found.drill.promise.endswith("what logs hold of them is not looked at from afar.")
    assert there.refusals.count == 150
    assert there.frozen_meanwhile[0][0].startswith(MINE), "frozen while it is played"
    assert None not in there.ends_meanwhile, "it would end by itself, should the drill's machine be lost"
    assert there.freezes == []


def test_lists_of_long_texts_are_sent_to_a_gateway_elsewhere(there: There) -> None:
    """Seen by the replicas' metrics at a Prometheus that is named."""
    with prometheus(lambda: 30.0 if len(there.ids) > 40 else 1.0) as url:
        found = there.played(Mode.F8, url)
    assert found.outcome is Outcome.PASS, found.checks
    assert found.seen is not None
    assert found.seen.what.startswith("a call of the engine has 30.0 texts")
    assert there.freezes == []


def test_a_freeze_of_others_stays(there: There) -> None:
    there.told.world.freezes.freeze(Freeze("*", "holidays", "bob", 1.0))
    assert there.played(Mode.F9).outcome is Outcome.PASS
    assert there.freezes == ["holidays"]


def test_who_is_let_in_breaks_a_promise(there: There) -> None:
    """Strangers at a gateway that answers everybody, though its clients are said to need a token."""
    with prometheus(lambda: 1.0) as url:
        found = there.played(Mode.F9, url, {"authorization": "Bearer of-a-client"})
    assert found.outcome is Outcome.FAIL
    assert found.checks[1].found.startswith("0 of 150 were (150 times 200)")
    assert found.seen is None, "a count that does not grow is no sight"
    assert there.freezes == []


# --- undone ----------------------------------------------------------------------------------------------------------
def test_a_drill_that_is_killed_leaves_no_freeze(there: There) -> None:
    """Its guard lifts it by the same interface."""
    flags = [*there.flags(), "--freeze", "--reason", "monthly", "--before-s", "1"]
    command = [SERIN, "drill", "F9", "intent", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as drill:
        assert drill.stdout is not None
        assert any("are sent" in line for line in drill.stdout), "it ended before anything was injected"
        assert [one.startswith(MINE) for one in there.freezes] == [True]
        drill.send_signal(signal.SIGKILL)
    eventually(lambda: there.freezes == [], what="the guard lifts the freeze")


def test_a_freeze_is_lifted_once_the_controller_answers_again(there: There) -> None:
    """And never one of others, nor its own beside one of others."""
    installation, freezes = (
        elsewhere(there.url, token_file=there.token_file(Role.ADMIN), ca_file=None),
        there.told.world,
    )

    class Away:
        asked = 0

        def overview(self, model: str) -> object:
            self.asked += 1
            if self.asked < 3:
                raise TransientError(Source.CONTROLLER, "away")
            return installation.overview(model)

        def unfreeze(self, model: str, *, reason: str, by: str) -> bool:
            return installation.unfreeze(model, reason=reason, by=by)

    freezes.freezes.freeze(Freeze("intent", MINE, "ada", 1.0))
    freezes.freezes.freeze(Freeze("intent", "holidays", "bob", 2.0))
    assert not drill_undo_afar.lifted(installation, "intent", MINE)
    assert there.freezes == [MINE, "holidays"]
    installation.unfreeze("intent", reason="over", by="bob")
    freezes.freezes.freeze(Freeze("intent", MINE, "ada", 3.0))
    naps: list[float] = []
    assert drill_undo_afar.lifted(Away(), "intent", MINE, sleep=naps.append)  # type: ignore[arg-type]
    assert len(naps) == 2
    assert there.freezes == []
    with pytest.raises(TransientError):
        drill_undo_afar.lifted(Away(), "intent", MINE, within_s=0.0, sleep=naps.append)  # type: ignore[arg-type]


# --- refused ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("mode", ["F1", "F3", "F5", "F7", "F2", "F4", "F6"])
def test_what_needs_the_machine_names_what_to_do_instead(there: There, mode: str) -> None:
    said = there.refusal(mode, "intent", "--freeze", "--reason", "monthly")
    assert said.startswith(f"{mode} ")
    assert "play it on the machine of `serin up`" in said


def test_what_it_needs_is_asked_for(there: There) -> None:
    """Before anything is done, and nothing is: a dry run is refused alike."""
    mine = ["intent", "--freeze", "--reason", "monthly"]
    flags = there.flags()
    without = [word for word in flags if word not in ("--gateway", there.gateway)]
    assert "--gateway: name the address" in there.refusal("F9", *mine, flags=without)
    without = [word for word in flags if word != "--texts" and not word.endswith("texts.txt")]
    assert "--texts: a model's suite cannot be read" in there.refusal("F9", *mine, flags=without)
    assert "--server" in there.refusal("F9", *mine, "--gateway", there.gateway, flags=["--home", str(there.folder)])
    assert "intent is not frozen" in there.refusal("F9", "intent")
    foreseen = CliRunner().invoke(app, ["drill", "F9", "intent", *flags, "--dry-run"])
    assert "intent is frozen before, or by --freeze" in foreseen.stdout, "who only asks freezes nothing"
    assert "--prometheus: F8 is noticed by metrics" in there.refusal("F8", *mine)
    assert "write http://HOST:PORT" in there.refusal("F8", *mine, "--prometheus", "prometheus:9090")
    assert "cannot be read" in there.refusal("F8", *mine, "--prometheus", "http://127.0.0.1:1")
    with prometheus(lambda: 1.0) as url:
        assert "add --users-may-fail" in there.refusal("F8", *mine, "--prometheus", url, "--dry-run")
    assert there.freezes == []


@pytest.mark.parametrize(
    ("prepared", "said"),
    [
        (lambda one: one.told.world.site.tables.clear(), "there is nothing to drill"),
        (lambda one: one.status.__setitem__(0, 503), "answers with 503, and the drill would be blamed for that"),
        (lambda one: one.status.__setitem__(0, 401), "name the file of a client's token with --bearer-file"),
        (away, "not everything answers, and the drill would be blamed for that: the registry (MLflow) is away"),
        (left, "another drill froze intent ('drill F8: weekly', by ada): wait until it is over; if its machine"),
    ],
)
def test_where_it_would_do_harm_it_is_not_played(there: There, prepared: Callable[[There], object], said: str) -> None:
    prepared(there)
    before = there.freezes
    for flags in ((), ("--dry-run",)):
        assert said in there.refusal("F9", "intent", "--freeze", "--reason", "monthly", *flags)
    assert there.freezes == before


def test_a_token_that_could_not_lift_it_freezes_nothing(there: There) -> None:
    """One of the role rollback may freeze, and not lift."""
    said = there.refusal("F9", "intent", "--freeze", "--reason", "monthly", flags=there.flags(Role.ROLLBACK))
    assert "lifting a freeze" in said
    assert there.freezes == []


# --- seen ------------------------------------------------------------------------------------------------------------
def test_what_cannot_be_asked_from_here_is_seen_by_nobody() -> None:
    """An interface that does not answer, or a Prometheus: no fault of a part, and no sight."""
    nobody = elsewhere("http://127.0.0.1:1", token_file=None, ca_file=None)
    seen = AfarLookout(nobody, None, "intent", 0.0).look()
    assert seen.faults == {}
    assert "nothing listens there" in seen.unseen


def test_counts_of_several_processes_are_no_growth() -> None:
    """Of one address two controllers answer in turns; what one counted before is nobody's sight."""
    pages = iter([{"1": 5.0}, {"2": 900.0}, {"1": 5.0}, {"1": 5.0}, {"2": 900.0}, {"2": 900.0}, {"3": 7.0}, {"1": 6.0}])
    counts = Counts(lambda: next(pages), "metrics")
    counts.begin()
    assert counts.told() == counts.told() == ""
    assert counts.told() == "metrics count 1 refused"
