"""The use cases: what people, pipelines and pages ask of an installation, whichever way they come.

A command is kept and answered at once; what came of it stands in the journal. All of it needs the store alone, so it
works while no controller runs.
"""

import logging
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from controller.core.commands import ANY_MODEL, FREEZE_MAX_S, WAYS_BACK, Ask, Command, Freeze
from controller.core.events import Leaving
from controller.core.foresight import Foreseen, Standing, foresee
from controller.core.release import EXPOSED, Phase, Purpose, Release, pending_settings, serves_all
from controller.core.traffic import Override
from controller.errors import TransientError, UsageError
from controller.journal.codec import entry_of
from controller.journal.notes import Note
from controller.journal.refused import refused_now
from controller.journal.sampled import last_set
from controller.journal.walk import walk
from controller.naming import model_named, version_named
from controller.overview import BLOCKS_MAX, Overview, Shown, current, opened, summary_of, watched_in
from controller.ports.champions import Watched
from controller.ports.clock import Clock
from controller.ports.journal import (
    INSTALLATION,
    Journal,
    RecordedEntry,
    ReleaseRecord,
    ReleaseSummary,
    model_stream,
    release_stream,
)
from controller.ports.people import Freezes, Inbox
from controller.ports.recordings import ReplayProgress
from controller.ports.site import Site
from controller.report.chronicle import OF_MODELS, OF_RELEASES, Happening, bears_on, news, of_model, of_release

_LATEST_TOLD: Final = 5

log = logging.getLogger(__name__)


class UnknownError(UsageError):
    """The thing that was asked for is not here. ``field`` says what that is: a model, or a release."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Report:
    """The report of a release, as a page and as JSON."""

    html: str
    json: str


class Installation(Protocol):
    """The installation that commands ask: one here (`Service`), or one elsewhere, by its interface. For what each
    method does and raises see there; one elsewhere raises UsageError where it lets nobody in, too."""

    def start(self, model: str, version: str, *, reason: str, by: str) -> tuple[Command, bool]: ...

    def replace(self, model: str, version: str, *, reason: str, by: str) -> tuple[Command, bool]: ...

    def again(self, model: str, *, reason: str, by: str) -> tuple[Command, str]: ...

    def abort(self, model: str, *, reason: str, by: str, command_id: str = "") -> tuple[Command, bool]: ...

    def rollback(self, model: str, *, reason: str, by: str, command_id: str = "") -> tuple[Command, bool]: ...

    def resume(self, model: str, *, reason: str, by: str, command_id: str = "") -> tuple[Command, bool]: ...

    def pause(self, model: str, *, reason: str, by: str, command_id: str = "") -> tuple[Command, bool]: ...

    def promote(self, model: str, *, reason: str, by: str, command_id: str = "") -> tuple[Command, bool]: ...

    def is_taken_up(self, command: Command) -> bool: ...

    def foresee(self, ask: Ask, model: str, version: str | None = None) -> Foreseen: ...

    def freeze(
        self, model: str, *, reason: str, by: str, silent: bool = False, for_s: float | None = None
    ) -> Freeze: ...

    def unfreeze(self, model: str, *, reason: str, by: str) -> bool: ...

    def releases(
        self, model: str | None = None, *, limit: int = 100, before: str | None = None
    ) -> Sequence[ReleaseSummary]: ...

    def release(self, release_id: str) -> ReleaseRecord: ...

    def overview(self, model: str | None = None) -> Overview: ...

    def report(self, release_id: str) -> Report: ...

    def entries(self, release_id: str) -> Iterator[RecordedEntry]: ...

    def history(self, model: str | None = None, *, since_s: float, limit: int = 1_000) -> Sequence[Happening]: ...


def release_started_by(installation: Installation, command: Command) -> ReleaseSummary | None:
    """The release that the command started; None until it is there."""
    found = (r for r in installation.releases(command.model) if r.version == command.version)
    return next((release for release in found if release.started_at_s >= command.at_s), None)


def taken_up(command: Command, *, waits: bool, outcome: str | None) -> bool:
    """Return whether a release answers the command. Raises UsageError where none ever will, with the ``outcome``."""
    if outcome is not None:
        raise UsageError(f"{command.model}: no release of version {command.version}: {outcome}")
    return not waits


@dataclass(frozen=True, slots=True)
class Service:
    """Everything that is asked of one installation. ``models`` are those that have a policy: of others no release ever
    starts. ``site`` is what stands beside the store. ``wake`` makes the control loop look now, where one runs in this
    process. ``retreat`` sends users back at once, as `ports.traffic` says: where no word can be kept, on a full disk
    say, a rollback is done so, and an abort of a release that has users; the controller records it when it can.

    Every method that names a model raises UsageError where no model can be called so, and UnknownError where it has no
    policy; what writes raises ConflictError where too many wait, TransientError where the store does not answer.
    """

    journal: Journal
    inbox: Inbox
    freezes: Freezes
    clock: Clock
    models: Collection[str]
    site: Site
    wake: Callable[[], None] = lambda: None
    replay: Callable[[str], ReplayProgress | None] = lambda _: None  # of a release, how far it is
    untold: Callable[[], Sequence[str]] = tuple  # what people were not told of, in sentences
    watched: Callable[[], Mapping[str, Watched]] = dict  # by model, what is known of the version that serves
    retreat: Callable[[str, str | None, Override], object] | None = None

    def start(self, model: str, version: str, *, reason: str, by: str, command_id: str = "") -> tuple[Command, bool]:
        """Ask for a release of the version; the command, and whether it is new."""
        return self._ask(Ask.START, model, reason, by, command_id, version_named(version))

    def replace(self, model: str, version: str, *, reason: str, by: str, command_id: str = "") -> tuple[Command, bool]:
        """Ask that the version takes the place of stable, which cannot run: by the floors of its suites alone."""
        return self._ask(Ask.REPLACE, model, reason, by, command_id, version_named(version))

    def rehearse(self, model: str, version: str, *, reason: str, by: str) -> Command:
        """Ask that the version is judged without a user getting its answers; in a freeze, too."""
        return self._ask(Ask.REHEARSE, model, reason, by, "", version_named(version))[0]

    def again(self, model: str, *, reason: str, by: str, command_id: str = "") -> tuple[Command, str]:
        """Register the version that serves once more, and ask for a release of that: the command, and the number of the
        version that serves. Raises as `Site.register_again`, too."""
        self.check(model)  # before anything is registered
        champion, version = self.site.register_again(model)
        return self.start(model, version, reason=reason, by=by, command_id=command_id)[0], champion

    def abort(self, model: str, *, reason: str, by: str, command_id: str = "") -> tuple[Command, bool]:
        """Ask that the release in progress ends, all traffic at the stable version."""
        return self._ask(Ask.ABORT, model, reason, by, command_id)

    def rollback(self, model: str, *, reason: str, by: str, command_id: str = "") -> tuple[Command, bool]:
        """Ask that the known good version serves everybody."""
        return self._ask(Ask.ROLLBACK, model, reason, by, command_id)

    def resume(self, model: str, *, reason: str, by: str, command_id: str = "") -> tuple[Command, bool]:
        """Ask that a held release goes on, with a new deadline, or a paused one."""
        return self._ask(Ask.RESUME, model, reason, by, command_id)

    def pause(self, model: str, *, reason: str, by: str, command_id: str = "") -> tuple[Command, bool]:
        """Ask that the release in progress exposes no more users for now."""
        return self._ask(Ask.PAUSE, model, reason, by, command_id)

    def promote(self, model: str, *, reason: str, by: str, command_id: str = "") -> tuple[Command, bool]:
        """Ask that the release in progress takes its next step now."""
        return self._ask(Ask.PROMOTE, model, reason, by, command_id)

    def is_taken_up(self, command: Command) -> bool:
        """Return whether a release answers the command by now.

        Raises:
            UsageError: none ever will; says why.
        """
        waits, outcome = self.standing_of(command.id)
        return taken_up(command, waits=waits, outcome=outcome)

    def foresee(self, ask: Ask, model: str, version: str | None = None) -> Foreseen:
        """Return what the word would do now. ``version``: the one that is to be started."""
        self.check(model)
        if version is not None:
            version_named(version)
        found = next(iter(self.journal.releases(model=model, limit=1)), None)
        newest, unreadable = opened(found) if found is not None else (None, "")
        unreadable = unreadable if found is not None and found.active else ""
        table = self.site.traffic().get(model)
        under_way = newest if newest is not None and newest.active else None
        taken_back = self._taken_back(model, version, newest) if version is not None else ""
        return foresee(ask, Standing(model, under_way, table, self.frozen(model), taken_back, unreadable), version)

    def _taken_back(self, model: str, version: str, newest: Release | None) -> str:
        """Return why a person took the version back last, where no release of it has begun since."""
        left = newest.stable if newest is not None and newest.purpose is Purpose.RESTORE else None
        if newest is not None and left is not None and left.number == version:
            return newest.reason
        of_version = (one for one in self.journal.summaries(model=model) if one.version == version)
        last = next(of_version, None)
        if last is None or last.phase not in (Phase.ROLLED_BACK, Phase.ABORTED):
            return ""
        found = self.journal.last(release_stream(last.release_id), [Leaving.__name__])
        by_person = found is not None and found.text is not None and found.entry.payload.get("by", "serin") != "serin"
        return last.reason if by_person else ""

    def standing_of(self, command_id: str) -> tuple[bool, str | None]:
        """Return whether the command waits still, and why no release answers it, where none does."""
        if any(waiting.id == command_id for waiting in self.inbox.waiting()):
            return True, None
        return False, self.inbox.outcome(command_id)

    def freeze(self, model: str, *, reason: str, by: str, silent: bool = False, for_s: float | None = None) -> Freeze:
        """Halt every change of the model, or of every one (``ANY_MODEL``), until it is lifted, or for so long;
        ``silent``: and tell nobody of it meanwhile."""
        if model != ANY_MODEL:
            self.check(model)
        if for_s is not None and not 0 < for_s <= FREEZE_MAX_S:
            raise UsageError("--for: a freeze ends within 366 days; without it one holds until it is lifted")
        now_s = self.clock.now_s()
        freeze = Freeze(model, reason, by, now_s, silent, None if for_s is None else now_s + for_s)
        self.freezes.freeze(freeze)
        self.wake()
        return freeze

    def unfreeze(self, model: str, *, reason: str, by: str) -> bool:
        """Lift the freezes of exactly this model, or of every one; False where there were none.

        What was frozen under an earlier rule for names can be lifted.
        """
        lifted = self.freezes.lift(model, reason=reason, by=by, at_s=self.clock.now_s())
        if not lifted and model != ANY_MODEL:
            model_named(model)
        self.wake()
        return lifted

    def frozen(self, model: str | None = None) -> Sequence[Freeze]:
        """The freezes in force; of one model, those that hold it."""
        return [freeze for freeze in self.freezes.in_force() if model is None or freeze.model in (model, ANY_MODEL)]

    def releases(
        self, model: str | None = None, *, limit: int = 100, before: str | None = None
    ) -> Sequence[ReleaseSummary]:
        """Newest first, without their states; ``before`` a release's id, those that began earlier. Raises UnknownError
        where no such release or model ever was: nothing is not the answer to a mistyped name."""
        found = self.journal.summaries(model=model, limit=limit, before=before)
        if not found and before is not None:
            self.release(before)
        elif not found and model is not None:
            self.check(model)
        return found

    def release(self, release_id: str) -> ReleaseRecord:
        """The release with its state. Raises UnknownError, which names the latest."""
        if (record := self.journal.release(release_id)) is not None:
            return record
        known = ", ".join(r.release_id for r in self.journal.summaries(limit=_LATEST_TOLD)) or "none yet"
        raise UnknownError("release", f"there is no release {release_id!r}; the latest are: {known}")

    def overview(self, model: str | None = None) -> Overview:
        """Return where everything stands, or the one model. A release that this version of Serin cannot read is a
        trouble, and one line."""
        records = current(self.journal, model)
        shown: list[Shown] = []
        troubles = [*self.site.troubles(), *self.untold(), *self._refusals(model)]
        traffic = {name: table for name, table in self.site.traffic().items() if model in (None, name)}
        if model is not None and not records and not traffic:
            self.check(model)  # one without a policy that was ever served is known too
        policies, waiting, asking, sampling, replays = self.site.policies(), {}, {}, {}, {}
        serving: dict[str, str] = {}
        for record in records:
            release, why = opened(record)
            shown.append(summary_of(record) if why and isinstance(record, ReleaseRecord) else record)
            if release is None:
                troubles += [why] if why else []
                continue
            if (serves := serves_all(release)) is not None:
                serving[release.model] = serves.number
            policy = policies.get(release.model)
            if policy is not None and (settings := pending_settings(release, policy)):
                waiting[release.model] = settings
            if release.phase is Phase.SUITE and (progress := self.site.asking(release.model)):
                asking[release.model] = tuple(progress)
            if release.phase is Phase.SHADOW and (replayed := self.replay(release.id)) is not None:
                replays[release.model] = replayed
            if (sampled := last_set(self.journal, release.model)) is not None:
                sampling[release.model] = sampled
        return Overview(
            records=tuple(shown),
            now_s=self.clock.now_s(),
            traffic=traffic,
            deployments={name: found for name, found in self.site.deployments().items() if model in (None, name)},
            freezes=tuple(self.frozen(model)),
            troubles=tuple(troubles),
            waiting=waiting,
            asking=asking,
            sampling=sampling,
            able=self.site.abilities(),
            replays=replays,
            watched=watched_in(serving, policies, self.watched),
            parts=tuple(self.site.parts()),
            written_at_s=self.journal.written_at_s(),
        )

    def _refusals(self, model: str | None) -> Iterator[str]:
        """Yield which candidates are refused, and why; of many models, those that are asked after."""
        names = [model] if model is not None else sorted(self.models)
        for name in names if len(names) <= BLOCKS_MAX else ():
            if (refused := refused_now(self.journal, name)) is not None:
                which = f"the alias candidate of {name} stands on version {refused.version}, which is refused"
                yield f"{which}: {refused.reason}"

    def report(self, release_id: str) -> Report:
        """The report of the release, from its journal alone. Raises as `release`; PermanentError where the chain of
        the journal is broken."""
        from controller.report.build import build_report  # templates take long to import
        from controller.report.page import render_html, render_json

        record = self.release(release_id)
        data = build_report(record, walk(self.journal, record))
        return Report(render_html(data), render_json(data))

    def entries(self, release_id: str) -> Iterator[RecordedEntry]:
        """The journal of the release, with its chain checked. Raises as `report`."""
        return walk(self.journal, self.release(release_id))

    def history(self, model: str | None = None, *, since_s: float, limit: int = 1_000) -> Sequence[Happening]:
        """Return what happened since then, to the model or to all: the latest ``limit``, oldest first. Raises as
        ``releases``."""
        if model is not None:
            model_named(model)
        found: list[Happening] = []
        models = {model} if model is not None else set(self.models)
        for summary in self.releases(model, limit=limit):
            if not summary.active and summary.phase_since_s < since_s:
                continue
            models.add(summary.model)
            stream = release_stream(summary.release_id)
            entries = self.journal.of_kinds(stream, OF_RELEASES, since_s=0.0, limit=limit)
            found += of_release(summary.release_id, summary.model, summary.version, entries, since_s=since_s)
        for stream in (INSTALLATION, *map(model_stream, sorted(models))):
            found += of_model(self.journal.of_kinds(stream, OF_MODELS, since_s=since_s, limit=limit))
        in_order = sorted((one for one in found if bears_on(one, model)), key=lambda one: one.at_s)
        return list(news(in_order))[-limit:]

    def note(self, note: Note) -> None:
        """Keep in the journal what concerns the whole installation."""
        self.journal.note(INSTALLATION, [entry_of(note, self.clock.now_s())])

    def _ask(
        self, ask: Ask, model: str, reason: str, by: str, command_id: str, version: str | None = None
    ) -> tuple[Command, bool]:
        self.check(model)
        command = Command(command_id or uuid.uuid4().hex, ask, model, version, reason, by, self.clock.now_s())
        try:
            new = self.inbox.put(command)
        except TransientError as error:
            if ask not in WAYS_BACK or not self._goes_back(ask, model, Override(reason, by, command.at_s)):
                raise
            log.warning("%s of %s could not be recorded, and is done: %s", ask, model, error)
            new = True
        self.wake()
        return command, new

    def _goes_back(self, ask: Ask, model: str, override: Override) -> bool:
        """Send users back at once; whether that is what the word asks for. An abort is of a release that has some."""
        if self.retreat is None:
            return False
        to = None
        if ask is Ask.ABORT:
            found = self.journal.releases(model=model, active=True, limit=1)
            release, _ = opened(found[0]) if found else (None, "")
            if release is None or release.stable is None or release.phase not in EXPOSED:
                return False
            to = release.stable.number
        self.retreat(model, to, override)
        return True

    def check(self, model: str) -> None:
        """Raise UsageError where no model can be called so, UnknownError where it has no policy."""
        if model_named(model) not in self.models:
            known = (
                ", ".join(sorted(self.models))
                or "none yet: a policy makes one known, by `serin up --policy FILE` or as a ReleasePolicy object"
            )
            raise UnknownError("model", f"there is no policy for model {model!r}; models here: {known}")
