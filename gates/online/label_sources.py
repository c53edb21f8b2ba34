"""Is a source of labels to be believed? What it names, which requests it labels, and whether it stands by its word.

A truth that is no class of either version is evidence of nothing: neither version can be right, so every disagreement
would count as no difference. Such labels never reach a gate. A source of which more than a small share is so, or whose
labels are for requests that nobody made, is at fault itself: gates that read labels are errors until it is mended. That
holds a release, and neither promotes it nor rolls it back.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from gates.evidence import LabelledPair, LabelSource, Look, NameCount
from gates.policy import LabelPolicy
from gates.wording import nearest_name, of, quoted_name

NAMES_TOLD = 3
_UNKNOWN_MIN = 3  # one slip of the pen among right labels holds no release
_EXPECTED_MIN = (
    10  # of so many labels whose request was sampled, by design, none matches by chance once in 20,000 times
)
_CONTRADICTED_MIN = 20


def with_known_truths(look: Look) -> Look:
    """The look without the pairs whose truth is no class of either version, where the classes are known."""
    if not look.classes or all(pair.truth in look.classes for pair in look.pairs):
        return look
    return replace(look, pairs=tuple(pair for pair in look.pairs if pair.truth in look.classes))


def doubts(look: Look, policy: LabelPolicy) -> tuple[str, ...]:
    """Why the sources of the look's labels are not to be believed, a sentence each; none where they are."""
    return tuple(doubt for source in _sources(look) for doubt in _doubts(source, look.classes, policy))


def _sources(look: Look) -> Iterator[LabelSource]:
    """Those that the look tells of, and what is unknown among its own pairs: other programs write looks too."""
    yield from look.label_sources
    unknown = [pair for pair in look.pairs if pair.truth not in look.classes] if look.classes else []
    if unknown:
        yield LabelSource("", len(look.pairs), len(unknown), _most_frequent(unknown))


def _most_frequent(pairs: Sequence[LabelledPair]) -> tuple[NameCount, ...]:
    counts = Counter(str(pair.truth) for pair in pairs)
    return tuple(NameCount(name, number) for name, number in counts.most_common(NAMES_TOLD))


def _doubts(source: LabelSource, classes: Sequence[str], policy: LabelPolicy) -> Iterator[str]:
    who = f"the source {quoted_name(source.source)}" if source.source else "the source"
    few = source.unknown < _UNKNOWN_MIN or source.unknown <= policy.unknown_ratio_max * source.labelled
    if source.unknown and (source.unknown >= source.labelled or not few):
        names = ", ".join(_name(one, classes) for one in source.unknown_names[:NAMES_TOLD])
        seen = of(source.unknown, source.labelled, "labels")
        yield f"{who} names no class of either version in {seen}: {names}; say in label_names what they mean"
    matched = source.settled - source.unmatched
    expected = source.expected_matched
    if expected >= _EXPECTED_MIN and matched < (1 - policy.unmatched_ratio_max) * expected:
        seen = of(source.unmatched, source.settled, "labels")
        yield f"{who} names no request that was sampled in {seen}: send the x-request-id of the gateway's answer"
    contradicted = source.contradicts_itself + source.contradicts_others
    labels = max(source.settled, source.labelled)
    if contradicted >= _CONTRADICTED_MIN and contradicted > policy.contradicted_ratio_max * labels:
        seen = f"itself {source.contradicts_itself:,} times and other sources {source.contradicts_others:,} times"
        yield f"{who} contradicts {seen}, in {labels:,} labels"


def _name(one: NameCount, classes: Sequence[str]) -> str:
    near = nearest_name(one.name, classes)
    hint = f" (perhaps {quoted_name(near)})" if near is not None else ""
    return f"{quoted_name(one.name)} {one.labels:,} times{hint}"
