"""The check whether a source of labels is to be believed: what it names, which requests it labels, and whether it
contradicts itself or other sources.

A truth that is no class of either version is evidence of nothing: neither version can be right, so every disagreement
would count as no difference. Such labels never reach a gate. A source is at fault itself if more than a small share of
its labels are like that, if hardly any match a sampled request, or if too many contradict: gates that read labels are
errors until the source is mended. That holds a release, and neither promotes it nor rolls it back.

Senders name their sources as they like, "TOKEN/PERSON", and one person may send too few labels to be judged by. So
where no single source shows a fault, all sources of a token are judged together, and then all sources.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final

from gates.evidence import LabelledPair, LabelSource, Look, NameCount
from gates.wording import nearest_name, of, perhaps, quoted_name

NAMES_TOLD = 3  # unknown names that one sentence shows
_UNKNOWN_MIN = 3  # unknown names: fewer among right ones are slips of the pen, and hold no release
# Labels that should match a sampled request: that none of 10 does happens by chance once in 20,000 times.
_EXPECTED_MIN = 10
_CONTRADICTED_MIN = 20  # contradictions: fewer are no fault
_SUMMED: Final = ("labelled", "unknown", "settled", "unmatched", "contradicts_itself", "contradicts_others")
_OTHERS: Final = "(others)"
_NAMES_MAX: Final = 5  # unknown names that a sum of sources keeps, as many as one source


@dataclass(frozen=True, slots=True)
class LabelPolicy:
    """The limits beyond which a source of labels is at fault itself. Gates that read labels are then errors until the
    source is mended: nothing is promoted and nothing rolled back.

    Each share is of the last 1,000 labels of the release, by source, so that an error ends by itself once correct
    labels come.
    """

    unknown_ratio_max: Annotated[
        float,
        "of a source's labels, those that name no class of either version; if all do, at once. So much accuracy could "
        "be lost in a class that is never named rightly and not be seen: keep it well below "
        "`accuracy_shadow.margin_points`",
    ] = 0.005
    unmatched_ratio_max: Annotated[
        float, "of its labels, of those whose request was sampled by design, those that match none; `1`: never"
    ] = 0.99
    unmatched_grace_s: Annotated[float, "after a label came, for the sample of its request to come too"] = 60.0
    contradicted_ratio_max: Annotated[float, "of its labels: it said another thing before, or another source did"] = 0.2
    chosen_ratio_max: Annotated[
        float,
        "of the labelled pairs, those that would have to be others for their confidences to be like all pairs'; beyond "
        "it they were chosen, and not as they say",
    ] = 0.1
    maturity_s: Annotated[
        float | None,
        "labels arrive up to this far apart: those of `accuracy.shadow` count once their requests are this old, and "
        "other gates that read labels conclude nothing until that is at most a fifth of the time that labels are of; "
        "`null`: learnt from when labels come, which cannot know of those that never came before",
    ] = None

    def __post_init__(self) -> None:
        for name in ("unknown_ratio_max", "unmatched_ratio_max", "contradicted_ratio_max", "chosen_ratio_max"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, got {getattr(self, name)}")
        if self.maturity_s is not None and not 0 <= self.maturity_s < math.inf:
            raise ValueError(f"maturity_s must be a time in seconds, got {self.maturity_s}")


def with_known_truths(look: Look) -> Look:
    """Return the look without the pairs whose truth is no class of either version; unchanged where the classes are not
    known."""
    if not look.classes or all(pair.truth in look.classes for pair in look.pairs):
        return look
    return replace(look, pairs=tuple(pair for pair in look.pairs if pair.truth in look.classes))


def doubts(look: Look, policy: LabelPolicy) -> tuple[str, ...]:
    """Return why the sources of the look's labels are not to be believed, a sentence for each reason; empty where they
    are.

    A fault is reported for the smallest part that shows it: a source, else all of its token, else all sources together.
    """
    by_token: dict[str, list[LabelSource]] = {}
    for source in look.label_sources:
        by_token.setdefault(_token(source), []).append(source)
    found = [doubt for token, sources in by_token.items() for doubt in _of_token(token, sources, look.classes, policy)]
    if not found and len(by_token) > 1:
        every = replace(_sum("all sources", look.label_sources), others_labels=0)
        found += _doubts(every, "all sources together", look.classes, policy)
    return (*found, *(doubt for one in _own(look) for doubt in _doubts(one, "the source", look.classes, policy)))


def told(sources: Sequence[LabelSource], most: int) -> tuple[LabelSource, ...]:
    """Return the sources to report, by name: ``most`` of them one by one, those with the most labels of unknown names
    first, then the busiest.

    The others are summed by token, for ``most`` tokens at most, and the rest in one sum: each label counts exactly
    once.
    """
    ordered = sorted(sources, key=_importance)
    rest: dict[str, list[LabelSource]] = {}
    for source in ordered[most:]:
        rest.setdefault(_token(source), []).append(source)
    sums = sorted((_sum(f"{token}/{_OTHERS}", of_token) for token, of_token in rest.items()), key=_importance)
    last = (_sum(_OTHERS, sums[most:]),) if sums[most:] else ()
    return (*sorted((*ordered[:most], *sums[:most]), key=lambda one: one.source), *last)


def _importance(source: LabelSource) -> tuple[int, int, str]:
    contradicted = source.contradicts_itself + source.contradicts_others + source.corrected_late
    return -source.unknown, -(source.labelled + source.settled + contradicted), source.source


def _token(source: LabelSource) -> str:
    return source.source.partition("/")[0]


def _of_token(token: str, sources: Sequence[LabelSource], classes: Sequence[str], policy: LabelPolicy) -> Iterator[str]:
    found = [
        doubt
        for source in sources
        for doubt in _doubts(source, f"the source {quoted_name(source.source)}", classes, policy, one_of=len(sources))
    ]
    yield from found
    if not found and len(sources) > 1:
        who = f"the sources of {quoted_name(token)} together"
        yield from _doubts(_sum(token, sources), who, classes, policy)


def _sum(name: str, sources: Sequence[LabelSource]) -> LabelSource:
    counts = {field: sum(getattr(source, field) for source in sources) for field in _SUMMED}
    return LabelSource(
        name,
        **counts,
        unknown_names=_most(one for source in sources for one in source.unknown_names),
        expected_matched=min(math.fsum(source.expected_matched for source in sources), float(counts["settled"])),
        corrected_late=sum(source.corrected_late for source in sources),
        others_labels=max((source.others_labels for source in sources), default=0),  # mostly of the same sources
    )


def _most(names: Iterable[NameCount]) -> tuple[NameCount, ...]:
    counts: Counter[tuple[str, str]] = Counter()
    for one in names:
        counts[one.name, one.meant] += one.labels
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(NameCount(name, labels, meant) for (name, meant), labels in ordered[:_NAMES_MAX])


def _own(look: Look) -> Iterator[LabelSource]:
    """Yield a source of the look's own pairs, if some name no class: looks that other programs write may have such
    pairs."""
    unknown = [pair for pair in look.pairs if pair.truth not in look.classes] if look.classes else []
    if unknown:
        yield LabelSource("", len(look.pairs), len(unknown), _most_frequent(unknown))


def _most_frequent(pairs: Sequence[LabelledPair]) -> tuple[NameCount, ...]:
    counts = Counter(str(pair.truth) for pair in pairs)
    return tuple(NameCount(name, number) for name, number in counts.most_common(NAMES_TOLD))


def _doubts(
    source: LabelSource, who: str, classes: Sequence[str], policy: LabelPolicy, *, one_of: int = 1
) -> Iterator[str]:
    """Yield the doubts about a source, a sentence each. ``one_of``: the number of sources of its token; where there are
    several, a person with few labels, all of them unknown, may have made slips of the pen only."""
    few = source.unknown < _UNKNOWN_MIN or source.unknown <= policy.unknown_ratio_max * source.labelled
    all_unknown = source.unknown >= source.labelled and not (one_of > 1 and "/" in source.source and few)
    if source.unknown and (all_unknown or not few):
        names = ", ".join(_name(one, classes) for one in source.unknown_names[:NAMES_TOLD])
        seen = of(source.unknown, source.labelled, "labels")
        yield f"{who} names no class of either version in {seen}: {names}; say in label_names what they mean"
    matched = source.settled - source.unmatched
    expected = source.expected_matched
    if expected >= _EXPECTED_MIN and matched < (1 - policy.unmatched_ratio_max) * expected:
        seen = of(source.unmatched, source.settled, "labels")
        yield f"{who} names no request that was sampled in {seen}: send the x-request-id of the gateway's answer"
    contradicted = source.contradicts_itself + source.contradicts_others
    labels = max(source.settled, source.labelled) + source.others_labels  # the one that contradicts may be right
    if contradicted >= _CONTRADICTED_MIN and contradicted > policy.contradicted_ratio_max * labels:
        seen = f"itself {source.contradicts_itself:,} times and other sources {source.contradicts_others:,} times"
        both = " of both" if source.others_labels else ""
        yield f"{who} contradicts {seen}, in {labels:,} labels{both}"


def _name(one: NameCount, classes: Sequence[str]) -> str:
    said = one.meant or one.name
    mapped = f", which label_names calls {quoted_name(one.meant)}, no class either" if one.meant else ""
    hint = perhaps(said, nearest_name(said, classes))
    return f"{quoted_name(one.name)} {one.labels:,} times{mapped}" + (f" ({hint})" if hint else "")
