"""Installations as a drill finds them, without their processes."""

from collections.abc import Sequence
from pathlib import Path

from controller.adapters.local.kept import SUPERVISOR, KeptRecord
from controller.adapters.local.supervisor import identity_of_self
from controller.bootstrap.stores import opened, upgrade_schema
from controller.config.settings import Home, Settings
from controller.core.events import Event
from controller.core.release import Phase, Purpose
from controller.journal.codec import entry_of, record_of
from tests.controller import releases


def installed(tmp_path: Path) -> Home:
    """An installation that is up, as its record says, and of which nothing answers."""
    place = Home(tmp_path / "home")
    place.save(Settings(gateway_port=2, api_port=1, mlflow_port=3, prometheus_port=4))
    place.policies.mkdir()
    text = "apiVersion: serin/v1\nkind: ReleasePolicy\nmodel: intent\n"
    (place.policies / "intent.yaml").write_text(text, encoding="utf-8")
    place.envoy.mkdir()
    upgrade_schema(place)
    KeptRecord(place.path).write({SUPERVISOR: identity_of_self()})
    return place


def begins(
    home: Home, phase: Phase, purpose: Purpose = Purpose.PROMOTE, *, events: Sequence[Event] = (), **changes: object
) -> None:
    """A release of version 7 stands in the phase, as the journal says, after these events."""
    with opened(home) as store:
        all_of_them = [releases.started(purpose=purpose), *events]
        record = record_of(releases.release_in(phase, purpose=purpose, **changes), len(all_of_them))
        store.journal.append(record, [entry_of(event, releases.NOW_S) for event in all_of_them])
