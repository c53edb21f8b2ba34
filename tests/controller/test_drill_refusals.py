"""Where a drill may not be played: said before anything is done, with the way out."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from controller.adapters.envoy.encoding import RouteOptions
from controller.adapters.envoy.tables import read_routes, write_routes
from controller.adapters.local.kept import KeptRecord
from controller.bootstrap import drilling
from controller.bootstrap.drill_undo import lifted
from controller.bootstrap.drilling import Asked
from controller.bootstrap.installations import service_of
from controller.cli.app import app
from controller.config.settings import Home
from controller.core.drills import DRILLS, Mode
from controller.core.release import Phase
from controller.core.traffic import TrafficTable
from controller.drilling import Times
from controller.errors import Source, UsageError
from controller.files import locked
from tests.controller.drill_support import begins, installed


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return installed(tmp_path)


def refusal(home: Home, *arguments: str) -> str:
    error = CliRunner().invoke(app, ["drill", *arguments, "--home", str(home.path)]).exception
    assert isinstance(error, UsageError), error
    return str(error)


def frozen(home: Home) -> None:
    with service_of(home) as service:
        service.freeze("intent", reason="holidays", by="ana")


def serves(home: Home) -> None:
    table = TrafficTable("intent", {"6": 100.0}, known_good="6")
    write_routes(home.envoy, read_routes(home.envoy).with_table(table, RouteOptions()))


@pytest.mark.parametrize(
    ("prepared", "said"),
    [
        (
            [lambda home: KeptRecord(home.path).remove()],
            "is not up: a drill needs `serin up`, which restarts what ends",
        ),
        ([lambda home: begins(home, Phase.CANARY)], "intent-v7-1 is canary, and the drill would count in it"),
        ([lambda home: begins(home, Phase.PROBATION)], "intent-v7-1 is probation"),
        ([lambda home: begins(home, Phase.HELD)], "intent-v7-1 is held"),
        ([frozen], "no version of intent serves"),
        ([frozen, serves], "not everything answers, and the drill would be blamed for that: the gateway (Envoy)"),
    ],
)
def test_where_it_would_do_harm_it_is_not_played(
    home: Home, prepared: list[Callable[[Home], object]], said: str
) -> None:
    """A dry run is refused alike."""
    for prepare in prepared:
        prepare(home)
    for flags in ((), ("--dry-run",)):
        assert said in refusal(home, "F5", "intent", *flags)


def test_one_is_played_at_a_time(home: Home) -> None:
    with locked(home.drill_lock, source=Source.HOME):
        assert "another drill is being played" in refusal(home, "F5", "intent", "--freeze", "--reason", "monthly")


def test_it_is_played_in_a_freeze_alone(home: Home) -> None:
    """Which a dry run does without: nobody freezes a model to be told what would be done."""
    assert "intent is not frozen: `serin freeze intent" in refusal(home, "F5", "intent")
    assert "no version of intent serves" in refusal(home, "F5", "intent", "--dry-run")


def test_a_model_is_named_where_there_are_several(home: Home) -> None:
    """Of one there is no question; one that nobody knows is said."""
    assert "is not frozen" in refusal(home, "F5")
    assert "there is no policy for model 'intnt'" in refusal(home, "F5", "intnt")
    text = (home.policies / "intent.yaml").read_text(encoding="utf-8")
    (home.policies / "tone.yaml").write_text(text.replace("intent", "tone"), encoding="utf-8")
    assert refusal(home, "F5") == "name the model: there are intent, tone"


def test_a_freeze_of_its_own_needs_a_reason(home: Home) -> None:
    assert "--reason is empty" in refusal(home, "F5", "intent", "--freeze")


def test_a_model_that_is_frozen_is_frozen_by_nobody_else(home: Home) -> None:
    """Its freeze outlives the drill; one of the drill's own does not."""
    asked = Asked(DRILLS[Mode.F5], "intent", Times(), 10.0, freeze="drill F5: monthly", by="ana")
    with service_of(home) as service:
        ground = drilling._Ground(home, home.load(), service, asked, TrafficTable("intent", {"6": 100.0}))
        with drilling._frozen(ground, 100.0):
            (own,) = service.frozen("intent")
            assert (own.reason, own.ends_at_s) == ("drill F5: monthly", own.at_s + 100.0 + drilling.FREEZE_SPARE_S)
        assert service.frozen("intent") == []
        service.freeze("intent", reason="holidays", by="bob")
        with drilling._frozen(ground, 100.0):
            assert [one.reason for one in service.frozen("intent")] == ["holidays"]
        assert [one.reason for one in service.frozen("intent")] == ["holidays"]


def test_a_freeze_of_others_is_never_lifted(home: Home) -> None:
    """Nor the drill's own while another stands beside it: lifting names a model, not a freeze."""
    with service_of(home) as service:
        service.freeze("intent", reason="drill F5: monthly", by="ana")
        service.freeze("intent", reason="holidays", by="bob")
        assert not lifted(service, "intent", "drill F5: monthly")
        assert len(service.frozen("intent")) == 2
        service.unfreeze("intent", reason="over", by="bob")
        service.freeze("intent", reason="drill F5: monthly", by="ana")
        service.freeze("*", reason="holidays", by="bob")
        assert lifted(service, "intent", "drill F5: monthly")
        assert [one.model for one in service.frozen("intent")] == ["*"]
