"""The rates at which mirrored requests became labelled pairs, and the time that labels took, from recorded looks."""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from gates.evidence import LabelledPair, Look
from gates.online.labelling import MOST


@dataclass(frozen=True, slots=True)
class SliceRate:
    """One slice's share of all pairs, and the share of its pairs that disagree."""

    name: str
    share: float
    disagreement: float


@dataclass(frozen=True, slots=True)
class Pairing:
    """The labelled pairs, and the rates at which mirrored requests became labelled pairs.

    ``counted``: the evidence has the number of completed pairs; if not, every mirrored request is taken for one.
    """

    counted: bool
    per_request: float  # completed pairs, of all live requests
    disagreement: float  # of the completed pairs
    labelled: float  # of the completed pairs, by chance
    directed: float  # of the disagreeing pairs, because they disagree
    chance_pairs: tuple[LabelledPair, ...]
    directed_pairs: tuple[LabelledPair, ...]
    slices: tuple[SliceRate, ...]


def pairing_of(releases: Sequence[Sequence[Look]], delay_s: float, requests: int) -> Pairing:
    looks = [look for looks in releases for look in looks]
    pairs = [pair for look in looks for pair in look.pairs]
    chance = tuple(pair for pair in pairs if not pair.directed)
    directed = tuple(pair for pair in pairs if pair.directed)
    agreed, disagreed = sum(look.pairs_agreed for look in looks), sum(look.pairs_disagreed for look in looks)
    counted = agreed + disagreed > 0
    if not counted:
        apart = math.fsum(1 / pair.inclusion_probability for pair in chance if differ(pair))
        weight = math.fsum(1 / pair.inclusion_probability for pair in chance)
        disagreed = round(ratio(apart, weight) * _shadow_requests(looks))
        agreed = _shadow_requests(looks) - disagreed
    completed = agreed + disagreed
    # Labels of the last minutes' answers were still to come, so those looks do not show how many answers get one.
    due = [look for looks in releases for look in looks if look.window.end_s <= looks[-1].window.end_s - delay_s]
    due_share = ratio(sum(map(_completed, due)), sum(map(_completed, looks))) or 1.0
    return Pairing(
        counted=counted,
        per_request=min(ratio(completed, requests), 1.0),
        disagreement=ratio(disagreed, completed),
        labelled=min(ratio(len(chance), completed * due_share), 1.0),
        directed=min(ratio(len(directed), disagreed * due_share), 1.0),
        chance_pairs=chance,
        directed_pairs=directed,
        slices=tuple(_slices(looks, completed)),
    )


def _completed(look: Look) -> int:
    counted = look.pairs_agreed + look.pairs_disagreed
    return counted or (look.shadow.requests if look.shadow else 0)


def _shadow_requests(looks: Sequence[Look]) -> int:
    return sum(look.shadow.requests for look in looks if look.shadow)


def _slices(looks: Sequence[Look], completed: int) -> Iterator[SliceRate]:
    agreed: Counter[str] = Counter()
    disagreed: Counter[str] = Counter()
    for look in looks:
        for part in look.slice_pairs:
            agreed[part.slice] += part.agreed
            disagreed[part.slice] += part.disagreed
    for name in sorted(agreed.keys() | disagreed.keys()):
        total = agreed[name] + disagreed[name]
        yield SliceRate(name, min(ratio(total, completed), 1.0), ratio(disagreed[name], total))


def differ(pair: LabelledPair) -> bool:
    """Return whether the versions predicted different classes."""
    return pair.stable.label != pair.candidate.label


def label_delay_s(releases: Sequence[Sequence[Look]]) -> float:
    """Return the seconds within which nearly all labels come (`MOST`): labels of a time count once so many have come.

    In older evidence, whose pairs do not say how long their labels took, it is the time from the first pair to the
    first labelled one, the median over the releases. Live labels are used only where nothing is paired, because some
    are of answers from before the release. Without any labels it is 0.
    """
    waited_s = sorted(pair.waited_s for looks in releases for look in looks for pair in look.pairs if not pair.replayed)
    if waited_s and waited_s[-1] > 0:
        return waited_s[math.ceil(MOST * len(waited_s)) - 1]
    if any(look.pairs for looks in releases for look in looks):
        delays = [_from_to(looks, _is_paired, _has_pairs) for looks in releases]
    else:
        delays = [_from_to(looks, _is_answered, _is_labelled) for looks in releases]
    known = [delay for delay in delays if delay is not None]
    return statistics.median(known) if known else 0.0


def _from_to(looks: Iterable[Look], begun: Callable[[Look], bool], ended: Callable[[Look], bool]) -> float | None:
    """Return the seconds between the first looks that show the one and the other; ``None`` where one never comes."""
    shown = list(looks)
    first, last = (next((look.window.end_s for look in shown if is_so(look)), None) for is_so in (begun, ended))
    return None if first is None or last is None else max(last - first, 0.0)


def _is_paired(look: Look) -> bool:
    return _completed(look) > 0


def _has_pairs(look: Look) -> bool:
    return bool(look.pairs)


def _is_answered(look: Look) -> bool:
    return look.stable is not None and look.stable.requests > 0


def _is_labelled(look: Look) -> bool:
    return look.stable_labels is not None and look.stable_labels.labelled > 0


def ratio(part: float, whole: float) -> float:
    """Return the share of ``part`` in ``whole``; 0 where ``whole`` is 0."""
    return part / whole if whole else 0.0
