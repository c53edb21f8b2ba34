"""The loop: observe, decide, record, perform. Journal first, so that it can be killed anywhere.

What is done is derived from the recorded state at every step (`core.actions.plan`), so a controller that starts again
asks for the same things and goes on.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from controller.core.actions import CheckChampion, plan
from controller.core.commands import ANY_MODEL, Ask, Command
from controller.core.decide import decide
from controller.core.events import CommandTaken, Event, Looked, Started, fold
from controller.core.facts import Asked, BudgetSpent, Fact, FrozenBy, NewerCandidate
from controller.core.policy import ReleasePolicy
from controller.core.release import Phase, Purpose, Release, Version
from controller.core.traffic import HUNDRED_PCT, TrafficTable
from controller.errors import ConflictError, PermanentError, SerinError, TransientError
from controller.journal.codec import entry_of, record_of, release_of
from controller.loop.candidate_poller import CandidatePoller
from controller.loop.error_budget import ErrorBudget
from controller.loop.executor import Executor, NamesOfLabels, World
from controller.loop.identities import Identities
from controller.loop.packages import PackageStore
from controller.ports.journal import Journal
from controller.ports.people import Inbox
from controller.ports.registry import CANDIDATE, CHAMPION
from serving.package.artifact import ArtifactError

log = logging.getLogger(__name__)

COMMAND_KEPT_S = 86_400.0  # a command that is older was meant for other circumstances
_HISTORY_MAX = 10_000
_UNSETTLED = frozenset({Phase.PENDING, Phase.PREFLIGHT, Phase.SUITE, Phase.SHADOW, Phase.CANARY})
_STEPS_MAX = 8  # state changes in one tick, before other models get their turn


@dataclass(frozen=True, slots=True)
class _Standing:
    """A release and how many entries its journal holds."""

    release: Release
    sequence: int


class Reconciler:
    """Drives every model that has a policy. One writer: only one of these may run against a journal."""

    def __init__(
        self,
        world: World,
        packages: PackageStore,
        journal: Journal,
        inbox: Inbox,
        policies: Mapping[str, ReleasePolicy],
        watch: CandidatePoller,
        names_of_labels: NamesOfLabels | None = None,
    ) -> None:
        """``names_of_labels``: read at each look; without, they are those of the policies."""
        self._world = world
        self._packages = packages
        self._watch = watch
        self._journal = journal
        self._inbox = inbox
        self._policies = policies
        self._performer = Executor(world, packages, names_of_labels or self._names_of_policy)
        self._identities = Identities(journal)
        self._budget = ErrorBudget(world.metrics, world.clock)
        self._standing: dict[str, _Standing] = {}
        self._released: dict[str, set[Version]] = {}  # by number and source, what has had its release
        self._untold: list[Release] = []  # ended releases of which the registry has not been told
        self._recalled: set[str] = set()  # models whose newest ended release was told again after this start

    def _names_of_policy(self, model: str) -> Mapping[str, str]:
        return self._policies[model].label_names

    def tick(self) -> None:
        """One round over every model. What goes wrong with one model is logged and does not stop the others."""
        commands = self._waiting()
        for model, policy in self._policies.items():
            asked = [command for command in commands if command.model == model]
            self._guarded(model, partial(self._model, policy, asked))
            self._guarded(model, partial(self._upkeep, policy))
        self._tell_registry()

    def _waiting(self) -> Sequence[Command]:
        """Commands that are still of use; none while the inbox does not answer, which stops no rollback."""
        taken: list[Command] = []
        now_s = self._world.clock.now_s()
        try:
            for command in self._inbox.waiting():
                if command.model not in self._policies:
                    self._inbox.discard(command.id, f"no policy for model {command.model!r}")
                elif now_s - command.at_s > COMMAND_KEPT_S:
                    self._inbox.discard(command.id, f"nothing took it up within {COMMAND_KEPT_S / 3600:g} h: ask again")
                else:
                    taken.append(command)
        except TransientError as error:
            log.warning("commands wait: %s", error)
            return ()
        return taken

    def _guarded(self, model: str, work: Callable[[], None]) -> None:
        try:
            work()
        except ConflictError:
            log.warning("model %s: the journal changed under this controller", model, exc_info=True)
        except SerinError as error:
            log.warning("model %s: %s", model, error)
        except Exception:  # one model's defect must not keep the others from being rolled back
            log.exception("model %s: this round failed", model)
        else:
            return
        self._standing.pop(model, None)  # somebody wrote, or it is not known whether we did: read again next time

    # --- one model -----------------------------------------------------------------------------------------------
    def _model(self, policy: ReleasePolicy, asked: Sequence[Command]) -> None:
        standing = self._active(policy.model)
        facts = self._wishes(policy, standing, asked)
        if standing is None:
            standing = self._begin(policy, asked)
        if standing is not None:
            self._drive(standing, facts)

    def _active(self, model: str) -> _Standing | None:
        if model not in self._standing:
            found = self._journal.releases(model=model, active=True, limit=1)
            if found:
                self._standing[model] = _Standing(release_of(found[0]), found[0].sequence)
        return self._standing.get(model)

    def _drive(self, standing: _Standing, facts: Sequence[Fact]) -> None:
        """Perform, decide and record until nothing changes that would ask for something else."""
        for _ in range(_STEPS_MAX):
            now_s = self._world.clock.now_s()
            release = standing.release
            found = [*facts, *self._freezes(release.model), *self._budget_of(release)]
            for action in plan(release, now_s):
                facts_found = self._performer.perform(release, action)
                found += facts_found
                if facts_found and isinstance(action, CheckChampion):
                    break  # the alias is not where it has to be, or nobody says where: no user is moved on that
            events = decide(release, found, self._world.clock.now_s())
            if not events:
                return
            standing = self._record(standing, events)
            if not standing.release.active or all(isinstance(event, Looked) for event in events):
                return
            facts = ()

    def _record(self, standing: _Standing, events: Sequence[Event]) -> _Standing:
        now_s = self._world.clock.now_s()
        after = fold(standing.release, events, now_s)
        return self._append(after, standing.sequence, events, now_s)

    def _append(self, after: Release, sequence: int, events: Sequence[Event], now_s: float) -> _Standing:
        taken_up = [event.command_id for event in events if isinstance(event, CommandTaken)]
        standing = _Standing(after, sequence + len(events))
        record = record_of(after, standing.sequence)
        self._journal.append(record, [entry_of(event, now_s) for event in events], taken_up=taken_up)
        if after.active:
            self._standing[after.model] = standing
        else:
            self._standing.pop(after.model, None)
            self._untold.append(after)
        self._identities.note(after)
        log.info("%s: %s. %s", after.id, after.phase, after.reason)
        return standing

    def _freezes(self, model: str) -> list[Fact]:
        return [FrozenBy(f) for f in self._world.freezes.in_force() if f.model in (model, ANY_MODEL)]

    def _budget_of(self, release: Release) -> list[Fact]:
        """Asked while the release could still expose more users, and others than its own answer already. A release is
        not begun while nobody can tell; one that goes on is held by its looks then."""
        if release.stable is None or release.purpose is Purpose.RESTORE or release.phase not in _UNSETTLED:
            return []
        try:
            reason = self._budget.overspent(release.policy)
        except TransientError as error:
            begins = release.phase is Phase.PENDING
            reason = f"It is not known how fast the service spends it: {error}" if begins else None
        return [BudgetSpent(reason)] if reason is not None else []

    # --- who wants what ------------------------------------------------------------------------------------------
    def _wishes(self, policy: ReleasePolicy, standing: _Standing | None, asked: Iterable[Command]) -> list[Fact]:
        """Facts for the active release. Commands that no release will ever answer are discarded, with the reason."""
        if standing is None:
            return []
        release = standing.release
        facts: list[Fact] = []
        for command in asked:
            if command.ask is not Ask.START:
                facts.append(Asked(command))
            elif command.version == release.candidate.number and release.phase is not Phase.ROLLING_BACK:
                self._inbox.discard(command.id, f"release {release.id} of version {command.version} is in progress")
            elif self._can_follow(release, command):
                facts.append(NewerCandidate(command.version or ""))
        wanted = self._wanted_candidate(policy.model)
        if wanted is not None and wanted.number != release.candidate.number:
            facts.append(NewerCandidate(wanted.number))
        return facts

    def _can_follow(self, release: Release, command: Command) -> bool:
        """Whether the version that is asked for can be released next: no release is left for one that cannot."""
        stable = release.stable.number if release.stable is not None else None
        if command.version == stable and release.phase not in (Phase.PROMOTING, Phase.PROBATION):
            self._inbox.discard(command.id, f"version {stable} is the stable version already")
            return False
        try:
            return self._identified(release.model, command) is not None
        except TransientError as error:
            log.debug("command %s waits: %s", command.id, error)
            return False

    def _identified(self, model: str, command: Command) -> Version | None:
        """The version that is asked for; None, and the command discarded, where there is none to be released."""
        try:
            return self._packages.identify(model, command.version or "")
        except PermanentError as error:
            self._inbox.discard(command.id, str(error))
            return None

    def _wanted_candidate(self, model: str) -> Version | None:
        """The version under the alias ``candidate``, if no release has been started for it yet."""
        try:
            version = self._watch.candidate(model)
        except PermanentError as error:  # whatever the alias points at, the release in progress goes on
            log.warning("model %s: the candidate is refused: %s", model, error)
            return None
        return None if version is None or version in self._released_versions(model) else version

    def _released_versions(self, model: str) -> set[Version]:
        if model not in self._released:
            records = self._journal.releases(model=model, limit=_HISTORY_MAX)
            releases = [release_of(record) for record in records]
            self._released[model] = {_identity(r.candidate) for r in releases if r.purpose is Purpose.PROMOTE}
        return self._released[model]

    def _begin(self, policy: ReleasePolicy, asked: Sequence[Command]) -> _Standing | None:
        """Start what is asked for first: a way back, then a person's start, then the registry's candidate."""
        model = policy.model
        table = self._world.traffic.read(model)
        if table is not None and table.override is not None:
            target = max(table.weights_pct, key=lambda version: table.weights_pct[version])
            return self._start(policy, Version(target), table, table.override.by, table.override.reason)
        for command in asked:
            match command.ask:
                case Ask.ROLLBACK if table is not None and table.known_good is not None:
                    return self._start(policy, Version(table.known_good), table, command.by, command.reason, command)
                case Ask.START if command.version is not None:
                    return self._start_asked(policy, command, table)
                case _:
                    self._inbox.discard(command.id, f"there is nothing to {command.ask} for {model}")
        wanted = self._wanted_candidate(model)
        if wanted is None:
            return None
        return self._start(policy, wanted, table, "registry", f"Alias {CANDIDATE} set on version {wanted.number}.")

    def _start_asked(self, policy: ReleasePolicy, command: Command, table: TrafficTable | None) -> _Standing | None:
        number = command.version or ""
        if table is not None and table.weights_pct.get(number) == HUNDRED_PCT:
            self._inbox.discard(command.id, f"version {number} serves all traffic already")
            return None
        version = self._identified(policy.model, command)
        if version is None:
            return None
        return self._start(policy, version, table, command.by, command.reason, command)

    def _start(
        self,
        policy: ReleasePolicy,
        candidate: Version,
        table: TrafficTable | None,
        by: str,
        reason: str,
        command: Command | None = None,
    ) -> _Standing:
        model, known = policy.model, self._identities
        restores = not candidate.source_id  # a way back: known by its number, from the traffic table
        stable = self._stable(policy.model, table, besides=candidate if restores else None)
        fallback = table.known_good if table is not None and not restores else None
        now_s = self._world.clock.now_s()
        started = Started(
            id=self._new_id(policy.model, candidate.number),
            model=policy.model,
            purpose=Purpose.RESTORE if restores else Purpose.PROMOTE,
            candidate=known.of(model, candidate.number) if restores else known.recognised(model, candidate),
            stable=stable,
            fallback=known.of(model, fallback) if fallback and stable and fallback != stable.number else None,
            policy=policy,
            by=by,
            reason=reason,
        )
        events: list[Event] = [started]
        if command is not None:
            events.append(CommandTaken(command.id, command.ask, command.reason, command.by))
        self._released.pop(policy.model, None)  # read again: the journal knows, also where its answer is lost
        return self._append(fold(None, events, now_s), 0, events, now_s)

    def _stable(self, model: str, table: TrafficTable | None, *, besides: Version | None) -> Version | None:
        """What serves now: by the traffic table, or else by the registry's champion."""
        if besides is not None:  # the table was moved to the version that comes back; the registry says what was there
            champion = self._champion_if_known(model)
            found = champion if champion != besides.number else None
        elif table is not None:
            found = max(table.weights_pct, key=lambda version: table.weights_pct[version])
        else:
            found = self._world.registry.aliases(model).get(CHAMPION)
        return self._identities.of(model, found) if found is not None else None

    def _champion_if_known(self, model: str) -> str | None:
        promoted = (r for r in self._journal.releases(model=model) if r.phase in (Phase.PROMOTED, Phase.PROBATION))
        newest = next(promoted, None)
        return newest.version if newest is not None else None

    def _new_id(self, model: str, number: str) -> str:
        before = sum(record.version == number for record in self._journal.releases(model=model, limit=_HISTORY_MAX))
        return f"{model}-v{number}-{before + 1}"

    # --- between releases ----------------------------------------------------------------------------------------
    def _upkeep(self, policy: ReleasePolicy) -> None:
        """What routes or could be routed to keeps running; what nobody needs any more is drained."""
        model = policy.model
        table = self._world.traffic.read(model)
        standing = self._standing.get(model)
        needed: set[str] = set()
        if table is not None:
            needed |= set(table.weights_pct) | {
                v for v in (table.known_good, table.mirror and table.mirror.version) if v
            }
        if standing is not None:
            release = standing.release
            needed |= {v.number for v in (release.candidate, release.stable, release.fallback) if v is not None}
        elif table is not None:
            for number in sorted(needed, key=table.share_of, reverse=True):
                self._keep_running(policy, number)
        for number in self._world.deployments.status(model):
            if number not in needed:
                remove = partial(self._world.deployments.remove, model, number)
                self._apart(f"model {model}: version {number} cannot be ended", remove)

    def _keep_running(self, policy: ReleasePolicy, number: str) -> None:
        identity = self._identities.of(policy.model, number)
        run = partial(self._performer.keep_running, policy, identity)
        self._apart(f"model {policy.model}: version {number} cannot be kept running", run)

    def _apart(self, what: str, work: Callable[[], object]) -> None:
        """Whatever goes wrong with one version is logged; the others are seen to all the same."""
        try:
            work()
        except (SerinError, ArtifactError, OSError, MemoryError) as error:
            log.warning("%s: %s", what, error)
        except Exception:
            log.exception("%s", what)

    def _tell_registry(self) -> None:
        """Tags for people to read, and the candidate alias of what was promoted; tried again while it is away."""
        waiting, self._untold = [*self._untold, *self._perhaps_untold()], []
        for release in waiting:
            try:
                self._tell(release)
            except TransientError as error:
                log.debug("registry not told of %s yet: %s", release.id, error)
                self._untold.append(release)
            except (PermanentError, ConflictError) as error:
                log.warning("registry not told of %s: %s", release.id, error)

    def _perhaps_untold(self) -> list[Release]:
        """Each model's newest ended release, once after a start: the controller before may have died untold."""
        found: list[Release] = []
        for model in self._policies.keys() - self._recalled:
            try:
                found += [release_of(record) for record in self._journal.releases(model=model, active=False, limit=1)]
            except SerinError as error:
                log.warning("model %s: the newest ended release cannot be read: %s", model, error)
            else:
                self._recalled.add(model)
        return found

    def _tell(self, release: Release) -> None:
        number = release.candidate.number
        tags = {"serin.outcome": release.phase.value, "serin.release": release.id, "serin.reason": release.reason[:500]}
        self._world.registry.tag(release.model, number, tags)
        if release.phase is Phase.PROMOTED:
            self._world.registry.drop_alias(release.model, CANDIDATE, expected=number)


def _identity(version: Version) -> Version:
    """What the registry says of a version, without what only its package tells."""
    return Version(version.number, version.source_id)
