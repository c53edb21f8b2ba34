"""An inbox in memory."""

from collections.abc import Sequence

from controller.core.commands import Command
from controller.errors import ConflictError, Source
from controller.ports.people import WAITING_MAX

TAKEN_UP = "taken up"


class FakeInbox:
    def __init__(self) -> None:
        self._commands: dict[str, Command] = {}
        self.answered: dict[str, str] = {}  # command id -> what became of it

    def put(self, command: Command) -> bool:
        if command.id in self._commands:
            return False
        alike = [one for one in self.waiting() if (one.model, one.ask) == (command.model, command.ask)]
        if len(alike) >= WAITING_MAX:
            raise ConflictError(Source.INBOX, f"{WAITING_MAX} commands to {command.ask} {command.model} wait already")
        self._commands[command.id] = command
        return True

    def waiting(self) -> Sequence[Command]:
        return tuple(command for command in self._commands.values() if command.id not in self.answered)

    def discard(self, command_id: str, outcome: str) -> None:
        if command_id in self._commands:
            self.answered.setdefault(command_id, outcome)

    def outcome(self, command_id: str) -> str | None:
        answer = self.answered.get(command_id)
        return None if answer == TAKEN_UP else answer

    def prune(self, before_s: float) -> int:
        old = [
            command_id
            for command_id, answer in self.answered.items()
            if answer != TAKEN_UP and self._commands[command_id].at_s < before_s
        ]
        for command_id in old:
            del self._commands[command_id], self.answered[command_id]
        return len(old)

    def take_up(self, command_ids: Sequence[str]) -> None:
        """All of them or none: what the journal does in its transaction."""
        ids = set(command_ids)
        for command_id in ids:
            if command_id not in self._commands or command_id in self.answered:
                raise ConflictError(Source.INBOX, f"command {command_id} does not wait in the inbox")
        self.answered.update(dict.fromkeys(ids, TAKEN_UP))
