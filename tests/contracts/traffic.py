"""What every ``Traffic`` does. Subclass, and give the fixtures ``traffic`` and ``hands``."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import pytest

from controller.core.traffic import Mirror, Override, TrafficTable, WriteProgress, WriteStage
from controller.errors import ConflictError, PermanentError, SerinError, UsageError
from controller.ports.traffic import Traffic
from tests.patience import eventually

V6_ONLY = TrafficTable("intent", {"6": 100.0}, known_good="6", generation=1)


class Hands(Protocol):
    """What others do to the data plane, past the port."""

    def edit(self, model: str, weights_pct: Mapping[str, float]) -> None:
        """Somebody writes other weights into the stored table."""

    def delete(self, model: str) -> None:
        """Somebody deletes the stored table."""

    def stop(self) -> None:
        """From now on the data plane takes nothing up that is written."""

    def go_on(self) -> None:
        """It does again, whatever was written meanwhile."""


def is_served(traffic: Traffic, model: str, generation: int) -> bool:
    """Whether users are answered by the table of this generation."""
    progress = traffic.progress(model)
    return progress is not None and progress.is_served and progress.generation == generation


def confirmed(traffic: Traffic, model: str, generation: int) -> bool:
    """Whether the data plane takes the generation up and serves it."""
    return bool(eventually(lambda: is_served(traffic, model, generation), what=f"{model}, generation {generation}"))


def _stuck(traffic: Traffic, model: str) -> WriteProgress | None:
    progress = traffic.progress(model)
    return progress if progress is not None and progress.detail else None


class TrafficContract:
    """The fixture ``traffic`` routes to versions 6 and 7 of ``intent`` and 1 of ``topic``, and knows no version 9."""

    def test_a_model_never_routed_has_no_table(self, traffic: Traffic) -> None:
        """No table is None, and the data plane knows nothing of it: not an empty table, not an error."""
        assert traffic.read("intent") is None
        assert traffic.progress("intent") is None
        assert traffic.drift("intent") is None
        assert traffic.models() == ()

    def test_a_table_is_read_back_as_it_was_written(self, traffic: Traffic) -> None:
        """Weights, mirror, known good version, generation and override all survive, to the last digit."""
        table = TrafficTable(
            "intent",
            {"6": 99.5, "7": 0.5},
            mirror=Mirror("7", 12.5),
            known_good="6",
            generation=1,
            override=Override("P99 doubled, “now”", "ada", 1_795_432_308.623771),
        )
        traffic.write(table)
        assert traffic.read("intent") == table

    def test_what_was_written_is_served_in_the_end(self, traffic: Traffic) -> None:
        """Nothing may be relabelled before the route is confirmed (argo 1826), so the data plane itself is asked."""
        traffic.write(V6_ONLY)
        assert confirmed(traffic, "intent", 1)
        traffic.write(V6_ONLY.next(weights_pct={"6": 90.0, "7": 10.0}))
        assert confirmed(traffic, "intent", 2)

    def test_an_edit_replaces_the_weights(self, traffic: Traffic) -> None:
        """Edited weights are never appended to the old ones (seldon 5181)."""
        first = replace(V6_ONLY, weights_pct={"6": 90.0, "7": 10.0}, mirror=Mirror("7", 100.0))
        traffic.write(first)
        traffic.write(first.next(weights_pct={"7": 100.0}, mirror=None))
        table = traffic.read("intent")
        assert table is not None
        assert (dict(table.weights_pct), table.mirror, table.generation) == ({"7": 100.0}, None, 2)

    def test_a_live_version_may_be_the_mirror_too(self, traffic: Traffic) -> None:
        """In a canary step the candidate answers some users and sees copies of all requests."""
        table = replace(V6_ONLY, weights_pct={"6": 90.0, "7": 10.0}, mirror=Mirror("7", 100.0))
        traffic.write(table)
        assert traffic.read("intent") == table

    @pytest.mark.parametrize("generation", [1, 3, 7])
    def test_another_writer_is_a_conflict(self, traffic: Traffic, generation: int) -> None:
        """Only the next generation is taken, so that of two writers one is told; what is stored stays."""
        traffic.write(V6_ONLY)
        with pytest.raises(ConflictError, match="generation 1"):
            traffic.write(replace(V6_ONLY, weights_pct={"7": 100.0}, generation=generation))
        assert traffic.read("intent") == V6_ONLY

    def test_the_first_table_of_a_model_has_generation_one(self, traffic: Traffic) -> None:
        """A writer that missed the first one is told, as with every later one."""
        with pytest.raises(ConflictError):
            traffic.write(V6_ONLY.next())
        assert traffic.read("intent") is None

    def test_writing_the_same_table_again_changes_nothing(self, traffic: Traffic) -> None:
        """A controller that died after the write repeats it."""
        traffic.write(V6_ONLY)
        traffic.write(V6_ONLY)
        assert traffic.read("intent") == V6_ONLY

    @pytest.mark.parametrize("where", ["weights", "mirror"])
    def test_nothing_is_routed_to_a_version_that_is_not_there(self, traffic: Traffic, where: str) -> None:
        """A weight on a version without a replica would be failed requests; the table stays as it was."""
        traffic.write(V6_ONLY)
        wrong = {"weights": V6_ONLY.next(weights_pct={"9": 100.0}), "mirror": V6_ONLY.next(mirror=Mirror("9", 1.0))}
        with pytest.raises(PermanentError, match="version 9 of intent"):
            traffic.write(wrong[where])
        assert traffic.read("intent") == V6_ONLY

    def test_models_are_routed_apart(self, traffic: Traffic) -> None:
        """Writing one model's table leaves every other as it is, its generation included."""
        topic = TrafficTable("topic", {"1": 100.0}, generation=1)
        traffic.write(V6_ONLY)
        traffic.write(topic)
        traffic.write(V6_ONLY.next(weights_pct={"7": 100.0}))
        assert traffic.read("topic") == topic
        assert confirmed(traffic, "topic", 1)

    def test_what_is_not_taken_up_is_no_further_than_written(self, traffic: Traffic, hands: Hands) -> None:
        """A data plane that hangs is not one that serves: the progress stays, and says in the end what it waits for."""
        traffic.write(V6_ONLY)
        assert confirmed(traffic, "intent", 1)
        hands.stop()
        traffic.write(V6_ONLY.next(known_good="7"))
        found = eventually(lambda: _stuck(traffic, "intent"), what="a word of why it goes no further")
        assert (found.generation, found.stage) == (2, WriteStage.WRITTEN)
        hands.go_on()
        assert confirmed(traffic, "intent", 2)
        assert traffic.progress("intent").detail == ""  # type: ignore[union-attr]

    def test_an_edit_by_others_is_seen_and_named(self, traffic: Traffic, hands: Hands) -> None:
        """What Serin writes is no drift, whoever of its writers it was; what somebody makes of it is, and says what."""
        traffic.write(V6_ONLY)
        traffic.write(V6_ONLY.next(override=Override("P99 doubled", "ada", 0.0)))
        assert traffic.drift("intent") is None
        hands.edit("intent", {"6": 50.0, "7": 50.0})
        found = traffic.drift("intent")
        assert found is not None
        assert found.digest
        assert "version 7 50 %" in found.what
        table = traffic.read("intent")
        assert table is not None
        assert table.weights_pct == {"6": 50.0, "7": 50.0}
        hands.edit("intent", {"6": 100.0})
        assert traffic.drift("intent") is None

    def test_an_edit_by_others_is_never_overwritten_in_silence(self, traffic: Traffic, hands: Hands) -> None:
        """Only who has seen just this edit replaces it; another one that came meanwhile is a conflict again."""
        traffic.write(V6_ONLY)
        hands.edit("intent", {"7": 100.0})
        seen = traffic.drift("intent")
        assert seen is not None
        with pytest.raises(ConflictError, match="somebody else"):
            traffic.write(V6_ONLY.next())
        hands.edit("intent", {"6": 50.0, "7": 50.0})
        with pytest.raises(ConflictError, match="somebody else"):
            traffic.write(V6_ONLY.next(), over=seen)
        traffic.write(V6_ONLY.next(), over=traffic.drift("intent"))
        assert traffic.drift("intent") is None
        assert traffic.read("intent") == V6_ONLY.next()
        assert confirmed(traffic, "intent", 2)

    def test_a_deleted_table_is_drift_too(self, traffic: Traffic, hands: Hands) -> None:
        """Somebody took a model's route away: it is not taken for a model that was never routed."""
        traffic.write(V6_ONLY)
        hands.delete("intent")
        seen = traffic.drift("intent")
        assert seen is not None
        assert (seen.digest, traffic.read("intent")) == ("", None)
        with pytest.raises(ConflictError, match="somebody else"):
            traffic.write(V6_ONLY)
        traffic.write(V6_ONLY, over=seen)
        assert traffic.drift("intent") is None
        assert confirmed(traffic, "intent", 1)

    def test_a_neighbour_is_written_beside_an_edit(self, traffic: Traffic, hands: Hands) -> None:
        """Models are routed apart: one that somebody edits holds no other, and stays as it was edited."""
        traffic.write(V6_ONLY)
        hands.edit("intent", {"7": 100.0})
        traffic.write(TrafficTable("topic", {"1": 100.0}, generation=1))
        assert confirmed(traffic, "topic", 1)
        assert traffic.drift("topic") is None
        assert traffic.drift("intent") is not None

    @pytest.mark.parametrize("edited", [False, True], ids=["as it was written", "edited by somebody"])
    def test_a_way_back_is_taken_whatever_stands_there(self, traffic: Traffic, hands: Hands, *, edited: bool) -> None:
        """It says who asked, and to a version that does not run nobody is sent."""
        traffic.write(V6_ONLY)
        traffic.write(V6_ONLY.next(weights_pct={"6": 90.0, "7": 10.0}))
        if edited:
            hands.edit("intent", {"6": 50.0, "7": 50.0})
        why = Override("The candidate fails.", "Serin", 5.0)
        back = traffic.retreat("intent", None, why)
        assert (back.weights_pct, back.mirror, back.override) == ({"6": 100.0}, None, why)
        assert traffic.read("intent") == back
        assert traffic.drift("intent") is None
        assert confirmed(traffic, "intent", back.generation)
        again = traffic.retreat("intent", "7", why)
        assert again.weights_pct == {"7": 100.0}
        with pytest.raises(SerinError, match="9"):
            traffic.retreat("intent", "9", why)
        assert traffic.read("intent") == again

    def test_nobody_is_sent_back_where_nothing_is_routed(self, traffic: Traffic) -> None:
        with pytest.raises(UsageError):
            traffic.retreat("intent", None, Override("The candidate fails.", "Serin", 5.0))

    def test_it_says_what_it_can(self, traffic: Traffic) -> None:
        """A weight as fine as it says is taken as it is."""
        able = traffic.abilities("intent")
        step_pct = able.weight_step_pct
        table = replace(V6_ONLY, weights_pct={"6": 100.0 - step_pct, "7": step_pct})
        traffic.write(table)
        assert traffic.read("intent") == table
        assert able.name
        assert able.versions_max >= 2
