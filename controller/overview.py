"""The overview of where everything stands, read at one time: what `serin status` shows, and as JSON."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any, Final

from controller.core.abilities import TrafficAbilities
from controller.core.champion import told_of
from controller.core.commands import Freeze
from controller.core.parts import Kind, Part, Standing, standing
from controller.core.policy import ReleasePolicy
from controller.core.release import Release
from controller.core.traffic import TrafficTable
from controller.errors import UnreadableError
from controller.journal.codec import release_of
from controller.journal.notes import SamplingSet
from controller.ports.champions import Watched
from controller.ports.journal import Journal, ReleaseRecord, ReleaseSummary
from controller.ports.recordings import ReplayProgress
from controller.ports.runtime import DeploymentStatus
from controller.ports.suites import SuiteProgress

BLOCKS_MAX: Final = 20  # models that are shown with their gates; of more a line each
SCHEMA: Final = "serin.status/v1"
HISTORY_SCHEMA: Final = "serin.history/v1"

Shown = ReleaseRecord | ReleaseSummary
"""A release with all that its gates say, or, where there are many models, in one line."""


@dataclass(frozen=True, slots=True)
class Overview:
    """``now_s`` is the time of whoever looked. What is a mapping is by model; ``waiting``: what its policy's serving
    block says now, and no replica yet. ``records`` None: the store does not tell them. ``able``: what the data plane
    in force can do, where anybody says. ``replays``: of recorded requests, by the releases shown. ``parts``: as they
    answered just now. ``written_at_s``: when the journal was written last; None: never, or it does not tell.
    ``watched``: what the watch knows of the version that serves."""

    records: Sequence[Shown] | None
    now_s: float
    traffic: Mapping[str, TrafficTable]
    deployments: Mapping[str, Mapping[str, DeploymentStatus]] = field(default_factory=dict)
    freezes: Sequence[Freeze] = ()
    troubles: Sequence[str] = ()
    waiting: Mapping[str, str] = field(default_factory=dict)
    asking: Mapping[str, Sequence[SuiteProgress]] = field(default_factory=dict)
    sampling: Mapping[str, SamplingSet] = field(default_factory=dict)
    able: TrafficAbilities | None = None
    replays: Mapping[str, ReplayProgress] = field(default_factory=dict)
    watched: Mapping[str, str] = field(default_factory=dict)
    parts: Sequence[Part] = ()
    written_at_s: float | None = None

    @property
    def standing(self) -> Standing:
        """Return what the parts mean for users."""
        return standing(self.parts, self.traffic)

    @property
    def is_live(self) -> bool:
        """Return whether somebody decides, so that what is recorded of releases is how they stand."""
        return all(part.answers for part in self.parts if part.kind is Kind.CONTROLLER)


def current(journal: Journal, model: str | None = None) -> tuple[Shown, ...]:
    """Return of each model the release in progress, or else the one that began last; of many models in one line
    each."""
    found = journal.current(model=model)
    if len(found) > BLOCKS_MAX:
        return tuple(found)
    records = (journal.release(summary.release_id) for summary in found)
    return tuple(record for record in records if record is not None)


def opened(record: Shown) -> tuple[Release | None, str]:
    """The release with all that is recorded of it, and why this version of Serin cannot read it. Neither, where it is
    shown in one line."""
    if isinstance(record, ReleaseSummary):
        return None, ""
    try:
        return release_of(record), ""
    except UnreadableError as error:
        return None, str(error)


def summary_of(record: ReleaseRecord) -> ReleaseSummary:
    """The release in one line."""
    return ReleaseSummary(**{name: getattr(record, name) for name in _SUMMARY})


def watched_in(
    serving: Mapping[str, str], policies: Mapping[str, ReleasePolicy], watched: Callable[[], Mapping[str, Watched]]
) -> Mapping[str, str]:
    """Return what the watch knows of the versions that serve, by model, in a line each. Of one that served before,
    which the watch knows until it looks again, nothing."""
    found = watched() if serving.keys() & policies.keys() else {}
    return {
        model: told_of(one.champion, policies[model].watch)
        for model, one in found.items()
        if model in policies and one.champion.version == serving.get(model)
    }


def unreadable(journal: Journal, model: str | None = None) -> Iterator[str]:
    """Yield why this version of Serin cannot read what `current` gives, of each that it cannot, with the way out."""
    for summary in journal.current(model=model):
        record = journal.release(summary.release_id)
        if record is not None and (why := opened(record)[1]):
            yield why


# --- as JSON ----------------------------------------------------------------------------------------------------------
_SUMMARY: Final = (
    "release_id",
    "model",
    "version",
    "phase",
    "active",
    "sequence",
    "started_at_s",
    "phase_since_s",
    "reason",
)


def release_document(record: Shown) -> dict[str, Any]:
    """The release as JSON values; with its state where it has one here."""
    summary = {name: getattr(record, name) for name in _SUMMARY}
    return {**summary, "state": json.loads(record.state)} if isinstance(record, ReleaseRecord) else summary


def shown_in(document: Mapping[str, Any]) -> Shown:
    """The release that `release_document` wrote. Raises KeyError, TypeError or ValueError where it did not."""
    summary = {name: document[name] for name in _SUMMARY}
    if "state" not in document:
        return ReleaseSummary(**summary)
    return ReleaseRecord(**summary, state=json.dumps(document["state"], separators=(",", ":"), ensure_ascii=False))


def as_document(overview: Overview) -> dict[str, Any]:
    """The overview as JSON values."""
    return {
        "schema": SCHEMA,
        "at_s": overview.now_s,
        "standing": {"grade": overview.standing.grade, "sentence": overview.standing.sentence},
        "releases": [release_document(record) for record in overview.records or ()],
        "traffic": {model: _table(table) for model, table in overview.traffic.items()},
        **{name: _adapter(name).dump_python(getattr(overview, name), mode="json") for name in _PLAIN},
        **{name: _adapter(name).dump_python(getattr(overview, name), mode="json") for name in _LATER},
    }


def overview_in(document: Mapping[str, Any]) -> Overview:
    """The overview that `as_document` wrote. Raises KeyError, TypeError or ValueError where it did not."""
    if document["schema"] != SCHEMA:
        raise ValueError(f"its schema is {document['schema']!r}, not {SCHEMA!r}")
    return Overview(
        records=tuple(map(shown_in, document["releases"])),
        now_s=float(document["at_s"]),
        traffic=_adapter("traffic").validate_python(document["traffic"]),
        **{name: _adapter(name).validate_python(document[name]) for name in _PLAIN},
        **{name: _adapter(name).validate_python(document[name]) for name in _LATER if name in document},
    )


_PLAIN: Final[Mapping[str, Any]] = {
    "deployments": dict[str, dict[str, DeploymentStatus]],
    "freezes": tuple[Freeze, ...],
    "troubles": tuple[str, ...],
    "waiting": dict[str, str],
    "asking": dict[str, tuple[SuiteProgress, ...]],
    "sampling": dict[str, SamplingSet],
}
_LATER: Final[Mapping[str, Any]] = {  # an earlier release of the software does not tell them
    "able": TrafficAbilities | None,
    "replays": dict[str, ReplayProgress],
    "watched": dict[str, str],
    "parts": tuple[Part, ...],
    "written_at_s": float | None,
}


@cache
def _adapter(name: str) -> Any:
    from pydantic import TypeAdapter  # not every command shows the status

    kinds = {"traffic": dict[str, TrafficTable], **_PLAIN, **_LATER}
    return TypeAdapter(kinds[name])


def _table(table: TrafficTable) -> dict[str, Any]:
    return {
        "model": table.model,
        "weights_pct": dict(table.weights_pct),
        "mirror": asdict(table.mirror) if table.mirror is not None else None,
        "known_good": table.known_good,
        "generation": table.generation,
        "override": asdict(table.override) if table.override is not None else None,
    }
