"""The use cases: what people, pipelines and pages ask of an installation, whichever way they come.

A command is kept and answered at once; what came of it stands in the journal. All of it needs the store alone, so it
works while no controller runs.
"""

import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from controller.core.commands import ANY_MODEL, Ask, Command, Freeze
from controller.errors import UsageError
from controller.journal.codec import entry_of
from controller.journal.notes import Note
from controller.naming import model_named, version_named
from controller.ports.clock import Clock
from controller.ports.journal import INSTALLATION, Journal, ReleaseRecord, ReleaseSummary
from controller.ports.people import Freezes, Inbox

_LATEST_TOLD: Final = 5


class UnknownError(UsageError):
    """The thing that was asked for is not here. ``field`` says what that is: a model, or a release."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Service:
    """Everything that is asked of one installation. ``models`` are those that have a policy: of others no release ever
    starts. ``wake`` makes the control loop look now, where one runs in this process.

    Every method that names a model raises UsageError where no model can be called so, and UnknownError where it has no
    policy; what writes raises ConflictError where too many wait, TransientError where the store does not answer.
    """

    journal: Journal
    inbox: Inbox
    freezes: Freezes
    clock: Clock
    models: Collection[str]
    wake: Callable[[], None] = lambda: None

    def start(self, model: str, version: str, *, reason: str, by: str, command_id: str = "") -> tuple[Command, bool]:
        """Ask for a release of the version; the command, and whether it is new."""
        return self._ask(Ask.START, model, reason, by, command_id, version_named(version))

    def abort(self, model: str, *, reason: str, by: str, command_id: str = "") -> tuple[Command, bool]:
        """Ask that the release in progress ends, all traffic at the stable version."""
        return self._ask(Ask.ABORT, model, reason, by, command_id)

    def rollback(self, model: str, *, reason: str, by: str, command_id: str = "") -> tuple[Command, bool]:
        """Ask that the known good version serves everybody."""
        return self._ask(Ask.ROLLBACK, model, reason, by, command_id)

    def resume(self, model: str, *, reason: str, by: str, command_id: str = "") -> tuple[Command, bool]:
        """Ask that a held release goes on, with a new deadline."""
        return self._ask(Ask.RESUME, model, reason, by, command_id)

    def is_taken_up(self, command: Command) -> bool:
        """Return whether a release answers the command by now.

        Raises:
            UsageError: none ever will; says why.
        """
        if any(waiting.id == command.id for waiting in self.inbox.waiting()):
            return False
        if (outcome := self.inbox.outcome(command.id)) is not None:
            raise UsageError(f"{command.model}: no release of version {command.version}: {outcome}")
        return True

    def release_of(self, command: Command) -> ReleaseSummary | None:
        """The release that the command started; None until it is there."""
        found = next((r for r in self.journal.current(model=command.model) if r.version == command.version), None)
        return found if found is not None and found.started_at_s >= command.at_s else None

    def freeze(self, model: str, *, reason: str, by: str) -> Freeze:
        """Halt every change of the model, or of every one (``ANY_MODEL``), until it is lifted."""
        if model != ANY_MODEL:
            self.check(model)
        freeze = Freeze(model, reason, by, self.clock.now_s())
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
        """Newest first, without their states; ``before`` a release's id, those that began earlier."""
        return self.journal.summaries(model=model, limit=limit, before=before)

    def release(self, release_id: str) -> ReleaseRecord:
        """The release with its state. Raises UnknownError, which names the latest."""
        if (record := self.journal.release(release_id)) is not None:
            return record
        known = ", ".join(r.release_id for r in self.journal.summaries(limit=_LATEST_TOLD)) or "none yet"
        raise UnknownError("release", f"there is no release {release_id!r}; the latest are: {known}")

    def note(self, note: Note) -> None:
        """Keep in the journal what concerns the whole installation."""
        self.journal.note(INSTALLATION, [entry_of(note, self.clock.now_s())])

    def _ask(
        self, ask: Ask, model: str, reason: str, by: str, command_id: str, version: str | None = None
    ) -> tuple[Command, bool]:
        self.check(model)
        command = Command(command_id or uuid.uuid4().hex, ask, model, version, reason, by, self.clock.now_s())
        new = self.inbox.put(command)
        self.wake()
        return command, new

    def check(self, model: str) -> None:
        """Raise UsageError where no model can be called so, UnknownError where it has no policy."""
        if model_named(model) not in self.models:
            known = ", ".join(sorted(self.models)) or "none yet: `serin up --policy FILE` takes one in"
            raise UnknownError("model", f"there is no policy for model {model!r}; models here: {known}")
