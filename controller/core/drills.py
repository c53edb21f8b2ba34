"""Drills: the failure modes that can be injected into an installation, and what Serin promises for each.

The promise for a mode is, word for word, what its runbook (``deploy/runbooks``) says that Serin has done. Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gates.outcome import Outcome, combine

FOR_S_MAX: Final = 900.0
STARTS_SPARE: Final = 2
"""The most recent starts with which a drill may still kill a replica: a drill must not use up the limit of starts."""


class Mode(StrEnum):
    """The number of a failure mode."""

    F1 = "F1"
    F2 = "F2"
    F3 = "F3"
    F4 = "F4"
    F5 = "F5"
    F6 = "F6"
    F7 = "F7"
    F8 = "F8"
    F9 = "F9"


class Means(StrEnum):
    """The way in which a mode is injected."""

    SLOWED = "slowed"  # the replicas of the version with the most users are stopped and continued in turns
    ALL_SLOWED = "all slowed"  # the same, for the replicas of every version with users
    WORKER_KILLED = "worker killed"
    REPLICA_KILLED = "replica killed"
    ALTERED_PACKAGE = "altered package"  # a replica runs on an altered copy of the package, and gets no requests
    STRANGERS = "strangers"  # requests without a valid token
    EXCHANGED_CLASSES = "exchanged classes"  # a rehearsal of a copy of the version with some classes exchanged
    SURER = "surer"  # a rehearsal of a copy of the version that is nearly always certain
    LONG_LISTS = "long lists"  # requests as any client could send them


class By(StrEnum):
    """The source that saw or did something during a drill."""

    DRILL = "drill"
    USERS = "users"  # the drill's own requests, as their sender sees them
    DOCTOR = "doctor"
    ALERT = "alert"
    METRICS = "metrics"
    GATE = "gate"
    LOG = "log"  # processes and their logs
    JOURNAL = "journal"


SIGHTS: Final = frozenset({By.DOCTOR, By.ALERT, By.METRICS, By.GATE, By.LOG})
"""The sources that count as having noticed the failure: those that also work when no drill is running."""


@dataclass(frozen=True, slots=True)
class Drill:
    """One drill. ``promise``: the promise in the runbook. ``undone``: the words for the end of the injection.
    ``alerts``: the alerts that the failure can raise. ``told_by``: the source of what the injection itself reports.
    ``users_may_fail``: users' requests fail if no other replica answers them."""

    mode: Mode
    title: str
    runbook: str
    promise: str
    means: Means
    injects: str
    undone: str = ""
    alerts: tuple[str, ...] = ()
    told_by: By = By.LOG
    users_may_fail: bool = False

    @property
    def lasts(self) -> bool:
        """Return whether the failure lasts for a time that the caller chooses."""
        return self.means in (Means.SLOWED, Means.ALL_SLOWED, Means.LONG_LISTS)

    @property
    def rehearses(self) -> bool:
        """Return whether the drill is a rehearsal: a release whose answers no user gets."""
        return self.means in (Means.EXCHANGED_CLASSES, Means.SURER)


_SLOW_ALERTS: Final = ("SerinSlowP95", "SerinSlowP99", "SerinQueueing")
_GO_ON: Final = "the replicas go on"

DRILLS: Final[Mapping[Mode, Drill]] = {
    one.mode: one
    for one in (
        Drill(
            Mode.F1,
            "latency spike",
            "f1-latency-spike.md",
            "A candidate that is slower than stable beyond its margin is rolled back; if both are slow "
            "at once, neither is blamed.",
            Means.SLOWED,
            "keeps the replicas of the version with the most users stopped most of the time, for less "
            "than half a second at a stretch",
            undone=_GO_ON,
            alerts=_SLOW_ALERTS,
        ),
        Drill(
            Mode.F2,
            "accuracy regression after an update",
            "f2-accuracy-regression.md",
            "It is rolled back by accuracy on pairs, on live labels or on suites; in probation too.",
            Means.EXCHANGED_CLASSES,
            "registers a copy of the serving version in which a fifth of the classes are swapped in "
            "pairs, and rehearses it: it is judged like any release, but no user gets its answers",
            told_by=By.GATE,
        ),
        Drill(
            Mode.F3,
            "killed for memory",
            "f3-out-of-memory.md",
            "Workers are replaced, and a replica that cannot be kept running is restarted; a candidate "
            "like that is rolled back.",
            Means.WORKER_KILLED,
            "kills one inference worker with SIGKILL, as the kernel would",
            alerts=("SerinWorkersLost", "SerinOutOfMemory"),
            users_may_fail=True,
        ),
        Drill(
            Mode.F4,
            "tokenizer mismatch",
            "f4-tokenizer-mismatch.md",
            "The tokenizer is part of the package and of its fingerprint; a replica whose token ids "
            "differ from the manifest's is rejected before it gets traffic.",
            Means.ALTERED_PACKAGE,
            "starts a replica on a copy of the package in which two words of the vocabulary are swapped "
            "and all digests are correct; no request is sent to it",
        ),
        Drill(
            Mode.F5,
            "cold starts",
            "f5-cold-starts.md",
            "Replicas warm up before `/health` answers 200; traffic comes after that. The former version stays "
            "warm during probation.",
            Means.REPLICA_KILLED,
            "kills one replica with SIGKILL",
            alerts=("SerinColdStarts", "SerinTargetMissing"),
            users_may_fail=True,
        ),
        Drill(
            Mode.F6,
            "confident and wrong",
            "f6-calibration-drift.md",
            "`calibration.shadow` and the suites judge each candidate's gap and Brier score. Between "
            "releases nothing certifies them: a drift of confidences is only a warning.",
            Means.SURER,
            "registers a copy of the serving version with its logits multiplied by twenty, and rehearses "
            "it: it is judged like any release, but no user gets its answers",
            told_by=By.GATE,
        ),
        Drill(
            Mode.F7,
            "noisy neighbour",
            "f7-noisy-neighbour.md",
            "Versions are compared within one window of the same traffic, so the candidate is not blamed. A "
            "release waits at most until its deadline.",
            Means.ALL_SLOWED,
            "keeps the replicas of every version with users stopped most of the time, for less than half "
            "a second at a stretch",
            undone=_GO_ON,
            alerts=_SLOW_ALERTS,
        ),
        Drill(
            Mode.F8,
            "the tail of large batches",
            "f8-batch-tail.md",
            "Short texts overtake long ones that wait, and a request that finds the queue full is refused at once with "
            "`Retry-After`. A change of batch settings is a release of its own (`serin release again MODEL`), judged "
            "at P99.",
            Means.LONG_LISTS,
            "sends lists of long texts one after another, and short texts beside them, to the gateway",
            undone="no more long texts are sent",
            alerts=_SLOW_ALERTS,
            told_by=By.METRICS,
        ),
        Drill(
            Mode.F9,
            "unauthorised access",
            "f9-unauthorised-access.md",
            "Requests without a token, above their limit or from another site's page are refused before "
            "anything is computed; no text appears in a log.",
            Means.STRANGERS,
            "sends requests without a token and with an unknown one: to the gateway where clients need one, else "
            "to the controller's interface",
            alerts=("SerinAccessRefused",),
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Noted:
    """One thing that was seen or done."""

    at_s: float  # unix time
    by: By
    what: str


@dataclass(frozen=True, slots=True)
class Counted:
    """The drill's own requests in one part of the drill. ``failures``: the number by status or kind of error."""

    sent: int = 0
    answered: int = 0
    failures: Mapping[str, int] | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None

    @property
    def failed(self) -> int:
        return sum((self.failures or {}).values())


@dataclass(frozen=True, slots=True)
class Batches:
    """The recent work of a model's replicas. ``texts``: the mean number in one call of the engine. ``waiting``: the
    largest number of requests that waited."""

    texts: float = 0.0
    waiting: float = 0.0


@dataclass(frozen=True, slots=True)
class Check:
    """One promise, whether it was kept, and what was found."""

    promise: str
    outcome: Outcome
    found: str


@dataclass(frozen=True, slots=True)
class Drilled:
    """A drill that is over. Times are unix seconds: ``undone_at_s`` is when the injection ended, ``over_at_s`` when
    everything was as before (None: not in time). ``stopped``: a signal ended it early."""

    drill: Drill
    model: str
    began_at_s: float
    injected_at_s: float | None
    undone_at_s: float | None
    over_at_s: float | None
    ended_at_s: float
    course: tuple[Noted, ...]
    before: Counted
    during: Counted
    after: Counted
    moved: str  # what changed in the model's traffic or releases during the drill; empty: nothing
    own: tuple[Check, ...]  # the checks of the injection itself
    stopped: bool = False

    @property
    def seen(self) -> Noted | None:
        """Return what noticed the failure first; None if nothing did. In a rehearsal only the gates can notice it: an
        alert that comes meanwhile is about something else."""
        sights = {self.drill.told_by} if self.drill.rehearses else SIGHTS
        return next((one for one in self.course if one.by in sights), None)

    @property
    def checks(self) -> tuple[Check, ...]:
        """Return the checks of every drill, and those of this one."""
        return (_seen(self), *self.own, _blames_nobody(self), _over(self))

    @property
    def outcome(self) -> Outcome:
        """Return the worst outcome of the checks. A drill that was stopped early is never a pass."""
        outcomes = [check.outcome for check in self.checks]
        return combine([*outcomes, Outcome.INCONCLUSIVE] if self.stopped else outcomes)


def sentence(drilled: Drilled) -> str:
    """Return the conclusion in one sentence."""
    broken = [check for check in drilled.checks if check.outcome is not Outcome.PASS]
    failed = f"{drilled.during.failed + drilled.after.failed:,} of the drill's own requests failed"
    if drilled.stopped:
        return f"Stopped early, and undone; {failed}."
    if not broken:
        return f"Noticed, handled as the runbook says, and over; {failed}."
    first = min(broken, key=lambda check: check.outcome is not combine(one.outcome for one in broken))
    return f"{first.promise}: {first.found}"


def alerts_first(names: Iterable[str], drill: Drill) -> Sequence[str]:
    """Return the names of alerts, sorted: those that the drill expects come first."""
    return sorted(names, key=lambda name: (name not in drill.alerts, name))


def _seen(drilled: Drilled) -> Check:
    promise, began_s = "It is noticed without anybody looking for it", drilled.injected_at_s
    if began_s is None:
        return Check(promise, Outcome.INCONCLUSIVE, "Nothing was injected.")
    if (seen := drilled.seen) is None:
        more = ""
        if drilled.drill.lasts:
            late = "latency alerts look at five minutes: with --for-s 120 they can fire"
            more = f"; {(late if drilled.drill.alerts else 'the policy promises no latency, so no alert can come')}"
        return Check(promise, Outcome.INCONCLUSIVE, f"No doctor, alert, metric, gate or log reported it{more}.")
    return Check(promise, Outcome.PASS, f"After {seen.at_s - began_s:.1f} s by the {seen.by}: {seen.what}.")


def _blames_nobody(drilled: Drilled) -> Check:
    promise = f"No {('other ' if drilled.drill.rehearses else '')}version is blamed, and no traffic moves"
    if drilled.moved:
        return Check(promise, Outcome.FAIL, f"{drilled.moved}.")
    others = "" if not drilled.drill.rehearses else " but the drill's own"
    return Check(promise, Outcome.PASS, f"The traffic table is unchanged, and no release{others} began or ended.")


def _over(drilled: Drilled) -> Check:
    promise = "It ends by itself once its cause is gone"
    if drilled.undone_at_s is None:
        return Check(promise, Outcome.INCONCLUSIVE, "Nothing was injected.")
    if drilled.over_at_s is None:
        given_s = drilled.ended_at_s - drilled.undone_at_s
        kind = Outcome.INCONCLUSIVE if drilled.stopped else Outcome.ERROR
        return Check(promise, kind, f"After {given_s:.0f} s not everything was as before: see `serin doctor`.")
    after_s = max(0.0, drilled.over_at_s - drilled.undone_at_s)
    return Check(promise, Outcome.PASS, f"Everything answered as before after {after_s:.1f} s.")
