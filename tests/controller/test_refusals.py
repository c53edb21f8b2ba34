"""A candidate that is refused is told where people look: in the status, as a tag, and once in the journal."""

from pathlib import Path

import pytest

from controller.core.release import Phase
from controller.errors import TransientError
from controller.journal.codec import entry_of
from controller.journal.notes import CandidateRefused
from controller.journal.refused import Refusals, refused_now
from controller.overview import BLOCKS_MAX, Overview
from controller.ports.journal import model_stream
from controller.ports.registry import CANDIDATE
from controller.service import Service
from controller.subscribers.feed import Follower
from controller.subscribers.registry_tags import RegistryTags
from tests.controller.service import GOOD, MODEL
from tests.controller.world import World
from tests.fakes.clock import FakeClock
from tests.fakes.freezes import FakeFreezes
from tests.fakes.inbox import FakeInbox
from tests.fakes.journal import FakeJournal
from tests.fakes.registry import FakeRegistry
from tests.fakes.site import FakeSite

STREAM = model_stream(MODEL)


def told(world: World) -> list[str]:
    """The kinds of what stands in the model's stream about its candidate."""
    entries = world.journal.stream_page(STREAM, after=0, limit=100)
    return [entry.kind for entry in entries if entry.kind == CandidateRefused.__name__]


def test_a_refused_candidate_is_recorded_once_however_long_the_alias_stands_there(tmp_path: Path) -> None:
    world = World(tmp_path).given(stable=GOOD)
    world.registry.aliases_of[MODEL][CANDIDATE] = "99"
    world.when_time_passes(60)
    world.restart()
    world.when_time_passes(60)
    refused = refused_now(world.journal, MODEL)
    assert refused is not None
    assert (refused.version, refused.reason) == ("99", f"there is no {MODEL} version 99")
    assert len(told(world)) == 1


def test_a_candidate_that_is_released_ends_the_refusal(tmp_path: Path) -> None:
    world = World(tmp_path).given(stable=GOOD)
    world.registry.aliases_of[MODEL][CANDIDATE] = "99"
    world.when_time_passes(30)
    world.given_candidate("v7", GOOD).when_phase(Phase.SHADOW)
    assert refused_now(world.journal, MODEL) is None
    assert len(told(world)) == 2


def test_an_alias_that_is_taken_away_ends_the_refusal(tmp_path: Path) -> None:
    world = World(tmp_path).given(stable=GOOD)
    world.registry.aliases_of[MODEL][CANDIDATE] = "99"
    world.when_time_passes(30)
    del world.registry.aliases_of[MODEL][CANDIDATE]
    world.when_time_passes(30)
    assert refused_now(world.journal, MODEL) is None


def test_a_registry_that_is_away_ends_no_refusal(tmp_path: Path) -> None:
    """Nor does a controller that starts anew, and knows nothing of the aliases yet."""
    world = World(tmp_path).given(stable=GOOD)
    world.registry.aliases_of[MODEL][CANDIDATE] = "99"
    world.when_time_passes(30)
    world.registry.away = "connection refused"
    world.when_time_passes(60)
    world.restart()
    world.when_time_passes(60)
    assert refused_now(world.journal, MODEL) is not None
    assert len(told(world)) == 1


def test_a_journal_that_cannot_be_written_is_told_later(monkeypatch: pytest.MonkeyPatch) -> None:
    journal = FakeJournal()
    refusals = Refusals(MODEL, journal, FakeClock())

    def away(*_: object, **__: object) -> None:
        raise TransientError("journal", "locked")

    with monkeypatch.context() as broken:
        broken.setattr(journal, "note", away)
        refusals.refused("9", "why")
    assert refused_now(journal, MODEL) is None
    refusals.refused("9", "why")
    assert refused_now(journal, MODEL) == CandidateRefused(MODEL, "9", "why")


def test_the_registry_is_told_of_a_refusal(tmp_path: Path) -> None:
    """As a tag of the version, where whoever set the alias looks."""
    registry, journal = FakeRegistry(), FakeJournal()
    registry.register(tmp_path, MODEL, tags={})
    journal.note(STREAM, [entry_of(CandidateRefused(MODEL, "1", "w" * 600), 1.0)])
    tags = Follower(journal, RegistryTags(registry, journal))
    tags.catch_up()
    assert registry.tags_of[MODEL, "1"] == {"serin.outcome": "refused", "serin.reason": "w" * 500}
    journal.note(STREAM, [entry_of(CandidateRefused(MODEL, "1", ""), 2.0)])
    tags.catch_up()
    assert registry.tags_of[MODEL, "1"]["serin.outcome"] == "refused"


def test_the_status_says_which_candidate_is_refused_and_why() -> None:
    """Also of a model that has had no release yet; of many models, for the one that is asked after."""
    journal = FakeJournal()
    Refusals(MODEL, journal, FakeClock()).refused("9", "its source is not allowed")
    said = f"the alias candidate of {MODEL} stands on version 9, which is refused: its source is not allowed"
    assert said in shown_of(journal, MODEL).troubles
    many = [MODEL, *(f"model-{number}" for number in range(BLOCKS_MAX))]
    assert said not in shown_of(journal, *many).troubles
    assert said in shown_of(journal, *many, asked=MODEL).troubles
    Refusals(MODEL, journal, FakeClock()).stands("", accepted=False)
    assert said not in shown_of(journal, MODEL).troubles


def shown_of(journal: FakeJournal, *models: str, asked: str | None = None) -> Overview:
    return Service(journal, FakeInbox(), FakeFreezes(), FakeClock(), models, FakeSite()).overview(asked)
