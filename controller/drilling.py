"""The course of one drill: watch, inject, watch, undo, and watch until all is as before."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from controller.core.drills import By, Counted, Drill, Drilled, Noted, alerts_first
from controller.errors import SerinError
from controller.ports.clock import Clock
from controller.ports.drills import Injection, Lookout, Mark, Seen, Users

OVER_WITHIN_S: Final = 120.0
_LOOK_EVERY_S: Final = 1.0
_RECENT: Final = 5  # looks that tell how users fare now
_SLOW_TIMES: Final = 2.0  # of what it was before
_SLOW_BEYOND_MS: Final = 50.0


@dataclass(frozen=True, slots=True)
class Times:
    """The lengths of a drill. ``see_s``: how long an alert is waited for where the failure itself is over sooner."""

    before_s: float = 10.0
    for_s: float = 30.0
    see_s: float = 25.0
    over_within_s: float = OVER_WITHIN_S


@dataclass(frozen=True, slots=True)
class DrillPorts:
    """``wait`` returns whether somebody wants the drill to end. ``tell`` hears of each thing as it is noted."""

    injection: Injection
    lookout: Lookout
    users: Users
    clock: Clock
    wait: Callable[[float], bool]
    tell: Callable[[Noted], None]


def drilled(drill: Drill, model: str, times: Times, ports: DrillPorts) -> Drilled:
    """Play the drill to its end; what was injected is undone before this returns, whatever is raised.

    Raises:
        UsageError: it cannot be injected here; nothing was done.
        TransientError: this machine does not let it be injected now.
    """
    return _Course(drill, model, times, ports).played()


@dataclass(slots=True)
class _Course:
    drill: Drill
    model: str
    times: Times
    ports: DrillPorts
    noted: list[Noted] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)  # one a look
    first: Seen = field(default_factory=Seen)
    last: Seen = field(default_factory=Seen)
    moved: str = ""
    injected: bool = False
    stopped: bool = False
    before: Counted = field(default_factory=Counted)
    over: Mark | None = None  # since when users fare as before
    failing: bool = False
    slow: bool = False

    def played(self) -> Drilled:
        began_s, start = self._now_s(), self.ports.users.mark()
        self.first = self.last = self.ports.lookout.look()
        self._watch_for(self.times.before_s)
        calm = self.ports.users.mark()
        self.before = self.ports.users.between(start, calm)
        injected_s, undone_s, over_s = None, None, None
        if not self.stopped:
            try:
                injected_s = self._now_s()
                self._note(By.DRILL, self.ports.injection.begin())
                self.injected = True
                if self.drill.lasts:
                    self._watch_while_injected()
                undone_s = self._now_s()
                over_s = self._watched_until_over(undone_s)
                self._hear()
            finally:
                self.ports.injection.end()
        end = self.ports.users.mark()
        over = self.over or end
        return Drilled(
            drill=self.drill,
            model=self.model,
            began_at_s=began_s,
            injected_at_s=injected_s,
            undone_at_s=undone_s,
            over_at_s=over_s,
            ended_at_s=self._now_s(),
            course=tuple(self.noted),
            before=self.before,
            during=self.ports.users.between(calm, over),
            after=self.ports.users.between(over, end),
            moved=self.moved,
            own=tuple(self.ports.injection.checks()) if injected_s is not None else (),
            stopped=self.stopped,
        )

    def _watch_while_injected(self) -> None:
        """Undone at its end, whatever is raised within: nothing waits for what comes after."""
        try:
            self._watch_for(self.times.for_s, or_until=self.ports.injection.broken_off)
        finally:
            self.ports.injection.end()
        self._note(By.DRILL, self.drill.undone + (", earlier than planned" if self.stopped else ""))

    def _watch_for(self, length_s: float, *, or_until: Callable[[], str] = str) -> None:
        until_s = self.ports.clock.monotonic_s() + length_s
        while not self.stopped and (left_s := until_s - self.ports.clock.monotonic_s()) > 0:
            self.stopped = self.ports.wait(min(_LOOK_EVERY_S, left_s))
            self._look()
            if why := or_until():
                self._note(By.DRILL, why)
                self.stopped = True

    def _watched_until_over(self, undone_s: float) -> float | None:
        """Return when all was as before; None where it was not in time. An alert may come later than that."""
        over_s, ending = None, self.stopped
        while True:
            self._look()
            if not self._as_before():
                over_s, self.over = None, None
            elif over_s is None:
                over_s, self.over = self._now_s(), self.ports.users.mark()
            passed_s = self._now_s() - undone_s
            if passed_s > self.times.over_within_s:
                return over_s
            if over_s is not None and (ending or self.drill.lasts or self._is_told(passed_s)):
                return over_s
            if self.ports.wait(_LOOK_EVERY_S):
                if ending:  # the second wish: nothing more is waited for
                    return over_s
                ending = self.stopped = True
                if self.drill.rehearses:  # it would go on until a gate has found it
                    self.ports.injection.end()

    def _is_told(self, passed_s: float) -> bool:
        """Return whether an alert has come that may, or is waited for no longer."""
        come = any(one.by is By.ALERT for one in self.noted)
        return come or not self.drill.alerts or passed_s > self.times.see_s

    def _as_before(self) -> bool:
        """Return whether whoever answered before does, and users fare as then."""
        faults = self.last.faults.keys() - self.first.faults.keys()
        if self.last.unseen or faults or not self.ports.injection.is_over():
            return False
        lately = self._lately()
        return not lately.failed and not self._is_slow(lately)

    def _lately(self) -> Counted:
        now = self.ports.users.mark()
        return self.ports.users.between(self.marks[-_RECENT:][0] if self.marks else now, now)

    def _is_slow(self, found: Counted) -> bool:
        if found.p95_ms is None or self.before.p95_ms is None:
            return False
        return found.p95_ms > max(_SLOW_TIMES * self.before.p95_ms, self.before.p95_ms + _SLOW_BEYOND_MS)

    # --- looking -----------------------------------------------------------------------------------------------------
    def _look(self) -> None:
        self.marks.append(self.ports.users.mark())
        self._hear()
        try:
            seen = self.ports.lookout.look()
        except SerinError as error:
            self._note(By.DOCTOR, str(error))
            return
        for by, sentence in self._changes(seen):
            self._note(by, sentence)
        self.last = seen
        self._tell_of_users()

    def _hear(self) -> None:
        for sentence in self.ports.injection.told() if self.injected else ():
            self._note(self.drill.told_by, sentence)

    def _changes(self, seen: Seen) -> Iterator[tuple[By, str]]:
        was = self.last
        if seen.unseen and not was.unseen:
            yield By.DRILL, f"nothing can be observed: {seen.unseen}"
        for name in seen.faults.keys() - was.faults.keys():
            yield By.DOCTOR, f"{name} {seen.faults[name]}"
        for name in was.faults.keys() - seen.faults.keys():
            yield By.DOCTOR, f"{name} answers again"
        for name in alerts_first(seen.alerts, self.drill):
            if was.alerts.get(name) != seen.alerts[name]:
                yield By.ALERT, f"{name} is {seen.alerts[name]}"
        for name in was.alerts.keys() - seen.alerts.keys() - self.first.alerts.keys():
            yield By.ALERT, f"{name} is over"
        for one in seen.happenings[len(was.happenings) :]:
            yield By.JOURNAL, one
        for what, now in seen.standing.items():
            if (before := self.first.standing.get(what)) != now and not self.moved:
                self.moved = f"{what} was {before or 'nothing'} and is {now or 'nothing'}"
                yield By.JOURNAL, self.moved

    def _tell_of_users(self) -> None:
        lately = self._lately()
        if lately.failed and not self.failing:
            how = ", ".join(f"{times:,} times {why}" for why, times in (lately.failures or {}).items() if times)
            self._note(By.USERS, f"requests fail: {how}")
        elif self.failing and not lately.failed:
            self._note(By.USERS, "every request is answered")
        slow = self._is_slow(lately)
        if slow != self.slow and lately.p95_ms is not None and self.before.p95_ms is not None:
            word = f"P95 {lately.p95_ms:.0f} ms" + (f", {self.before.p95_ms:.0f} ms before" if slow else ": as before")
            self._note(By.USERS, word)
        self.failing, self.slow = bool(lately.failed), slow

    def _note(self, by: By, what: str) -> None:
        one = Noted(self._now_s(), by, what)
        self.noted.append(one)
        self.ports.tell(one)

    def _now_s(self) -> float:
        return self.ports.clock.now_s()
