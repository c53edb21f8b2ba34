"""The sentences of accuracy.shadow's verdicts."""

from dataclasses import dataclass

from gates.evidence import LeastLikely
from gates.online.accuracy_shadow.mix import Mix
from gates.online.pairing import Losses
from gates.outcome import Outcome
from gates.stats.betting import Trinomial
from gates.stats.share import ShareState
from gates.wording import changed, more, pct, set_aside, weighed


@dataclass(frozen=True, slots=True)
class Told:
    """The figures that a sentence gives. ``since``: the counts of D since the later start that most of the evidence is
    from; None: since the beginning. ``waiting``: labelled pairs that do not count yet. ``hidden_points``: the loss, in
    points, that the choice of labels may hide; 0 unless a pass waits because of it."""

    losses: Losses
    differ: ShareState
    points: float
    since: Trinomial | None
    margin_points: float
    needed: int | None
    waiting: int
    unlikely: LeastLikely | None
    mix: Mix
    hidden_points: float = 0.0

    @property
    def apart(self) -> str:
        differ = self.differ
        if not differ.total:
            return ""
        return f"the versions disagree on {pct(differ.share)} of {differ.total:,} requests{self.mix.told}"

    @property
    def loss(self) -> str:
        return f"{self.margin_points:g} point" + ("" if self.margin_points == 1 else "s")


def sentence(outcome: Outcome, told: Told) -> str:
    """Return the sentence that explains the outcome."""
    losses, labels, apart = told.losses, told.losses.labels, told.apart
    if not labels:
        return _without_label(outcome, told)
    if not losses.weighable and outcome is Outcome.INCONCLUSIVE:
        chances = losses.by_chance
        span = f"{chances.least:.2g} to {chances.most:.2g}"
        return (
            f"These labels cannot show accuracy{', ' + apart if apart else ''}: some were asked for where "
            f"the versions disagree, and the others were not equally likely ({span}), so nothing says how many "
            "pairs each stands for. Use one of the two in a release."
        )
    seen = f"{changed(losses.counts.plus, losses.counts.minus)} in {labels:,} labelled pairs"
    seen += f", {weighed(losses.chances.least, losses.chances.most)}" if losses.weighable and not losses.even else ""
    seen += f", {apart}" if apart else ""
    if outcome is Outcome.FAIL and told.since is not None:
        lately = f"{changed(told.since.plus, told.since.minus)} in {told.since.total:,} pairs"
        return f"Accuracy fell by {told.points:.1f} points of late: {lately}; in all {seen}."
    if outcome is Outcome.FAIL:
        least = "" if losses.weighable else "at least "
        return f"Accuracy fell by {least}{told.points:.1f} points: {seen}."
    if outcome is Outcome.PASS:
        return f"Accuracy holds, a loss of {told.loss} is excluded: {seen}."
    further = set_aside(losses.kept.aside, losses.chances.least, told.unlikely)
    further = further or _hidden(told) or more(told.needed, labels, "labels of further texts")
    further += f"; {told.waiting:,} more count once others of their time have come too" if told.waiting else ""
    return f"Accuracy {-told.points:+.1f} points, not settled yet: {seen}; {further}."


def _hidden(told: Told) -> str:
    if not told.hidden_points:
        return ""
    return (
        "they disagree more often on what chance labelled than on all, which would hide a loss of "
        f"{told.hidden_points:.1f} points if it is not by chance, as where what users complain about is labelled"
    )


def _without_label(outcome: Outcome, told: Told) -> str:
    if outcome is Outcome.PASS:
        return f"Accuracy holds without a label: {told.apart}, too few for a loss of {told.loss}."
    if told.waiting:
        return f"No labelled pair counts yet: {told.waiting:,} do once others of their time have come too."
    return f"No labelled pair yet{', ' + told.apart if told.apart else ''}: labels of mirrored requests are needed."
