"""The claims of one source, checked against another: no more can have been sampled than was asked.

Sums over the release. What came in up to the look *before* is compared with the requests that were counted up to this
one, so that a count which is a scrape or two late is no contradiction; and nothing is said within what chance and the
beginning of a release, when answers of a moment before still come in, make of it.
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
"""The sums at the look that they begin with."""
_SLACK = 100  # answers: of the moment before the release began
_SLACK_RATIO = 0.05
_LOG_CHANCE = math.log(1e6)
_OF_LIVE: Final = ("texts", "answered", "sampled")
_OF_COPIES: Final = ("copied ", "copies answered ")
_TEXTS_MAX = Limits().texts_max  # of a request, as the API has it
_ELSEWHERE_MIN = 100  # requests
_UNPAIRED_MIN = 200  # answers
_PAIRED_RATIO_MIN = 0.5
_COPIES_MIN = 100  # that are sampled


@dataclass(frozen=True, slots=True)
class Arrived:
    """The arrivals of the looks of a release so far, by what and version: ``asked 6`` (live requests, by the gateway),
    ``copied 7`` (mirrored ones), ``answered 6`` (live, by its replicas), ``copies answered 7`` (by those, too),
    ``texts 6`` (of live ones), ``sampled 6`` (live answers), and ``paired``. ``to pair`` and ``of those paired`` are
    sums of the stretches in which everything was mirrored."""

    sums: Mapping[str, int]

    def plus(self, found: Mapping[str, int]) -> "Arrived":
        return Arrived({name: self.of(name) + found.get(name, 0) for name in {**self.sums, **found}})

    def of(self, *names: str) -> int:
        return sum(self.sums.get(name, 0) for name in names)

    @property
    def begun(self) -> bool:
        """Return whether every source has said where it stood when the sums began."""
        return BEGUN.keys() <= self.sums.keys()

    def of_pairs(self) -> dict[str, int]:
        """The sums of what was mirrored, and of what came in for it."""
        return {name: more for name, more in self.sums.items() if name == "paired" or name.startswith(_OF_COPIES)}

    def on_pairs(self, before: "Arrived", *, mirrored: bool) -> "Arrived":
        """With what has come since ``before`` to be paired, if everything was mirrored since then."""
        more: dict[str, int] = {}
        if mirrored and before.of("mirrored") and "paired" in self.sums:
            live = [name for name in self.sums if name.startswith("sampled ")]
            more["to pair"] = self.of(*live) - before.of(*live)
            more["of those paired"] = self.of("paired") - before.of("paired")
        return Arrived({**self.plus(more).sums, "mirrored": int(mirrored)})

    def texts_a_request(self, version: str) -> float:
        """A request may hold a list of texts; each of its answers is a sample."""
        return max(self.of(f"texts {version}") / max(self.of(f"answered {version}"), 1), 1.0)


def asked(counts: GatewayCounts) -> dict[str, int]:
    """Return what a look adds, according to the gateway."""
    live = {f"asked {version}": max(arm.requests, counts.sent[version]) for version, arm in counts.live.items()}
    return live | {f"copied {version}": copies for version, copies in counts.copies.items()}


def answered(counts: MetricCounts) -> dict[str, int]:
    """Return what a look adds, according to the replicas."""
    texts = {f"texts {version}": sum(used.token_counts) for version, used in counts.usage.items()}
    copies = {f"copies answered {version}": sum(arm.latency_counts) for version, arm in counts.shadow.items()}
    return texts | copies | {f"answered {version}": arm.requests for version, arm in counts.live.items()}


def sampled(found: SampleEvidence, stable: str, candidate: str) -> dict[str, int]:
    """Return what a look adds, according to the sampled answers."""

    def number(answers: AnswerCounts) -> int:
        return sum(answers.classes.values())

    live = {f"sampled {stable}": number(found.stable_answers), f"sampled {candidate}": number(found.candidate_answers)}
    if found.paired is None:
        return live
    asked_again = found.replayed.requests if found.replayed is not None else 0  # past the gateway, of the candidate
    return live | {"paired": found.paired, f"copies answered {candidate}": -asked_again}


def contradictions(
    before: Arrived, now: Arrived, versions: tuple[str, str], *, captured: float, copied: float = 1.0
) -> Iterator[Fault]:
    """Sources that cannot both be right. ``captured``: the largest share of requests whose samples may be among these;
    ``copied``: the share of live requests that is mirrored.

    It is the controller's own, and no sender's: what a replica that has not heard of it sampled beyond was thinned out
    as it came in (`controller.api.samples`). So of true answers there are no more than by this share, whoever sampled
    them, and a sender wins nothing by what it says of its own chance.

    The gateway counts a request of a version for which the other one stood in as the first one's: what one was asked
    and did not answer, the other may have answered.
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
    # Whoever copies a part of the requests may choose it by the same rule as who samples: then of the copies a larger
    # part is sampled than of the requests.
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
    """Copies whose ids no live request has: of the first of them on, for without pairs nothing is proven in shadow.

    Of copies as large a share is sampled as of live answers, by the same ids. The candidate's, answered up to the look
    before, are held against the pairs that have come in up to this one; a version that fails to answer its copies says
    nothing of their ids.
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
    """The largest number of samples that so many requests can give, but for a chance of less than one in a million.

    Requests are sampled, each with all of its texts, so few long lists make more of chance than many short ones. How
    long they are is known by the mean (``texts``) and by what a request may hold: the squares of their lengths sum up
    to no more than if each were one text or the longest list. Bernstein's inequality (Boucheron, Lugosi and Massart,
    *Concentration Inequalities*, 2013, theorem 2.10) makes a bound of that.
    """
    asked = requests * texts
    longest = min(float(_TEXTS_MAX), 1 + asked - requests)
    squares = requests + (asked - requests) * (longest + 1)
    chance = math.sqrt(2 * _LOG_CHANCE * captured * (1 - captured) * squares) + _LOG_CHANCE * longest / 3
    return min(asked * captured + chance, asked) * (1 + _SLACK_RATIO) + _SLACK
