"""A release that a former version of Serin recorded goes on: it is read, judged and reported by this one.

``recorded/release-0450.json`` was written by the last version before decision 450, with its default policy: latency's
guard was above a margin there, several gates had keys that are gone, and what they remembered has other fields now.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from controller.core.events import Started
from controller.core.judging import judge
from controller.core.release import Phase
from controller.journal.codec import event_of, release_of
from controller.ports.journal import Entry, ReleaseRecord
from gates.evidence import Look
from gates.outcome import Outcome
from gates.verdict import Window

STARTED_S = 1_700_000_000.0


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((Path(__file__).parent / "recorded/release-0450.json").read_text())
    return document


def test_its_events_are_read(recorded: dict[str, Any]) -> None:
    entry = Entry("Started", STARTED_S, recorded["started"]["payload"], schema=recorded["started"]["schema"])
    event = event_of(entry)
    assert isinstance(event, Started)
    assert event.policy.gates.latency is not None
    assert event.policy.gates.latency.p95_margin_ratio == 1.1


def test_it_goes_on_with_gates_that_begin_anew_where_they_remember_otherwise(recorded: dict[str, Any]) -> None:
    release = release_of(
        ReleaseRecord(
            release_id="intent-v7-1",
            model="intent",
            version="7",
            phase=Phase.PENDING,
            active=True,
            sequence=1,
            started_at_s=STARTED_S,
            state=json.dumps(recorded["snapshot"]),
            phase_since_s=STARTED_S,
            reason="a new candidate",
            sightings=(),
        )
    )
    found = judge(release, Look(1, Window(STARTED_S, STARTED_S + 60), 0.0))
    assert not found.fault
    assert found.deadline_s == STARTED_S + 14_400  # as it was fixed
    assert not [one.gate for one in found.verdicts if one.outcome is Outcome.FAIL]
    assert {"latency.p95", "errors.live"} <= found.restarted.keys()
