"""The course of a drill on ports: what is noted, what is promised, and that what was injected is undone."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from controller.core.drills import DRILLS, By, Check, Counted, Drilled, Mode, Noted, sentence
from controller.drilling import DrillPorts, Times, drilled
from controller.errors import TransientError, UsageError
from controller.ports.drills import Mark, Seen
from controller.report.drill_page import as_document, render_html
from gates.outcome import Outcome
from tests.fakes.clock import FakeClock

RUNBOOKS = Path(__file__).parents[2] / "deploy/runbooks"
TIMES = Times(before_s=2.0, for_s=5.0, see_s=4.0, over_within_s=20.0)
WELL = Seen(standing={"traffic of intent": "1 100 %"})


@dataclass
class World:
    """An installation in memory. ``shown`` says by the seconds since the injection what is seen; ``failing``: which of
    them users' requests fail in; ``stop_at_s``: when somebody wants it to end."""

    shown: Callable[[float], Seen] = lambda _: WELL
    failing: tuple[float, float] = (0.0, 0.0)
    over_after_s: float = 2.0
    stop_at_s: tuple[float, ...] = ()
    broken: str = ""
    refuses: Exception | None = None
    own: tuple[Check, ...] = ()
    clock: FakeClock = field(default_factory=FakeClock)
    injected_s: float | None = None
    ended: int = 0
    sent: int = 0
    failed: int = 0
    stops: list[float] = field(default_factory=list)
    told_lines: list[str] = field(default_factory=list)
    targets: Sequence[str] = ("intent-v1",)

    # --- the injection ---
    def begin(self) -> str:
        if self.refuses is not None:
            raise self.refuses
        self.injected_s = self.clock.now_s()
        return "it was injected"

    def end(self) -> None:
        self.ended += 1

    def broken_off(self) -> str:
        return self.broken

    def told(self) -> Sequence[str]:
        told, self.told_lines = self.told_lines, []
        return told

    def checks(self) -> Sequence[Check]:
        return self.own

    def is_over(self) -> bool:
        return self.since_s >= self.over_after_s

    # --- what is seen, and users ---
    @property
    def since_s(self) -> float:
        return -1.0 if self.injected_s is None else self.clock.now_s() - self.injected_s

    def look(self) -> Seen:
        return self.shown(self.since_s)

    def mark(self) -> Mark:
        return Mark(self.sent, self.sent - self.failed, {"503": self.failed})

    def between(self, first: Mark, last: Mark) -> Counted:
        failures = {"503": last.failures["503"] - first.failures["503"]}
        return Counted(last.sent - first.sent, last.answered - first.answered, failures, 5.0, 9.0)

    def wait(self, length_s: float) -> bool:
        self.clock.pass_s(length_s)
        self.sent += 10
        if self.failing[0] <= self.since_s < self.failing[1]:
            self.failed += 10
        stops = [at_s for at_s in self.stop_at_s if at_s <= self.since_s and at_s not in self.stops]
        self.stops += stops
        return bool(stops)

    def played(self, mode: Mode) -> Drilled:
        noted: list[Noted] = []
        ports = DrillPorts(self, self, self, self.clock, self.wait, noted.append)
        found = drilled(DRILLS[mode], "intent", TIMES, ports)
        assert tuple(noted) == found.course, "all is told as it comes"
        return found


def during(from_s: float, to_s: float, **seen: object) -> Callable[[float], Seen]:
    return lambda since_s: replace(WELL, **seen) if from_s <= since_s < to_s else WELL  # type: ignore[arg-type]


GONE = {"faults": {"intent-v1": "does not answer"}}


@pytest.mark.parametrize("mode", Mode)
def test_what_is_promised_is_what_the_runbook_says(mode: Mode) -> None:
    """Word for word; and each is injected."""
    one = DRILLS[mode]
    page = (RUNBOOKS / one.runbook).read_text(encoding="utf-8")
    done = re.split(r"^## .*$", page, flags=re.MULTILINE)[2]
    assert " ".join(done.split()) == one.promise
    assert page.startswith(f"# {mode}: {one.title}\n")
    assert one.injects


def test_a_replica_that_ends_is_seen_and_over() -> None:
    """The first sight counts, whoever had it; users' failures are counted until all was as before."""
    world = World(during(1.0, 3.0, **GONE), failing=(0.0, 3.0), over_after_s=3.0)
    found = world.played(Mode.F5)
    assert found.outcome is Outcome.PASS
    assert (found.seen, found.injected_at_s) == (
        Noted(world.injected_s + 1.0, By.DOCTOR, "intent-v1 does not answer"),
        world.injected_s,
    )  # type: ignore[operator]
    assert (found.before.failed, found.during.failed, found.after.failed) == (0, 20, 0)
    assert [one.what for one in found.course if one.by is By.USERS] == [
        "requests fail: 10 times 503",
        "every request is answered",
    ]
    assert sentence(found).startswith("Noticed, handled as the runbook says, and over; 20 of")


def test_what_is_injected_for_a_time_is_undone_before_it_is_waited_for() -> None:
    world = World(during(1.0, 9.0, alerts={"SerinSlowP95": "pending"}))
    found = world.played(Mode.F1)
    assert (found.outcome, found.undone_at_s) == (Outcome.PASS, world.injected_s + TIMES.for_s)  # type: ignore[operator]
    assert [one.what for one in found.course] == [
        "it was injected",
        "SerinSlowP95 is pending",
        "the replicas go on",
    ]


def test_what_nobody_saw_is_no_pass() -> None:
    """That the drill's own requests failed is no sight: nobody sends them but the drill."""
    found = World(failing=(0.0, 2.0)).played(Mode.F5)
    assert (found.outcome, found.seen) == (Outcome.INCONCLUSIVE, None)


def test_an_alert_of_before_is_no_sight() -> None:
    found = World(lambda _: replace(WELL, alerts={"SerinSlowP95": "firing"})).played(Mode.F1)
    assert found.seen is None


@pytest.mark.parametrize("what", ["traffic of intent", "the newest release of intent"])
def test_whoever_is_blamed_breaks_a_promise(what: str) -> None:
    world = World(during(1.0, 99.0, alerts={"SerinSlowP95": "firing"}, standing={**WELL.standing, what: "2 100 %"}))
    found = world.played(Mode.F7)
    assert found.outcome is Outcome.FAIL
    assert found.moved.startswith(what)
    assert sentence(found).startswith("No version is blamed")


def test_what_does_not_come_back_is_an_error() -> None:
    found = World(during(1.0, 999.0, **GONE)).played(Mode.F5)
    assert (found.outcome, found.over_at_s) == (Outcome.ERROR, None)
    assert found.ended_at_s - (found.undone_at_s or 0) <= TIMES.over_within_s + 1


def test_the_injections_own_checks_count() -> None:
    check = Check("It is refused", Outcome.FAIL, "It was not.")
    assert World(during(0.5, 1.5, **GONE), own=(check,)).played(Mode.F4).outcome is Outcome.FAIL


def test_a_wish_to_end_undoes_it_at_once() -> None:
    world = World(during(1.0, 2.0, **GONE), stop_at_s=(2.0,))
    found = world.played(Mode.F1)
    assert (found.stopped, found.outcome) == (True, Outcome.INCONCLUSIVE)
    assert (found.undone_at_s, world.ended) == (world.injected_s + 2.0, 2)  # type: ignore[operator]
    assert "the replicas go on, earlier than planned" in [one.what for one in found.course]


def test_a_second_wish_waits_for_nothing_more() -> None:
    world = World(during(1.0, 99.0, **GONE), stop_at_s=(1.0, 3.0))
    found = world.played(Mode.F1)
    assert (found.over_at_s, found.ended_at_s) == (None, world.injected_s + 3.0)  # type: ignore[operator]


def test_a_wish_before_anything_is_injected_injects_nothing() -> None:
    world = World(stop_at_s=(-1.0,))
    found = world.played(Mode.F1)
    assert (world.injected_s, found.injected_at_s, found.outcome) == (None, None, Outcome.INCONCLUSIVE)


def test_whatever_is_raised_it_is_undone() -> None:
    def fails(since_s: float) -> Seen:
        if since_s > 1.0:
            raise RuntimeError("a defect")
        return WELL

    world = World(fails)
    with pytest.raises(RuntimeError):
        world.played(Mode.F1)
    assert world.ended


def test_a_source_that_does_not_answer_is_noted_and_ends_nothing() -> None:
    def away(since_s: float) -> Seen:
        if 1.0 < since_s < 3.0:
            raise TransientError("store", "locked")  # type: ignore[arg-type]
        return WELL

    found = World(away).played(Mode.F1)
    assert "locked" in next(one.what for one in found.course if one.by is By.DOCTOR)


def test_what_cannot_be_injected_here_is_said() -> None:
    world = World(refuses=UsageError("it has no worker"))
    with pytest.raises(UsageError, match="no worker"):
        world.played(Mode.F3)


def test_an_injection_that_breaks_off_ends_the_drill() -> None:
    found = World(broken="the guard was ended: nothing more is stopped").played(Mode.F1)
    assert found.stopped
    assert (found.undone_at_s or 0) - (found.injected_at_s or 0) <= 1.0


def test_the_page_tells_it_and_obeys_nobody() -> None:
    """One file without a script; what logs said is text."""
    world = World(during(1.0, 3.0, faults={"intent-v1": "said <script>alert(1)</script>"}), over_after_s=3.0)
    found = world.played(Mode.F5)
    page = render_html(found)
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    for part in ("Against what is promised", "+1.0 s", "f5-cold-starts.md", "Users meanwhile"):
        assert part in page
    document = as_document(found)
    assert (document["outcome"], document["users"]["before"]["sent"], len(document["checks"])) == ("pass", 20, 3)


def test_what_could_not_be_looked_at_is_no_sight() -> None:
    """Nor is all as before while nobody can look."""
    found = World(during(1.0, 9.0, unseen="nobody listens")).played(Mode.F5)
    assert [(one.by, one.what) for one in found.course if "observed" in one.what] == [
        (By.DRILL, "nothing can be observed: nobody listens")
    ]
    assert found.seen is None
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.over_at_s is not None
    assert found.injected_at_s is not None
    assert found.over_at_s - found.injected_at_s >= 9.0
