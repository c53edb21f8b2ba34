"""What every ``Traffic`` does. Subclass, and give the fixture ``traffic``."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from controller.core.traffic import Mirror, Override, TrafficTable
from controller.errors import ConflictError, PermanentError
from controller.ports.traffic import Traffic
from tests.patience import PATIENCE_S

V6_ONLY = TrafficTable("intent", {"6": 100.0}, known_good="6", generation=1)


def confirmed(traffic: Traffic, model: str, generation: int) -> bool:
    """Whether the data plane takes the generation up."""
    return _eventually(lambda: traffic.confirmed_generation(model) == generation)


def _eventually(condition: Callable[[], bool]) -> bool:
    deadline_s, pause = time.monotonic() + PATIENCE_S, threading.Event()
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        pause.wait(0.005)
    return True


class TrafficContract:
    """The fixture ``traffic`` routes to versions 6 and 7 of ``intent`` and 1 of ``topic``, and knows no version 9."""

    def test_a_model_never_routed_has_no_table(self, traffic: Traffic) -> None:
        """No table is None, and the data plane knows nothing of it: not an empty table, not an error."""
        assert traffic.read("intent") is None
        assert traffic.confirmed_generation("intent") is None
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

    def test_the_data_plane_confirms_what_was_written(self, traffic: Traffic) -> None:
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
