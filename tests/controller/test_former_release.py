"""A release that a former version of Serin recorded goes on: it is read, judged and reported by this one.

``recorded/release-0450.json`` was written by the last version before decision 450, with its default policy: latency's
guard was above a margin there, several gates had keys that are gone, and what they remembered has other fields now.
"""

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from controller.core.events import Started
from controller.core.judging import judge
from controller.core.policy import ReplayPolicy, WatchPolicy
from controller.core.release import Phase
from controller.journal.codec import event_of, release_of
from controller.ports.journal import Entry, ReleaseRecord
from gates.evidence import Look
from gates.outcome import Outcome
from gates.policy import CalibrationPolicy, LatencyPolicy
from gates.verdict import Window

STARTED_S = 1_700_000_000.0


@pytest.fixture(scope="module")
def recorded() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((Path(__file__).parent / "recorded/release-0450.json").read_text())
    return document


def record_of_former(recorded: dict[str, Any]) -> ReleaseRecord:
    return ReleaseRecord(
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


def test_its_events_are_read(recorded: dict[str, Any]) -> None:
    entry = Entry("Started", STARTED_S, recorded["started"]["payload"], schema=recorded["started"]["schema"])
    event = event_of(entry)
    assert isinstance(event, Started)
    assert event.policy.gates.latency is not None
    assert event.policy.gates.latency.p95_margin_ratio == 1.1


# Keys that came since, and what they mean for a release that began without them.
SINCE: dict[str, object] = {
    "owner": None,
    "contact": None,
    "warm_up_s": 0.0,
    "probation_mirror_pct": 0.0,
    "shadow_replay": ReplayPolicy(),
    "gates.incident_s": 0.0,
    "gates.accuracy_slices": None,
    "gates.costs": None,
    "gates.floors": (),
    "gates.labels.chosen_ratio_max": 1.0,
    "gates.labels.maturity_s": None,
    "gates.calibration_shadow.shape_edges": CalibrationPolicy().shape_edges,
    "gates.latency.guard_slower_ratio": LatencyPolicy().guard_slower_ratio,
    "gates.suite.class_guard_points": None,
    "watch": WatchPolicy(),
}


def _absent(recorded: dict[str, Any], policy: object, place: str = "") -> Iterator[tuple[str, object]]:
    """Yield each key that the record does not have, and what it was read as."""
    assert is_dataclass(policy)
    for one in fields(policy):
        value = getattr(policy, one.name)
        if one.name not in recorded:
            yield place + one.name, value
        elif is_dataclass(value) and isinstance(recorded[one.name], dict):
            yield from _absent(recorded[one.name], value, f"{place}{one.name}.")


@pytest.mark.parametrize("of", ["started", "snapshot"])
def test_a_release_goes_on_by_the_policy_that_it_began_with(recorded: dict[str, Any], of: str) -> None:
    """Whatever the software of today adds by default: a key that is new is off, or what was done without it. One that
    is added from here on stands in `SINCE`, and in the codec where its default is something new."""
    if of == "started":
        document = recorded["started"]["payload"]["policy"]
        event = event_of(Entry("Started", STARTED_S, recorded["started"]["payload"], recorded["started"]["schema"]))
        assert isinstance(event, Started)
        policy = event.policy
    else:
        document = recorded["snapshot"]["policy"]
        policy = release_of(record_of_former(recorded)).policy
    assert dict(_absent(document, policy)) == SINCE


def test_a_key_that_is_written_is_read_as_it_is(recorded: dict[str, Any]) -> None:
    """Though the record has others not."""
    written = {**recorded["snapshot"]["policy"], "warm_up_s": 60.0}
    changed = {**recorded, "snapshot": {**recorded["snapshot"], "policy": written}}
    policy = release_of(record_of_former(changed)).policy
    assert (policy.warm_up_s, policy.probation_mirror_pct) == (60.0, 0.0)


@pytest.mark.parametrize("written", [None, 7])
def test_slices_from_before_true_classes_were_watched_watch_none(recorded: dict[str, Any], written: int | None) -> None:
    slices = {"guard_points": 4.0} | ({} if written is None else {"truths_max": written})
    gates = {**recorded["snapshot"]["policy"]["gates"], "accuracy_slices": slices}
    policy = {**recorded["snapshot"]["policy"], "gates": gates}
    changed = {**recorded, "snapshot": {**recorded["snapshot"], "policy": policy}}
    found = release_of(record_of_former(changed)).policy.gates.accuracy_slices
    assert found is not None
    assert (found.guard_points, found.truths_max) == (4.0, written or 0)


def test_it_goes_on_with_gates_that_begin_anew_where_they_remember_otherwise(recorded: dict[str, Any]) -> None:
    release = release_of(record_of_former(recorded))
    found = judge(release, Look(1, Window(STARTED_S, STARTED_S + 60), 0.0))
    assert not found.fault
    assert found.deadline_s == STARTED_S + 14_400  # as it was fixed
    assert not [one.gate for one in found.verdicts if one.outcome is Outcome.FAIL]
    assert {"latency.p95", "errors.live"} <= found.restarted.keys()
