"""The rounds over all models. A round reads commands and freezes once, then handles each model by itself: a model that
is slow or hangs delays no other model's look, rollback or abort."""

import logging
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from controller.core.commands import Command, Freeze
from controller.core.policy import ReleasePolicy
from controller.core.release import Release
from controller.errors import ConflictError, SerinError, TransientError, UnreadableError
from controller.journal.codec import release_of
from controller.loop.error_budget import ErrorBudget
from controller.loop.executor import Executor, NamesOfLabels, World
from controller.loop.history import History
from controller.loop.identities import Identities
from controller.loop.jobs import Running
from controller.loop.reconciler import Books, Observed, Reconciler
from controller.ports.journal import ReleaseRecord
from controller.subscribers.feed import CatchesUp

log = logging.getLogger(__name__)

_MODELS_MAX: Final = 10_000
_SURE_S: Final = 10.0  # each model has a turn at least this often
_GLANCES: Final = 20  # models that one job checks
_STEP_MIN_S: Final = 2.0  # smaller steps are ordinary corrections of the clock
COMMAND_KEPT_S: Final = 86_400.0
"""The age in seconds after which a waiting command is discarded, because circumstances have changed."""


class Fleet:
    """The driver of every model that has a policy. Only one may write to a journal at a time."""

    def __init__(
        self,
        world: World,
        books: Books,
        policies: Callable[[], Mapping[str, ReleasePolicy]],
        names_of_labels: NamesOfLabels | None = None,
        *,
        followers: Sequence[CatchesUp] = (),
        calm_s: float = 0.0,
    ) -> None:
        """``policies`` is called in each round. ``names_of_labels`` is called at each look; None: the policies'
        ``label_names``. ``calm_s``: seconds between two checks of a model with nothing urgent; 0: each model has a turn
        in each round."""
        self._world = world
        self._books = books
        self._policies = policies
        self._executor = Executor(
            world,
            books.artifacts,
            names_of_labels or self._names_of_policy,
            books.jobs,
            books.leads,
            History(books.journal).earlier,
        )
        self._identities = Identities(books.journal)
        self._budget = ErrorBudget(world.metrics, world.clock)
        self._models: dict[str, Reconciler] = {}
        self._orphans_known = False
        self._followed: Mapping[str, ReleasePolicy] = {}  # as the last round found them
        self._unreadable: dict[str, str] = {}  # by model without a policy: why its release cannot be read
        self._offset_s: float | None = None  # of the wall clock from the monotonic one
        self._rounds = 0
        self._calm_s = calm_s
        self._turned_s: dict[str, float] = {}  # model -> monotonic time of its last turn
        self._glanced_s = -math.inf
        self._noticed: set[str] = set()  # models in which a check found a change; written by jobs
        self._news: tuple[object, ...] = ()  # the freezes that the last round saw
        self._followers = list(followers)
        self._told: dict[str, str] = {}  # follower or model -> its last logged trouble, so that none is repeated
        self.last_round_s = world.clock.now_s()  # when the last round began; before the first one, when this was made

    def _names_of_policy(self, model: str) -> Mapping[str, str]:
        return self._models[model].policy.label_names

    @property
    def models(self) -> Collection[str]:
        """The models that are driven now; a live view."""
        return self._models.keys()

    def under_way(self) -> Sequence[Release]:
        """Return the releases in progress, as the last turn of each model left them. Any thread may call."""
        found = [reconciler.release for reconciler in list(self._models.values())]
        return [release for release in found if release is not None]

    def unreadable(self) -> Mapping[str, str]:
        """Return the models whose release in progress this version of Serin cannot read, with the reason and the way
        out. Nothing of these models is changed. Any thread may call."""
        found = {model: reconciler.unreadable for model, reconciler in list(self._models.items())}
        return {model: why for model, why in {**self._unreadable, **found}.items() if why}

    def follow(self, follower: CatchesUp) -> None:
        """Have the follower catch up in each round, alongside the models."""
        self._followers.append(follower)

    def tick(self) -> bool:
        """Begin one round over every model, and return whether all could begin: a model whose last round has not ended
        waits.

        An error of one model is logged and does not stop the others.
        """
        self._rounds += 1
        self.last_round_s = self._world.clock.now_s()
        self._take_in(self._policies())
        self._mind_the_clock()
        observed = self._observe()
        busy = False
        now_s = self._world.clock.monotonic_s()
        for model, reconciler in self._in_turn(observed, now_s):
            self._turned_s[model] = now_s
            found = self._books.jobs.ask(
                "models", model, self._rounds, partial(self._round, reconciler, observed), patience_s=0
            )
            busy |= isinstance(found, Running) and found.purpose != self._rounds
        for follower in self._followers:
            work = partial(self._caught_up, follower)
            self._books.jobs.ask("followers", follower.name, follower.name, work, patience_s=0)
        return not busy

    # --- whose turn it is -----------------------------------------------------------------------------------------
    def _in_turn(self, observed: Observed, now_s: float) -> Sequence[tuple[str, Reconciler]]:
        """Return the models that have a turn in this round, the one that has waited longest first. The others are only
        checked, every ``calm_s``."""
        news = (observed.freezes, observed.unknown)
        changed, self._news = news != self._news, news
        wall_s = self._world.clock.now_s()
        turns, calm = [], []
        for model, reconciler in self._models.items():
            turned_s = self._turned_s.get(model)
            if (
                not self._calm_s
                or turned_s is None
                or changed
                or model in observed.asked
                or now_s - turned_s >= _SURE_S
                or reconciler.due_at_s <= wall_s
            ):
                turns.append((model, reconciler))
            else:
                calm.append((model, reconciler))
        stirred = self._stirred(calm, now_s)
        turns += [(model, reconciler) for model, reconciler in calm if model in stirred]
        return sorted(turns, key=lambda one: self._turned_s.get(one[0], -math.inf))

    def _stirred(self, calm: Sequence[tuple[str, Reconciler]], now_s: float) -> Collection[str]:
        """Return the models in which the last check found a change, and those whose check has not ended."""
        found = set(self._noticed)
        self._noticed -= found
        if now_s - self._glanced_s < self._calm_s:
            return found
        self._glanced_s = now_s
        for number, start in enumerate(range(0, len(calm), _GLANCES)):
            some = calm[start : start + _GLANCES]
            work = partial(self._glance, [reconciler for _, reconciler in some])
            running = self._books.jobs.ask("glances", number, self._rounds, work, patience_s=0)
            if isinstance(running, Running) and running.purpose != self._rounds:
                found |= {model for model, _ in some}
        return found

    def _glance(self, some: Sequence[Reconciler]) -> None:
        for reconciler in some:
            if not reconciler.glance():
                self._noticed.add(reconciler.model)

    # --- which models there are -----------------------------------------------------------------------------------
    def _take_in(self, policies: Mapping[str, ReleasePolicy]) -> None:
        """Take in the policies. A model with a policy is driven by it; a model that has lost its policy goes on with
        its release and is kept running."""
        if self._orphans_known and policies == self._followed:
            return
        for model, policy in policies.items():
            if model in self._models:
                self._models[model].policy = policy
            else:
                self._models[model] = self._reconciler(policy)
                self._unreadable.pop(model, None)  # from here on its reconciler reports this
        if not self._orphans_known:
            self._take_in_orphans()
        for model, reconciler in self._models.items():
            reconciler.accepts = model in policies
        self._followed = dict(policies)

    def _take_in_orphans(self) -> None:
        """Take in the models that have a release in progress or a traffic table, but no policy that can be read: they
        go on by the policy of their last release."""
        try:
            under_way = {
                record.model: record for record in self._books.journal.releases(active=True, limit=_MODELS_MAX)
            }
            for model in {*under_way, *self._world.traffic.models()} - self._models.keys():
                record = under_way.get(model) or next(iter(self._books.journal.releases(model=model, limit=1)), None)
                if record is not None:
                    self._take_in_orphan(record)
        except SerinError as error:
            log.warning("what goes on without a policy is not known yet: %s", error)
        else:
            self._orphans_known = True

    def _take_in_orphan(self, record: ReleaseRecord) -> None:
        try:
            policy = release_of(record).policy
        except UnreadableError as error:  # its policy is not known, so nothing of this model is changed
            self._unreadable[record.model] = str(error)
            log.warning("model %s has no policy that can be read, and %s", record.model, error)
        else:
            self._models[record.model] = self._reconciler(policy)
            log.warning("model %s has no policy that can be read: no new release begins", record.model)

    def _reconciler(self, policy: ReleasePolicy) -> Reconciler:
        return Reconciler(policy, self._world, self._books, self._executor, self._identities, self._budget)

    # --- the time -------------------------------------------------------------------------------------------------
    def _mind_the_clock(self) -> None:
        """Tell each model if somebody set the wall clock since the last round."""
        offset_s = self._world.clock.now_s() - self._world.clock.monotonic_s()
        before_s, self._offset_s = self._offset_s, offset_s
        if before_s is None or abs(offset_s - before_s) < _STEP_MIN_S:
            return
        by_s = offset_s - before_s
        log.warning("the clock was set %s by %.1f s", "forward" if by_s > 0 else "back", abs(by_s))
        for reconciler in self._models.values():
            reconciler.clock_stepped(by_s)

    # --- seen once ------------------------------------------------------------------------------------------------
    def _observe(self) -> Observed:
        asked: dict[str, list[Command]] = {}
        for command in self._waiting():
            asked.setdefault(command.model, []).append(command)
        try:
            return Observed(asked, tuple(self._freezes()))
        except TransientError as error:
            log.warning("freezes: %s", error)
            return Observed(asked, (), f"it is not known whether models are frozen: {error}")

    def _freezes(self) -> Iterator[Freeze]:
        """Yield the freezes in force. A freeze whose end has passed stays in force until its end is recorded, so that
        the journal has the end before any release goes on."""
        now_s = self._world.clock.now_s()
        for freeze in self._world.freezes.in_force():
            if not freeze.is_over(now_s) or not self._ended(freeze, now_s):
                yield freeze

    def _ended(self, freeze: Freeze, now_s: float) -> bool:
        try:
            self._world.freezes.end(freeze, at_s=now_s)
        except TransientError as error:
            log.warning("the end of a freeze of %s is not recorded: %s", freeze.model, error)
            return False
        return True

    def _waiting(self) -> Sequence[Command]:
        """Return the commands to be taken up, and discard those that lead to nothing. Return none while the inbox does
        not answer; rollbacks by gates go on all the same."""
        taken: list[Command] = []
        now_s = self._world.clock.now_s()
        try:
            waiting = self._books.inbox.waiting()
            unreadable = self.unreadable() if waiting else {}
            for command in waiting:
                if command.model in unreadable:  # people are told now, and not after the command has waited for a day
                    self._books.inbox.discard(command.id, unreadable[command.model])
                elif command.model not in self._models:
                    self._books.inbox.discard(command.id, f"no policy for model {command.model!r}")
                elif now_s - command.at_s > COMMAND_KEPT_S:
                    outcome = f"it was not taken up within {COMMAND_KEPT_S / 3600:g} h: ask again"
                    self._books.inbox.discard(command.id, outcome)
                else:
                    taken.append(command)
        except TransientError as error:
            log.warning("commands wait: %s", error)
            return ()
        return taken

    # --- each by itself -------------------------------------------------------------------------------------------
    def _round(self, reconciler: Reconciler, observed: Observed) -> None:
        self._guarded(reconciler, partial(reconciler.reconcile, observed))
        self._guarded(reconciler, reconciler.keep_up)

    def _guarded(self, reconciler: Reconciler, work: Callable[[], None]) -> None:
        try:
            work()
        except UnreadableError as error:
            if self._told.get(reconciler.model) != str(error):
                self._told[reconciler.model] = str(error)
                log.warning("model %s: %s", reconciler.model, error)
        except ConflictError:
            log.warning("model %s: the journal changed under this controller", reconciler.model, exc_info=True)
        except SerinError as error:
            log.warning("model %s: %s", reconciler.model, error)
        except Exception:  # one model's defect must not keep the others from being rolled back
            log.exception("model %s: this round failed", reconciler.model)
        else:
            self._told.pop(reconciler.model, None)
            return
        reconciler.forget()

    def _caught_up(self, follower: CatchesUp) -> None:
        try:
            follower.catch_up()
        except Exception as error:  # a defect of a follower must not end a round
            said = str(error) if isinstance(error, SerinError) else f"{type(error).__name__}: {error}"
            if self._told.get(follower.name) != said:
                self._told[follower.name] = said
                log.warning("%s: %s", follower.name, said, exc_info=not isinstance(error, SerinError))
        else:
            self._told.pop(follower.name, None)
