"""`serin up` says what becomes of releases."""

from pathlib import Path

from controller.bootstrap.phases import PhaseChanges
from controller.bootstrap.stores import open_home, prepare_own_database
from controller.config.settings import Home, Settings
from controller.core.events import Leaving, PhaseEntered
from controller.core.release import Phase
from controller.journal.codec import entry_of
from controller.ports.journal import Entry
from tests.contracts.journal import record


def test_each_change_of_a_phase_is_said_once_from_now_on(tmp_path: Path) -> None:
    """Not what the journal held before, and nothing of what this version of Serin cannot read."""
    home = Home(tmp_path)
    home.save(Settings())
    prepare_own_database(home)
    store, said = open_home(home), list[str]()
    store.journal.append(record(1), [entry_of(PhaseEntered(Phase.SHADOW, "The suites passed."), 1.0)])
    changes = PhaseChanges(home, said.append)
    changes()
    store.journal.append(record(2), [entry_of(PhaseEntered(Phase.CANARY, "Every gate passed."), 2.0)])
    store.journal.append(record(3), [Entry("PhaseEntered", 3.0, {"phase": "levitating", "reason": "?"})])
    store.journal.append(record(4), [entry_of(Leaving(Phase.ROLLED_BACK, "p95 failed."), 4.0)])
    changes()
    changes()
    assert said == [
        "intent: version 7: Canary, step 1. Every gate passed.",
        "intent: version 7 is being rolled back. p95 failed.",
    ]
    store.close()
