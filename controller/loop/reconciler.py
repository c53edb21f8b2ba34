"""The loop of one model: observe, judge, decide, record, carry out. Decisions are recorded before they are carried out,
so that the controller may be killed at any moment.

The actions are derived from the recorded state at each step (`core.actions.plan`), so a restarted controller plans the
same actions and goes on.
"""

import logging
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import TypeVar

from controller.core.actions import Action, CheckChampion, MoveChampion, Route, plan
from controller.core.commands import ANY_MODEL, BEGINNING, WAYS_BACK, Command, Freeze
from controller.core.decide import decide
from controller.core.events import ClockStepped, CommandTaken, Event, Looked, Started, fold
from controller.core.facts import Asked, BudgetSpent, Fact, FrozenBy
from controller.core.intake import Begin, Intake, Refused, Seen, intake
from controller.core.policy import ReleasePolicy
from controller.core.release import OBSERVED, SERVED, Phase, Purpose, Release, Version
from controller.core.traffic import TrafficTable
from controller.errors import (
    CandidateRefusedError,
    ConflictError,
    PermanentError,
    SerinError,
    Source,
    TransientError,
    UnreadableError,
)
from controller.journal.codec import release_of
from controller.journal.refused import Refusals
from controller.loop.calm import Glance, next_moment_s, stands_as_left
from controller.loop.candidate_poller import CandidatePoller
from controller.loop.error_budget import ErrorBudget
from controller.loop.executor import Executor, World
from controller.loop.identities import Identities
from controller.loop.jobs import Jobs, Running
from controller.loop.ledger import Ledger, Standing
from controller.loop.upkeep import Upkeep
from controller.ports.artifacts import Artifacts
from controller.ports.journal import Journal
from controller.ports.people import Inbox
from controller.ports.registry import CHAMPION

log = logging.getLogger(__name__)

_UNSETTLED = frozenset({Phase.PENDING, Phase.PREFLIGHT, Phase.SUITE, Phase.SHADOW, Phase.CANARY})
_STEPS_MAX = 8  # state changes in one round, before other models get their turn
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Observed:
    """The facts that a round reads once for all models: the waiting commands, by model, and the freezes in force."""

    asked: Mapping[str, Sequence[Command]]
    freezes: Sequence[Freeze]
    unknown: str = ""  # why it is not known which freezes are in force


def _unfenced() -> int | None:
    """Return the fence of a controller that shares its database with no other: none."""
    return None


@dataclass(frozen=True, slots=True)
class Books:
    """The journal, the inbox and the other parts that a reconciler needs besides the world. ``fence``: returns the
    leader's fence; raises ConflictError if this controller no longer leads. ``leads``: whether it leads."""

    journal: Journal
    inbox: Inbox
    poller: CandidatePoller
    artifacts: Artifacts
    jobs: Jobs
    fence: Callable[[], int | None] = _unfenced
    leads: Callable[[], bool] = lambda: True


class Reconciler:
    """The driver of one model's releases. Calls come one at a time."""

    def __init__(
        self,
        policy: ReleasePolicy,
        world: World,
        books: Books,
        executor: Executor,
        identities: Identities,
        budget: ErrorBudget,
    ) -> None:
        self.policy = policy
        self.accepts = True  # whether a release may begin: the model has a policy that can be read
        self.model = policy.model
        self._world = world
        self._books = books
        self._executor = executor
        self._identities = identities
        self._budget = budget
        self._refusals = Refusals(policy.model, books.journal, world.clock, books.fence)
        self._ledger = Ledger(world, books.journal, books.fence, books.leads)
        self._upkeep = Upkeep(policy.model, world, executor, identities, books.jobs)
        self._standing: Standing | None = None
        self._is_known = False  # whether the standing is that of the journal
        self.unreadable = ""  # why the release in progress cannot be read, by the last turn
        self._stepping = Lock()
        self._step_s = 0.0  # by how much the wall clock was set since the release's times were last moved
        self._due_at_s = -math.inf

    @property
    def release(self) -> Release | None:
        """The release in progress, as the last turn left it."""
        standing = self._standing
        return standing.release if standing is not None else None

    @property
    def due_at_s(self) -> float:
        """Return the unix time at which the next turn is due by time alone; a past time if a turn is due now. The value
        is cached, because it is read for hundreds of models several times a second."""
        return self._due_at_s

    @property
    def is_calm(self) -> bool:
        """Return whether the model waits only for time, labels or traffic."""
        if not self._is_known or self._step_s:
            return False
        return self._standing is None or self._standing.release.phase is Phase.HELD or self._rests(self._standing)

    def glance(self) -> bool:
        """Return whether everything is as the last turn left it; False if that is not known."""
        standing = self._standing
        try:
            seen = Glance(
                table=self._world.traffic.read(self.model),
                running=self._world.deployments.status(self.model),
                wanted=self._books.poller.candidate(self.model) if self.accepts else None,
                edited=self._world.traffic.drift(self.model) is not None,
            )
        except SerinError:
            return False
        return self.is_calm and stands_as_left(standing.release if standing is not None else None, seen)

    @staticmethod
    def _rests(standing: Standing) -> bool:
        return standing.release.phase in OBSERVED and standing.release.routed

    def forget(self) -> None:
        """Have the next turn read the journal again, because somebody else wrote to it, or because it is not known
        whether this controller's last write succeeded."""
        self._is_known = False
        self._due_at_s = -math.inf

    def clock_stepped(self, by_s: float) -> None:
        """Have the next call of `reconcile` move the release's times by ``by_s`` seconds. Any thread may call."""
        with self._stepping:
            self._step_s += by_s
            self._due_at_s = -math.inf

    def reconcile(self, observed: Observed) -> None:
        """Take in the commands and the registry's candidate, and drive the release that is in progress or begins.

        Raises:
            SerinError: something could not be done; the caller must then call `forget`.
        """
        began_s = self._world.clock.now_s()
        standing = self._after_step(self._under_way())
        asked = observed.asked.get(self.model, ())
        found = self._intake(standing, asked)
        for discard in found.discards:
            try:
                self._books.inbox.discard(discard.command_id, discard.reason)
            except TransientError as error:  # the next round tries again; a rollback does not wait for this
                log.warning("%s: a command that got no answer is kept: %s", self.model, error)
        if standing is None and found.begin is not None:
            standing = self._start(found.begin)
        if standing is not None:
            self._drive(standing, found.facts, observed)
        with self._stepping:
            self._due_at_s = self._next_s(began_s) if self.is_calm else -math.inf

    def _next_s(self, began_s: float) -> float:
        """Return the unix time at which the next turn is due, after one that began at ``began_s``."""
        release = self._standing.release if self._standing is not None else None
        moment_s = next_moment_s(release, after_s=began_s)
        if release is None or release.phase not in OBSERVED:
            return moment_s
        return min(moment_s, self._executor.look_due_at_s(release, self._world.clock.now_s()))

    def _after_step(self, standing: Standing | None) -> Standing | None:
        with self._stepping:
            by_s, self._step_s = self._step_s, 0.0
        if standing is None or not by_s:
            return standing
        try:
            return self._record(standing, [ClockStepped(by_s)], ())
        except SerinError:
            self.clock_stepped(by_s)
            raise

    def _under_way(self) -> Standing | None:
        if not self._is_known:
            found = self._books.journal.releases(model=self.model, active=True, limit=1)
            try:
                self._standing = Standing(release_of(found[0]), found[0].sequence) if found else None
            except UnreadableError as error:
                self.unreadable = str(error)
                raise
            self._is_known, self.unreadable = True, ""
        return self._standing

    # --- what is asked for ---------------------------------------------------------------------------------------
    def _intake(self, standing: Standing | None, asked: Sequence[Command]) -> Intake:
        starts = {command.version for command in asked if command.ask in BEGINNING and command.version}
        return intake(
            Seen(
                model=self.model,
                release=standing.release if standing is not None else None,
                table=self._world.traffic.read(self.model) if standing is None else None,
                asked=asked,
                wanted=self._wanted() if self.accepts else None,
                accepts=self.accepts,
                identified={number: one for number in starts if (one := self._identified(number)) is not None},
            )
        )

    def _identified(self, number: str) -> Version | Refused | None:
        """Return the version as the registry knows it now; None while the registry does not answer."""
        try:
            ask = partial(self._books.artifacts.identify, self.model, number)
            return self._quickly(Source.REGISTRY, ("identify", self.model, number), ask)
        except PermanentError as error:
            return Refused(str(error))
        except TransientError as error:
            log.debug("model %s: a start waits: %s", self.model, error)
            return None

    def _wanted(self) -> Version | None:
        """Return the version under the alias ``candidate``; None if there is none, if it is refused, or if a release of
        it was begun before."""
        poller = self._books.poller
        try:
            version = poller.candidate(self.model)
        except CandidateRefusedError as error:  # a refused candidate does not stop the release in progress
            self._refusals.refused(error.version, str(error))
            return None
        self._refusals.stands(poller.standing(self.model), accepted=version is not None)
        return None if version is None or self._identities.released(self.model, version) else version

    # --- a release begins ----------------------------------------------------------------------------------------
    def _start(self, begin: Begin) -> Standing:
        known, table = self._identities, self._world.traffic.read(self.model)
        restores = begin.purpose is Purpose.RESTORE
        stable = self._stable(table, besides=begin.version if restores else None)
        fallback = table.known_good if table is not None and not restores else None
        candidate = begin.version
        serving = {version: known.served_with(self.model, version) for version in self._numbers(stable, fallback)}
        serving[candidate.number] = known.served_with(self.model, candidate.number) if restores else self.policy.serving
        started = Started(
            id=self._new_id(candidate.number),
            model=self.model,
            purpose=begin.purpose,
            candidate=known.of(self.model, candidate.number) if restores else known.recognised(self.model, candidate),
            stable=None if begin.replaces else stable,
            fallback=known.of(self.model, fallback) if fallback and stable and fallback != stable.number else None,
            policy=self.policy,
            by=begin.by,
            reason=begin.reason,
            serving=serving,
            able=self._world.traffic.abilities(self.model),
            replaced=stable if begin.replaces else None,
        )
        events: list[Event] = [started]
        if (command := begin.command) is not None:
            events.append(CommandTaken(command.id, command.ask, command.reason, command.by))
        now_s = self._world.clock.now_s()
        return self._stands(self._ledger.append(fold(None, events, now_s), 0, [(event, now_s) for event in events]))

    @staticmethod
    def _numbers(stable: Version | None, fallback: str | None) -> set[str]:
        return {number for number in (stable.number if stable else None, fallback) if number}

    def _stable(self, table: TrafficTable | None, *, besides: Version | None) -> Version | None:
        """Return the version that serves now: by the traffic table, or else by the registry's champion; None if there
        is none. ``besides``: the version of a restore, which stable must differ from."""
        if besides is not None:  # the table points at the restored version already; the journal knows the one before
            champion = self._champion_if_known()
            found = champion if champion != besides.number else None
        elif table is not None:
            found = max(table.weights_pct, key=lambda version: table.weights_pct[version])
        else:
            ask = partial(self._world.registry.aliases, self.model)
            found = self._quickly(Source.REGISTRY, ("aliases", self.model), ask).get(CHAMPION)
        return self._identities.of(self.model, found) if found is not None else None

    def _champion_if_known(self) -> str | None:
        newest = self._books.journal.newest(self.model, SERVED)
        return newest.version if newest is not None else None

    def _new_id(self, number: str) -> str:
        return f"{self.model}-v{number}-{self._books.journal.count(self.model, number) + 1}"

    # --- a release goes on ---------------------------------------------------------------------------------------
    def _drive(self, standing: Standing, facts: Sequence[Fact], observed: Observed) -> None:
        """Carry out actions, decide and record, until nothing changes any more."""
        frozen: list[Fact] = [FrozenBy(one) for one in observed.freezes if one.model in (self.model, ANY_MODEL)]
        frozen += [BudgetSpent(observed.unknown, Source.FREEZES)] if observed.unknown else []
        if standing.unwritten:
            taken_up = standing.words_taken_up
            facts = [fact for fact in facts if not (isinstance(fact, Asked) and fact.command.id in taken_up)]
            if (found_standing := self._caught_up(standing)) is None:
                return
            standing = found_standing
        if standing.unwritten and standing.release.phase not in OBSERVED:
            return  # users are rolled back; everything else waits until the journal has the record
        for _ in range(_STEPS_MAX):
            found = [*facts, *frozen, *self._budget_of(standing.release)]
            found += self._carried_out(standing.release, found)
            standing, events = self._decided(standing, found)
            if standing.unwritten or not standing.release.active or all(isinstance(event, Looked) for event in events):
                return
            facts = ()

    def _decided(self, standing: Standing, found: Sequence[Fact]) -> tuple[Standing, Sequence[Event]]:
        """Decide on the facts, record the events, and return the standing after them and the events. If they cannot be
        recorded, decide again without commands that take the release forward, so that a gate's rollback does not wait
        for such a command."""
        events = decide(standing.release, found, self._world.clock.now_s())
        if not events:
            return standing, ()
        try:
            return self._record(standing, events, found), events
        except TransientError:
            found = [fact for fact in found if not isinstance(fact, Asked) or fact.command.ask in WAYS_BACK]
            others = decide(standing.release, found, self._world.clock.now_s())
            if others in ((), events):
                raise
            return self._record(standing, others, found), others

    def _carried_out(self, release: Release, known: Sequence[Fact]) -> list[Fact]:
        found: list[Fact] = []
        for action in plan(release, self._world.clock.now_s()):
            if _exposes(release, action) and (words := self._words(known)):
                return [*found, *words]  # since the round began, somebody has asked for an abort or a rollback
            answers = self._executor.execute(release, action)
            found += answers
            if answers and isinstance(action, CheckChampion):
                return found  # the alias is elsewhere or cannot be read: no users are moved
        return found

    def _words(self, known: Sequence[Fact]) -> list[Fact]:
        """Return the aborts and rollbacks that came since the round began: they come before any action that exposes
        users."""
        heard = {fact.command.id for fact in known if isinstance(fact, Asked)}
        try:
            waiting = self._books.inbox.waiting()
        except TransientError as error:
            log.warning("commands wait: %s", error)
            return []
        mine = (command for command in waiting if command.model == self.model and command.id not in heard)
        return [Asked(command) for command in mine if command.ask in WAYS_BACK]

    def _budget_of(self, release: Release) -> list[Fact]:
        """Return the fact that the error budget is spent, if it is. It is read only while the release could expose more
        users, and if another version serves users. While it is not known, no release begins; a release in progress is
        held up by its own looks, which lack the same metrics."""
        if release.stable is None or release.purpose is not Purpose.PROMOTE or release.phase not in _UNSETTLED:
            return []
        try:
            ask = partial(self._budget.overspent, release.policy)
            reason = ask() if self._budget.is_known(release.policy) else self._quickly(Source.BUDGET, self.model, ask)
        except TransientError as error:
            begins = release.phase is Phase.PENDING
            reason = f"How fast the service burns its error budget is not known: {error}" if begins else None
        return [BudgetSpent(reason)] if reason is not None else []

    def _quickly(self, source: Source, slot: Hashable, work: Callable[[], Result]) -> Result:
        """Return the result of the work. Raises TransientError if it is not there in a moment; a later round takes it
        up."""
        found = self._books.jobs.ask(source, slot, self.model, work)
        if isinstance(found, Running):
            raise TransientError(source, f"no answer for {self._world.clock.monotonic_s() - found.since_s:.0f} s")
        return found

    # --- recorded ------------------------------------------------------------------------------------------------
    def _record(self, standing: Standing, events: Sequence[Event], found: Sequence[Fact]) -> Standing:
        return self._stands(self._ledger.record(standing, events, found))

    def _caught_up(self, standing: Standing) -> Standing | None:
        """Write the unwritten events if possible, and return the standing. If the journal has other entries, return
        what it holds; None if it holds no active release."""
        try:
            return self._stands(self._ledger.caught_up(standing))
        except ConflictError as error:
            log.info("%s: the journal is read again: %s", standing.release.id, error)
            self.forget()
            return self._under_way()

    def _stands(self, standing: Standing) -> Standing:
        self._standing = standing if standing.release.active else None
        return standing

    # --- between releases ----------------------------------------------------------------------------------------
    def keep_up(self) -> None:
        """Keep the needed versions running, and drain the others. Nothing is drained while the release in progress is
        not known.

        Raises:
            UnreadableError: the release in progress cannot be read; the versions of the traffic table are kept running.
        """
        try:
            standing = self._under_way()
        except UnreadableError:
            self._upkeep.keep_routed(self.policy)
            raise
        self._upkeep.keep(self.policy, standing.release if standing is not None else None)


def _exposes(release: Release, action: Action) -> bool:
    """Return whether the action gives the candidate users or the alias; false in a restore."""
    if release.purpose is Purpose.RESTORE:
        return False
    number = release.candidate.number
    return (isinstance(action, Route) and not release.routed and number in action.weights_pct) or (
        isinstance(action, MoveChampion) and action.to.number == number
    )
