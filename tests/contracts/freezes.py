"""What every keeper of freezes must do."""

import dataclasses

import pytest

from controller.core.commands import Freeze
from controller.errors import ConflictError
from controller.ports.people import WAITING_MAX, Freezes

INTENT = Freeze("intent", "error budget is spent", "the burn gate", 10.0)
EVERYTHING = Freeze("*", "holidays", "ada", 20.0)


class FreezesContract:
    def test_a_freeze_holds_until_it_is_lifted(self, freezes: Freezes) -> None:
        """Frozen models are listed, oldest first; lifting one leaves the others."""
        freezes.freeze(INTENT)
        freezes.freeze(EVERYTHING)
        assert list(freezes.in_force()) == [INTENT, EVERYTHING]
        assert freezes.lift("intent", reason="budget is back", by="bob", at_s=30.0)
        assert list(freezes.in_force()) == [EVERYTHING]

    def test_lifting_nothing_says_so(self, freezes: Freezes) -> None:
        """``*`` is a freeze of its own: lifting a model's does not lift it, nor the other way round."""
        assert not freezes.lift("intent", reason="why not", by="bob", at_s=30.0)
        freezes.freeze(EVERYTHING)
        assert not freezes.lift("intent", reason="why not", by="bob", at_s=30.0)
        assert list(freezes.in_force()) == [EVERYTHING]

    def test_repeating_a_freeze_changes_nothing(self, freezes: Freezes) -> None:
        """Also after it was lifted: an action repeated after a crash does not undo what a person did since."""
        freezes.freeze(INTENT)
        freezes.freeze(INTENT)
        assert list(freezes.in_force()) == [INTENT]
        freezes.lift("intent", reason="budget is back", by="bob", at_s=30.0)
        freezes.freeze(INTENT)
        assert list(freezes.in_force()) == []

    def test_every_reason_is_kept_and_one_lift_ends_them_all(self, freezes: Freezes) -> None:
        """A person who lifts a model's freeze means the model, not one of the reasons."""
        again = Freeze("intent", "a person looks into it", "ada", 11.0)
        freezes.freeze(INTENT)
        freezes.freeze(again)
        assert list(freezes.in_force()) == [INTENT, again]
        assert freezes.lift("intent", reason="understood", by="ada", at_s=40.0)
        assert list(freezes.in_force()) == []

    def test_a_freeze_says_whether_it_keeps_a_model_silent(self, freezes: Freezes) -> None:
        silent = dataclasses.replace(INTENT, silent=True, at_s=11.0)
        freezes.freeze(INTENT)
        freezes.freeze(silent)
        assert [one.silent for one in freezes.in_force()] == [False, True]

    def test_the_end_of_a_freeze_is_that_of_no_other(self, freezes: Freezes) -> None:
        """It says when its time is over, and holds until that is recorded, which is done once."""
        brief = dataclasses.replace(INTENT, by="ada", ends_at_s=70.0)
        freezes.freeze(INTENT)
        freezes.freeze(brief)
        assert list(freezes.in_force()) == [INTENT, brief]
        assert freezes.end(brief, at_s=71.0)
        assert list(freezes.in_force()) == [INTENT]
        assert not freezes.end(brief, at_s=72.0)
        freezes.freeze(brief)
        assert list(freezes.in_force()) == [INTENT]

    def test_freezes_of_one_model_are_bounded(self, freezes: Freezes) -> None:
        """Each look reads them all. One that holds already can be repeated; other models are not concerned."""
        for number in range(WAITING_MAX):
            freezes.freeze(dataclasses.replace(INTENT, at_s=float(number)))
        with pytest.raises(ConflictError, match="intent already"):
            freezes.freeze(dataclasses.replace(INTENT, reason="one more"))
        freezes.freeze(dataclasses.replace(INTENT, at_s=1.0))
        freezes.freeze(EVERYTHING)
        assert len(freezes.in_force()) == WAITING_MAX + 1
        freezes.lift("intent", reason="enough", by="bob", at_s=1_000.0)
        freezes.freeze(dataclasses.replace(INTENT, reason="one more"))
