"""The watch over champions, which goes on after releases: every few minutes it looks at the version that serves
everybody, and asks for retraining if that version is provably worse than before, if answers or texts have drifted, or
if the version is too old."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

from controller.core.champion import Bounds, Champion, Labelled, askings
from controller.core.labels import LabelNames
from controller.core.policy import ReleasePolicy
from controller.core.release import SERVED
from controller.errors import SerinError
from controller.loop.champion_figures import Figures, FiguresReader
from controller.ports.champions import Asked, Champions, Seen, WatchCursor, Watched
from controller.ports.clock import Clock
from controller.ports.journal import ReleaseLists
from controller.ports.metrics import Metrics
from controller.ports.traffic import Traffic

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 300.0
FIRST_LOOK_S: Final = 10.0
"""The first interval after a start, in seconds. Each later one is twice as long, up to `LOOK_EVERY_S`, so that people
soon see results."""
_IDS_MAX: Final = 200_000  # the most sample ids read in one call
_FIGURES_AT_ONCE: Final = 2  # models whose counters are read in one call, so that no other follower waits long


@dataclass(frozen=True, slots=True)
class Told:
    """The state of one model's champion after the last look."""

    watched: Watched
    accuracy: Bounds | None
    overconfidence: Bounds | None
    figures: Figures | None = None


@dataclass(frozen=True, slots=True)
class WatchPorts:
    """The ports that the watch uses. ``label_names``: gives the `label_names` of a model's policy. ``fence``: returns
    the leader's fence; raises ConflictError if this controller no longer leads."""

    champions: Champions
    releases: ReleaseLists
    traffic: Traffic
    metrics: Metrics
    policies: Callable[[], Mapping[str, ReleasePolicy]]
    label_names: Callable[[str], Mapping[str, str]]
    clock: Clock
    fence: Callable[[], int | None]


class ChampionWatch:
    """The watch over each model's champion (a `controller.subscribers.feed.CatchesUp`). Calls come one at a time; any
    thread may read `told`."""

    name: Final = "champion watch"

    def __init__(self, ports: WatchPorts, *, first_s: float = FIRST_LOOK_S, every_s: float = LOOK_EVERY_S) -> None:
        self._ports = ports
        self._pause_s = first_s
        self._every_s = every_s
        self._figures = FiguresReader(ports.metrics)
        self._due_s = 0.0  # by the monotonic clock
        self._waiting: list[str] = []  # models whose figures this look has not read yet
        self._cursor: WatchCursor | None = None
        self._watched: dict[str, Watched] = {}
        self._is_known = False  # whether cursor and watched are what the store has
        self._rules: dict[str, ReleasePolicy] = {}  # model -> the policy of its last look
        self._told: dict[str, Told] = {}

    @property
    def told(self) -> Mapping[str, Told]:
        """Return the state of each model's champion, by model."""
        return dict(self._told)

    def catch_up(self) -> None:
        """Do the next part of a look, if one is due or in progress.

        Raises:
            SerinError: the store or the journal cannot be read or written. Nothing is lost: a later look reads it.
        """
        if self._waiting:
            for model in self._waiting[:_FIGURES_AT_ONCE]:
                self._look_at_figures(model)
            self._waiting = self._waiting[_FIGURES_AT_ONCE:]
            return
        now_s = self._ports.clock.monotonic_s()
        if now_s < self._due_s:
            return
        self._due_s = now_s + self._pause_s  # also after a failure
        self._pause_s = min(2 * self._pause_s, self._every_s)
        if self._take_in():
            self._due_s = now_s
        else:
            self._waiting = list(self._watched)

    def _take_in(self) -> bool:
        """Read the samples since the last look, and return whether there are more."""
        ports = self._ports
        if not self._is_known:
            cursor, found = ports.champions.kept()
            self._cursor = cursor if cursor is not None else self._cursor  # an empty store has no cursor
            self._watched, self._is_known = dict(found), True
        before = self._cursor if self._cursor is not None else ports.champions.head()
        seen, now_s = ports.champions.seen(before, ids_max=_IDS_MAX), ports.clock.now_s()
        policies, served, asked = ports.policies(), dict[str, Watched](), list[Asked]()
        rules = {**self._rules, **policies}
        for model, policy in rules.items():
            if (version := self._serving(model)) is not None:
                known = self._of(model, version, now_s)
                champion = self._with_seen(known.champion, seen, policy, now_s)
                served[model] = replace(known, champion=champion)
                if model in policies:
                    served[model], more = _asking(served[model], policy, now_s)
                    asked += more
        changed = {model: one for model, one in served.items() if one != self._watched.get(model)}
        self._is_known = False  # until it is known to be kept
        ports.champions.keep(seen.cursor, changed, asked, fence=ports.fence())
        self._cursor, self._watched, self._is_known = seen.cursor, {**self._watched, **changed}, True
        for one in asked:
            log.warning("model %s: retraining is asked for, version %s: %s", one.model, one.version, one.asking.reason)
        self._rules = {model: rules[model] for model in served}
        self._told = {model: self._as_told(one, policies[model]) for model, one in served.items() if model in policies}
        return seen.more

    def _serving(self, model: str) -> str | None:
        """Return the version that most users get; None if there is none. While the traffic table cannot be read, return
        the version watched last, because samples that are skipped now are never read again."""
        try:
            table = self._ports.traffic.read(model)
        except SerinError as error:
            log.debug("model %s: which version serves is not known now: %s", model, error)
            known = self._watched.get(model)
            return known.champion.version if known is not None else None
        return max(table.weights_pct, key=table.share_of) if table is not None else None

    def _of(self, model: str, version: str, now_s: float) -> Watched:
        """Return the state for the version. A version that comes back continues from its earlier state."""
        known = self._watched.get(model)
        if known is None:
            return Watched(self._new(model, version, now_s))
        if known.champion.version == version:
            return known
        former = known.former
        back = former if former is not None and former.version == version else self._new(model, version, now_s)
        return Watched(back, known.champion, known.asked)

    def _new(self, model: str, version: str, now_s: float) -> Champion:
        release = self._ports.releases.newest(model, SERVED, version=version)
        return Champion(model, version, release.phase_since_s if release is not None else now_s)

    def _with_seen(self, champion: Champion, seen: Seen, policy: ReleasePolicy, now_s: float) -> Champion:
        key = champion.model, champion.version
        champion = champion.answered(seen.counts.get(key, {}), now_s, policy.watch)
        found = seen.labelled.get(key, ())
        if not found:
            return champion
        names = LabelNames(seen.classes.get(champion.model, ()), self._ports.label_names(champion.model))
        labels = [
            Labelled(one.answer == truth, one.confidence, one.probability)
            for one in found
            if (truth := names.truth(one.truth)) is not None
        ]
        lags = [max(one.waited_s, 0.0) for one in found if one.waited_s is not None]
        champion = champion.labelled(labels, policy.watch)
        return replace(champion, lag_s=median(lags)) if lags else champion

    def _as_told(self, watched: Watched, policy: ReleasePolicy) -> Told:
        quality, model = watched.champion.quality, watched.champion.model
        before = self._told.get(model)
        same = before is not None and before.watched.champion.version == watched.champion.version
        figures = before.figures if before is not None and same else None
        return Told(watched, quality.accuracy(policy.watch), quality.overconfidence(policy.watch), figures)

    def _look_at_figures(self, model: str) -> None:
        told, policy = self._told.get(model), self._ports.policies().get(model)
        if told is None or policy is None:
            return
        figures = self._figures.look(policy, told.watched.champion.version, self._ports.clock.now_s())
        self._told[model] = replace(told, figures=figures)


def _asking(watched: Watched, policy: ReleasePolicy, now_s: float) -> tuple[Watched, list[Asked]]:
    """Return the state with new causes for retraining added, and the requests for them."""
    champion, counts = watched.champion, dict(watched.asked)
    found = askings(champion, policy.watch, now_s)
    for one in found:
        counts[one.cause] = counts.get(one.cause, 0) + 1
    champion = replace(champion, asked=(*champion.asked, *(one.cause for one in found)))
    asked = [Asked(champion.model, champion.version, one, now_s) for one in found]
    return replace(watched, champion=champion, asked=counts), asked
