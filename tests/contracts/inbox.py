"""What every inbox must do."""

import dataclasses

import pytest

from controller.core.commands import Ask, Command
from controller.errors import ConflictError
from controller.ports.people import WAITING_MAX, Inbox

START = Command("c1", Ask.START, "intent", "7", "a better model", "ada", 1795432308.25)
ABORT = Command("c2", Ask.ABORT, "intent", None, "wrong data", "bob", 1.0)


class InboxContract:
    def test_commands_wait_in_the_order_they_came(self, inbox: Inbox) -> None:
        """Whatever their times say: clocks of several senders do not agree."""
        assert inbox.put(START)
        assert inbox.put(ABORT)
        assert list(inbox.waiting()) == [START, ABORT]

    def test_the_same_id_is_taken_once_for_ever(self, inbox: Inbox) -> None:
        """A sender that tries again, or a webhook that repeats itself, starts nothing twice, even after the answer."""
        assert inbox.put(START)
        assert not inbox.put(START)
        inbox.discard("c1", "no such version")
        assert not inbox.put(START)
        assert list(inbox.waiting()) == []

    def test_discarding_again_or_what_never_came_changes_nothing(self, inbox: Inbox) -> None:
        """Every writing method is safe to repeat."""
        inbox.put(START)
        inbox.put(ABORT)
        inbox.discard("c1", "no such version")
        inbox.discard("c1", "another reason")
        inbox.discard("never", "came")
        assert list(inbox.waiting()) == [ABORT]

    def test_who_asked_can_read_why_it_came_to_nothing(self, inbox: Inbox) -> None:
        """The first answer stands; what waits has none yet."""
        inbox.put(START)
        inbox.put(ABORT)
        inbox.discard("c1", "no such version")
        inbox.discard("c1", "another reason")
        assert (inbox.outcome("c1"), inbox.outcome("c2"), inbox.outcome("c9")) == ("no such version", None, None)

    def test_commands_that_wait_for_one_model_are_bounded(self, inbox: Inbox) -> None:
        """Each look reads them all. One that waits can be repeated; other models, and what stops a release, always have
        their place."""
        for number in range(WAITING_MAX):
            assert inbox.put(dataclasses.replace(START, id=f"n{number}"))
        with pytest.raises(ConflictError, match="intent wait already"):
            inbox.put(START)
        assert not inbox.put(dataclasses.replace(START, id="n1"))
        assert inbox.put(dataclasses.replace(START, id="other", model="tone"))
        assert inbox.put(ABORT)
        inbox.discard("n1", "no such version")
        assert inbox.put(START)
        assert len(inbox.waiting()) == WAITING_MAX + 2

    def test_discarded_commands_are_forgotten_when_they_are_old(self, inbox: Inbox) -> None:
        """What waits stays, however old; so does what was discarded since."""
        old, older = dataclasses.replace(START, id="c3", at_s=99.0), dataclasses.replace(START, id="c4", at_s=98.0)
        for command in (START, ABORT, old, older):
            inbox.put(command)
        for command in (START, old):
            inbox.discard(command.id, "no such version")
        assert inbox.prune(100.0) == 1
        assert (inbox.outcome("c1"), inbox.outcome("c3")) == ("no such version", None)
        assert list(inbox.waiting()) == [ABORT, older]
