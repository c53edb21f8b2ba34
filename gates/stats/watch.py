"""Watching the ratio of two event rates, or one share, for harm that may begin at any time: an e-process that learns
what to bet.

As in `gates.stats.ratio`, ``r`` is the candidate's event rate over stable's, and ``rho`` the candidate's share of the
requests of a window: given that an event happened, it was the candidate's with probability
``theta = r rho / (r rho + 1 - rho)``.

Against "``r`` is at most ``null``" each look bets on one ratio, chosen from earlier looks alone: that of the latest
events, drawn a little towards a first guess (a predictable plug-in, Waudby-Smith & Ramdas, arXiv:2010.09686). While
nothing is wrong the test bets little and loses little, so harm that begins in the fortieth minute is found nearly
as soon as harm from the start; a mixture of fixed bets would first have to win back what forty good minutes cost. What
many good hours cost comes from a reserve: each time less than its next part is at stake, that part is added to the
stake (restarts, arXiv:2203.03532). The parts sum to the reserve, so stake and reserve together are one e-process that
starts at 1.

Three things keep events that come together from passing for harm:

* the evidence of a look is divided by the design effect that was known before the look (`gates.stats.spread`);
* the looks of a spell, as long as one incident may last, together add no more than the cap (`gates.stats.cap`): a
  factor that is cut off is smaller, so the test stays valid;
* the exact test at the deadline, too, counts each event as one over the effect.
"""

import math
from dataclasses import dataclass, replace
from typing import Final

from gates.quick import quick
from gates.stats.cap import NO_CAP, NO_SPELL, Cap, Spell
from gates.stats.ratio import NO_ARMS, Arms, estimated_ratio

LEARNING: Final = 2.0  # about the log evidence that not knowing the ratio beforehand costs
BET_SPREAD: Final = 0.12  # about the standard deviation of the log of the bet around the log of the ratio
_FIRST: Final = 1.4  # times the null: the bet before anything was seen
_FIRST_EVENTS: Final = 3.0  # that the first bet is worth
LATEST_OF_MANY, LATEST_OF_FEW = 20.0, 12.0  # events that the bet is learnt from: of slow requests, of errors
_BET_MAX: Final = 20.0  # times the null
_CERTAIN: Final = 1e-3  # the largest share that is bet on is 1 less this
HARM_OF_ONE_INCIDENT: Final = 0.4  # of the deciding log evidence, what one incident may add: it takes three
_SETTLED: Final = 3.0  # times what one incident may add: above this peak no more suspicions are raised
RESERVE: Final = 0.2  # of what a test begins with; part ``n`` of the reserve is ``1 / (n (n + 1))`` of it


@quick
@dataclass(frozen=True, slots=True)
class WatchState:
    """The log of the stake, the highest log evidence, the latest events (those that the bet is learnt from), and the
    counts behind them.

    ``restarts``: parts of the reserve that are at stake already. ``expected``: how many of all events would be the
    candidate's if the rates were equal (of a share, at the null). ``counted...``: the candidate's own events, all
    events (of a share, trials), and the candidate's events at the null, each look's divided by its design effect.
    ``suspicions``: looks that said as much against the candidate as one alone may. ``spell``: the looks that are capped
    as one (`gates.stats.cap`); ``coming...``: their events, which are added to the latest ones when the spell ends.
    """

    log_stake: float = math.log(1 - RESERVE)
    restarts: int = 0
    peak: float = 0.0
    latest: float = 0.0
    latest_expected: float = 0.0
    arms: Arms = NO_ARMS
    expected: float = 0.0
    counted_own: float = 0.0
    counted: float = 0.0
    counted_expected: float = 0.0
    suspicions: int = 0
    spell: Spell = NO_SPELL
    coming: float = 0.0
    coming_expected: float = 0.0

    @property
    def events(self) -> int:
        return self.arms.events

    @property
    def share(self) -> float:
        """Return the candidate's events as a share of its requests."""
        requests = self.arms.candidate_total
        return self.arms.candidate_events / requests if requests else 0.0

    def estimate(self) -> float | None:
        """Return the ratio of the rates, at the realised shares; None where nothing shows it."""
        return estimated_ratio(self.arms, self.expected)

    def p_value(self, effect: float = 1.0) -> float:
        """Return the p-value against "the ratio, or the share, is at most the null"; of a ratio, given the number of
        events of each window.

        ``effect``: how many events count as one by all looks, used where that is more than each look knew. The windows'
        shares differ, so the candidate's events are a Poisson binomial. From one event above the mean on, its upper
        tail is below that of the binomial with the mean probability (Hoeffding 1956, theorem 4); before that, 1 is
        returned.
        """
        from gates.stats.exact import upper_tail  # here, so that reading a state needs no scipy

        further = (
            max(effect * self.counted_own / self.arms.candidate_events, 1.0) if self.arms.candidate_events else 1.0
        )
        own = math.floor(self.counted_own / further * (1 + 1e-12))
        if own < self.counted_expected / further + 1:
            return 1.0
        return upper_tail(own, max(self.counted / further, own), self.counted_expected / self.counted)


def cap_of(alpha: float, incident_s: float = 0.0) -> Cap:
    """Return the cap for a test that rejects at ``alpha``, where an incident lasts up to ``incident_s``."""
    return Cap(HARM_OF_ONE_INCIDENT * math.log(1 / alpha), incident_s)


@dataclass(frozen=True, slots=True)
class RatioWatch:
    """Evidence against "the ratio is at most ``null``". ``latest``: how many events the bet is learnt from."""

    cap: Cap = NO_CAP
    latest: float = LATEST_OF_MANY

    def add(
        self, state: WatchState, arms: Arms, *, null: float = 1.0, effect: float = 1.0, length_s: float = math.inf
    ) -> WatchState:
        """Return the state after one window of ``length_s`` seconds. ``null`` and the design ``effect`` must be known
        before the window."""
        if not arms.comparable:
            return state
        if not arms.events and state.spell.begins:
            return replace(state, arms=state.arms + arms)
        share, own, events = arms.share, arms.candidate_events, arms.events
        bet, odds = _bet(state, effect), share / (1 - share)
        gain = own * math.log(bet) - events * math.log((1 + null * bet * odds) / (1 + null * odds))
        return _after(
            state,
            _Gain(gain / effect, self.cap, length_s),
            _Seen(own, arms.stable_events * null * odds, events, events * null * odds / (1 + null * odds)),
            effect,
            arms,
            events * share,
            self.latest,
        )


@dataclass(frozen=True, slots=True)
class ShareWatch:
    """Evidence against "the share of events among trials is at most ``null``", of one version alone."""

    null: float
    cap: Cap = NO_CAP
    latest: float = LATEST_OF_MANY

    def add(
        self, state: WatchState, events: int, total: int, effect: float = 1.0, *, length_s: float = math.inf
    ) -> WatchState:
        """Return the state after one window of ``length_s`` seconds. The design ``effect`` must be known before it."""
        if not total:
            return state
        bet, expected = min(_bet(state, effect), (1 - _CERTAIN) / self.null), total * self.null
        gain = events * math.log(bet) + (total - events) * math.log((1 - bet * self.null) / (1 - self.null))
        seen = _Seen(events, expected, total, expected)
        said = _Gain(gain / effect, self.cap, length_s)
        return _after(state, said, seen, effect, Arms(events, total, 0, 0), expected, self.latest)


@quick
@dataclass(frozen=True, slots=True)
class _Seen:
    """A window. ``own``: the candidate's events; ``expected_beside``: how many of them the null expects beside the
    events of stable (of a share, among the trials); ``trials``: all events (of a share, requests); ``expected``: how
    many of the trials the null expects to be the candidate's events."""

    own: int
    expected_beside: float
    trials: int
    expected: float


@quick
@dataclass(frozen=True, slots=True)
class _Gain:
    """The log evidence that a window of ``length_s`` seconds said, and its cap."""

    said: float
    cap: Cap
    length_s: float


def _bet(state: WatchState, effect: float) -> float:
    """Return the ratio to bet on, as a multiple of the null: that of the latest events, drawn towards a first guess."""
    first = _FIRST_EVENTS * effect
    return min(max((state.latest + first * _FIRST) / (state.latest_expected + first), 1.0), _BET_MAX)


def _after(
    state: WatchState, gain: _Gain, seen: _Seen, effect: float, arms: Arms, expected: float, memory: float
) -> WatchState:
    counted, spell = gain.cap.count(state.spell, gain.said, gain.length_s)
    log_stake, restarts, most = state.log_stake + counted, state.restarts, gain.cap.most
    part = RESERVE / (restarts + 1) / (restarts + 2)
    if log_stake < math.log(part):
        log_stake, restarts = math.log(math.exp(log_stake) + part), restarts + 1
    latest, latest_expected = state.latest, state.latest_expected
    coming, coming_expected = state.coming + seen.own, state.coming_expected + seen.expected_beside
    if spell.begins:  # not within a spell: an incident's looks would bet on what its first looks said
        latest, latest_expected = latest + coming, latest_expected + coming_expected
        both = latest + latest_expected
        kept = min(1.0, memory * effect / both) if both else 1.0
        latest, latest_expected, coming, coming_expected = kept * latest, kept * latest_expected, 0.0, 0.0
    return WatchState(
        log_stake=log_stake,
        restarts=restarts,
        peak=max(state.peak, log_stake),
        latest=latest,
        latest_expected=latest_expected,
        arms=state.arms + arms,
        expected=state.expected + expected,
        counted_own=state.counted_own + seen.own / effect,
        counted=state.counted + seen.trials / effect,
        counted_expected=state.counted_expected + seen.expected / effect,
        suspicions=state.suspicions + (gain.said >= most and state.peak < _SETTLED * most),
        spell=spell,
        coming=coming,
        coming_expected=coming_expected,
    )
