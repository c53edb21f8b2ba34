"""The check of one source against another: there cannot be more samples than requests.

Sums over the release are compared: the samples up to the *last* look with the requests counted up to this one, so that
a count that is a scrape or two late is no contradiction. Differences that chance can make are tolerated, and so are the
answers from just before the release that arrive at its beginning.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from controller.ports.metrics import GatewayCounts, MetricCounts
from controller.ports.samples import AnswerCounts, SampleEvidence
from gates.checks import GATEWAY, PREDICTIONS
from gates.evidence import Fault
from serving.contract import REQUEST_ID_HEADER
from serving.settings import Limits

BEGUN: Final[Mapping[str, int]] = {"mirrored": 0}
"""The sums at the first look."""
_SLACK = 100  # answers from just before the release began
_SLACK_RATIO = 0.05
_LOG_CHANCE = math.log(1e6)
_OF_LIVE: Final = ("texts", "answered", "sampled")
_OF_COPIES: Final = ("copied ", "copies answered ")
_TEXTS_MAX = Limits().texts_max  # the most texts in one request
_ELSEWHERE_MIN = 100  # requests
_UNPAIRED_MIN = 200  # answers
_PAIRED_RATIO_MIN = 0.5
_COPIES_MIN = 100  # sampled copies


@dataclass(frozen=True, slots=True)
class Arrived:
    """The sums over a release's looks so far. Keys hold a version's number. By the gateway: ``asked 6`` (live requests)
    and ``copied 7`` (mirrored ones). By the replicas: ``answered 6`` (live requests), ``copies answered 7`` and
    ``texts 6`` (in live requests). By the samples: ``sampled 6`` (live answers) and ``paired``. ``to pair`` and ``of
    those paired`` cover only the time in which everything was mirrored."""

    sums: Mapping[str, int]

    def plus(self, found: Mapping[str, int]) -> "Arrived":
        return Arrived({name: self.of(name) + found.get(name, 0) for name in {**self.sums, **found}})

    def of(self, *names: str) -> int:
        return sum(self.sums.get(name, 0) for name in names)

    @property
    def begun(self) -> bool:
        """Return whether the sums have begun: every source has answered at one look."""
        return BEGUN.keys() <= self.sums.keys()

    def of_pairs(self) -> dict[str, int]:
        """Return the sums of copies and of pairs."""
        return {name: more for name, more in self.sums.items() if name == "paired" or name.startswith(_OF_COPIES)}

    def on_pairs(self, before: "Arrived", *, mirrored: bool) -> "Arrived":
        """Return the sums with ``to pair`` and ``of those paired`` increased by what came since ``before``, if
        everything was mirrored since then."""
        more: dict[str, int] = {}
        if mirrored and before.of("mirrored") and "paired" in self.sums:
            live = [name for name in self.sums if name.startswith("sampled ")]
            more["to pair"] = self.of(*live) - before.of(*live)
            more["of those paired"] = self.of("paired") - before.of("paired")
        return Arrived({**self.plus(more).sums, "mirrored": int(mirrored)})

    def texts_a_request(self, version: str) -> float:
        """Return the mean number of texts in a live request of the version, at least 1; each text gives one sample."""
        return max(self.of(f"texts {version}") / max(self.of(f"answered {version}"), 1), 1.0)


def asked(counts: GatewayCounts) -> dict[str, int]:
    """Return the gateway's part of a look's sums."""
    live = {f"asked {version}": max(arm.requests, counts.sent[version]) for version, arm in counts.live.items()}
    return live | {f"copied {version}": copies for version, copies in counts.copies.items()}


def answered(counts: MetricCounts) -> dict[str, int]:
    """Return the replicas' part of a look's sums."""
    texts = {f"texts {version}": sum(used.token_counts) for version, used in counts.usage.items()}
    copies = {f"copies answered {version}": sum(arm.latency_counts) for version, arm in counts.shadow.items()}
    return texts | copies | {f"answered {version}": arm.requests for version, arm in counts.live.items()}


def sampled(found: SampleEvidence, stable: str, candidate: str) -> dict[str, int]:
    """Return the sampled answers' part of a look's sums."""

    def number(answers: AnswerCounts) -> int:
        return sum(answers.classes.values())

    live = {f"sampled {stable}": number(found.stable_answers), f"sampled {candidate}": number(found.candidate_answers)}
    if found.paired is None:
        return live
    asked_again = found.replayed.requests if found.replayed is not None else 0  # replays do not pass the gateway
    return live | {"paired": found.paired, f"copies answered {candidate}": -asked_again}


def contradictions(
    before: Arrived, now: Arrived, versions: tuple[str, str], *, captured: float, copied: float = 1.0
) -> Iterator[Fault]:
    """Yield a fault for each two sources that cannot both be right. ``captured``: the largest share of requests at
    which the samples may have been taken; ``copied``: the share of live requests that is mirrored.

    ``captured`` is the controller's own figure, not a sender's: samples of a replica that used a larger share were
    thinned out as they arrived (`controller.api.samples`). So there cannot be more true answers than this share allows,
    and a sender gains nothing by a false inclusion probability.

    If one version stands in for the other, the gateway counts the request for the version that did not answer. So
    requests that one version got and did not answer may have been answered by the other.
    """
    passed_on = {
        version: max(now.of(f"asked {other}") - now.of(f"answered {other}"), 0)
        for version, other in (versions, versions[::-1])
    }
    for version in versions:
        requests, seen = now.of(f"asked {version}"), before.of(f"answered {version}")
        requests += passed_on[version]
        if seen >= _ELSEWHERE_MIN and requests < seen / 2:
            yield Fault(
                GATEWAY,
                f"the replicas of version {version} answered {seen:,} live requests, but the gateway counted "
                f"{requests:,}: another gateway is being scraped, or users bypass it",
            )
            return
    live = {version: now.of(f"asked {version}") + passed_on[version] for version in versions}
    sources: list[tuple[str, str, int, float, float]] = [
        (
            f"live answers of version {version}",
            f"sampled {version}",
            requests,
            captured,
            _at_most(requests, captured, now.texts_a_request(version)),
        )
        for version, requests in live.items()
    ]
    copies, texts = now.of(*(f"copied {version}" for version in versions)), max(map(now.texts_a_request, versions))
    # The gateway may choose the requests to copy by the same rule as replicas choose samples. Then a larger share of
    # the copies is sampled than of all requests.
    share = min(captured / copied, 1.0) if copied else 1.0
    pairs = _at_most(copies, share, texts)
    if any(name.startswith("copied ") for name in now.sums):  # not every gateway tells them
        sources.append(("pairs of answers", "paired", copies, share, pairs))
    for what, name, requests, part, most in sources:
        seen = before.of(name)
        if seen > most:
            yield Fault(
                PREDICTIONS,
                f"{seen:,} {what} came in, but the gateway counted {requests:,} requests for them, of which "
                f"{100 * part:.3g} % are sampled ({most:,.0f} at most): somebody sends answers that nobody "
                "asked for",
            )
    due, paired = before.of("to pair"), now.of("of those paired")
    if due >= _UNPAIRED_MIN and paired < _PAIRED_RATIO_MIN * due:
        yield Fault(
            PREDICTIONS,
            f"{due:,} live answers were sampled, but the other version sampled only {paired:,} of them, "
            "although everything is mirrored: no request had their ids, or answers are lost on the way",
        )


def unpaired(before: Arrived, now: Arrived, versions: tuple[str, str]) -> Iterator[Fault]:
    """Yield a fault if copies do not have the ids of live requests, as soon as this shows: without pairs nothing can be
    proven in shadow.

    Copies are sampled at the same share as live answers, by the same ids. The copies that the candidate answered up to
    the last look are compared with the pairs up to this one; copies that it failed to answer do not count.
    """
    texts, answered_, sampled_ = (now.of(*(f"{what} {one}" for one in versions)) for what in _OF_LIVE)
    share = min(sampled_ / max(texts or answered_, 1), 1.0)
    copies, pairs = before.of(f"copies answered {versions[1]}"), now.of("paired")
    if "paired" in now.sums and copies * share >= _COPIES_MIN and pairs < _PAIRED_RATIO_MIN * copies * share:
        yield Fault(
            PREDICTIONS,
            f"PairsNotReady: {copies:,} copies were answered, of which {100 * share:.3g} % are sampled, "
            f"but {pairs:,} pairs came in: copies do not carry the {REQUEST_ID_HEADER} of their live "
            "request (the gateway has to set it before it copies), or answers are lost on the way",
        )


def _at_most(requests: int, captured: float, texts: float) -> float:
    """Return the largest number of samples that this number of requests gives, except with a probability below one in a
    million, plus some slack.

    Requests are sampled with all their texts, so a few long lists vary more than many short ones. Of their lengths only
    the mean (``texts``) and the maximum of one request are known: the sum of their squares is largest if every request
    has either one text or the longest list. Bernstein's inequality (Boucheron, Lugosi and Massart, *Concentration
    Inequalities*, 2013, theorem 2.10) gives the bound.
    """
    asked = requests * texts
    longest = min(float(_TEXTS_MAX), 1 + asked - requests)
    squares = requests + (asked - requests) * (longest + 1)
    chance = math.sqrt(2 * _LOG_CHANCE * captured * (1 - captured) * squares) + _LOG_CHANCE * longest / 3
    return min(asked * captured + chance, asked) * (1 + _SLACK_RATIO) + _SLACK
