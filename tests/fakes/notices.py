"""The queue of notices in memory, and a channel that takes what it is told."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from controller.core.commands import ANY_MODEL
from controller.core.notices import Message, Notice, Severity
from controller.ports.notices import WAITING_MAX, Standing, UndeliveredError


@dataclass
class _Kept:
    target: str
    notice: Notice
    due_at_s: float
    state: str
    message_id: str | None = None
    attempts: int = 0
    trouble: str = ""
    settled_at_s: float | None = None


class FakeNotices:
    """Implements ``NoticeQueue``."""

    def __init__(self, *, waiting_max: int = WAITING_MAX) -> None:
        self._kept: list[_Kept] = []
        self._waiting_max = waiting_max

    def put(self, notice: Notice, targets: Sequence[str], *, due_at_s: float, silent: bool = False) -> None:
        for target in targets:
            if any(one.target == target and one.notice.id == notice.id for one in self._kept):
                continue
            full = len(self._waiting(target)) >= self._waiting_max
            state = "silent" if silent else "given_up" if full else "waiting"
            one = _Kept(target, notice, due_at_s, state, settled_at_s=None if state == "waiting" else notice.at_s)
            one.trouble = f"{self._waiting_max:,} wait for it already" if state == "given_up" else ""
            self._kept.append(one)

    def next(self, target: str, *, now_s: float, group_max: int) -> Message | None:
        due = [one for one in self._waiting(target) if one.due_at_s <= now_s]
        if not due:
            return None
        first = min(due, key=_urgency)
        if first.message_id is None:
            alike = [one for one in due if one.message_id is None and _group(one) == _group(first)]
            for one in alike[:group_max]:
                one.message_id = first.notice.id
        held = [one for one in self._waiting(target) if one.message_id == first.message_id]
        assert first.message_id is not None
        return Message(first.message_id, tuple(one.notice for one in held), max(one.attempts for one in held))

    def delivered(self, target: str, message_id: str, *, at_s: float) -> None:
        for one in self._of(target, message_id):
            one.state, one.settled_at_s, one.trouble, one.attempts = "delivered", at_s, "", one.attempts + 1
        for one in self._waiting(target):
            one.due_at_s = min(one.due_at_s, at_s) if one.attempts else one.due_at_s

    def failed(self, target: str, message_id: str, trouble: str, *, due_at_s: float | None, at_s: float) -> None:
        for one in self._of(target, message_id):
            one.attempts, one.trouble = one.attempts + 1, trouble
            if due_at_s is None:
                one.state, one.settled_at_s = "given_up", at_s
            else:
                one.due_at_s = due_at_s

    def withdraw(self, named: Collection[str], *, at_s: float) -> int:
        others = [one for one in self._kept if one.target not in named and one.state in ("waiting", "given_up")]
        waited = [one for one in others if one.state == "waiting"]
        for one in others:
            one.state, one.settled_at_s = "withdrawn", at_s if one.settled_at_s is None else one.settled_at_s
        return len(waited)

    def standing(self) -> Sequence[Standing]:
        targets = sorted({one.target for one in self._kept if one.state in ("waiting", "given_up")})
        return tuple(map(self._standing, targets))

    def kept_silent(self, model: str, *, since_s: float) -> int:
        silent = (one.notice for one in self._kept if one.state == "silent")
        return len({one.id for one in silent if one.at_s >= since_s and model in (one.model, ANY_MODEL)})

    def prune(self, before_s: float) -> int:
        settled = [one for one in self._kept if one.settled_at_s is not None and one.settled_at_s < before_s]
        old = [*settled, *(one for one in self._kept if one.state == "waiting" and one.notice.at_s < before_s)]
        self._kept = [one for one in self._kept if one not in old]
        return len(old)

    def _standing(self, target: str) -> Standing:
        mine = [one for one in self._kept if one.target == target]
        waiting = [one for one in mine if one.state == "waiting"]
        last_s = max((one.settled_at_s or 0.0 for one in mine if one.state == "delivered"), default=0.0)
        lost = [one for one in mine if one.state == "given_up" and (one.settled_at_s or 0.0) > last_s]
        told = [one for one in mine if one.trouble and one.state != "delivered"]
        trouble = max(told, key=lambda one: one.attempts).trouble if told else ""
        return Standing(
            target, len(waiting), min((one.notice.at_s for one in waiting), default=None), len(lost), trouble
        )

    def _waiting(self, target: str) -> list[_Kept]:
        return [one for one in self._kept if one.target == target and one.state == "waiting"]

    def _of(self, target: str, message_id: str) -> list[_Kept]:
        return [one for one in self._waiting(target) if one.message_id == message_id]


def _urgency(one: _Kept) -> int:
    return list(Severity).index(one.notice.severity)


def _group(one: _Kept) -> tuple[str, str, Severity]:
    return one.notice.model, one.notice.version, one.notice.severity


@dataclass
class FakeChannel:
    """Implements ``Channel``. ``raises``: what it answers instead, once each."""

    name: str = "chat"
    severities: frozenset[Severity] = frozenset(Severity)
    models: frozenset[str] = frozenset()
    group_max: int = 1
    raises: list[Exception] = field(default_factory=list)
    told: list[Message] = field(default_factory=list)

    def send(self, message: Message) -> None:
        self.told.append(message)
        if self.raises:
            raise self.raises.pop(0)


AWAY = UndeliveredError("127.0.0.1 cannot be reached")
