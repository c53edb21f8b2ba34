"""The forecast of what a person's command would do now: a sentence, and what the person has to agree to first.

Pure. The state may have changed by the time the controller takes up the command.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from controller.core.commands import Ask, Freeze
from controller.core.release import Phase, Purpose, Release
from controller.core.traffic import HUNDRED_PCT, TrafficTable
from controller.core.words_of_people import step_after


class Consent(StrEnum):
    """The consent that a person has to give before a start; the flag of `serin release start` has the same name."""

    SUPERSEDE = "supersede"  # the release in progress ends, undecided
    REPEAT = "repeat"  # a person took this version back
    DURING_FREEZE = "during-freeze"  # the new release waits until the freeze is over


@dataclass(frozen=True, slots=True)
class Foreseen:
    """The forecast for one command. ``sentence`` says what would happen. ``acts``: whether anything would.
    ``consents``: the consents that a person has to give, each with the reason for it."""

    sentence: str
    acts: bool = True
    consents: tuple[tuple[Consent, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """The current state of a model. ``taken_back``: why a person took the requested version back; empty if nobody did,
    or if the version has had a release since. ``unreadable``: why the state is not known; empty if it is known."""

    model: str
    release: Release | None  # the release in progress
    table: TrafficTable | None
    freezes: Sequence[Freeze] = ()
    taken_back: str = ""
    unreadable: str = ""


def foresee(ask: Ask, standing: Standing, version: str | None = None) -> Foreseen:
    """Return what the command would do. ``version``: the requested version, for a command that starts a release."""
    if standing.unreadable:  # the command is not refused: it may be the way back
        return Foreseen(f"What that would do is not known: {standing.unreadable}")
    return _of_what_is_known(ask, standing, version or "")


def _of_what_is_known(ask: Ask, standing: Standing, version: str) -> Foreseen:
    match ask:
        case Ask.START | Ask.REPLACE | Ask.REHEARSE:
            return _begin(ask, standing, version)
        case Ask.ABORT:
            return _abort(standing)
        case Ask.RESUME:
            return _resume(standing)
        case Ask.ROLLBACK:
            return _rollback(standing)
        case Ask.PAUSE:
            return _pause(standing)
        case Ask.PROMOTE:
            return _promote(standing)


def _abort(standing: Standing) -> Foreseen:
    release = standing.release
    if release is None:
        return _nothing(standing, "abort", "no release is in progress")
    if release.phase is Phase.ROLLING_BACK and release.ending is Phase.ABORTED:
        return Foreseen(f"{_named(release)} is being aborted already.", acts=False)
    return Foreseen(f"{_named(release)} ends; {_to_stable(release)}.")


def _resume(standing: Standing) -> Foreseen:
    release = standing.release
    if release is None:
        return _nothing(standing, "resume", "no release is in progress")
    if release.pause is not None:
        return Foreseen(f"{_named(release)} goes on from where it is.")
    if release.phase is not Phase.HELD:
        return Foreseen(f"Nothing to resume: {_named(release)} is not held.", acts=False)
    return Foreseen(f"{_named(release)} goes on: its gates judge afresh, and it gets a new deadline.")


def _pause(standing: Standing) -> Foreseen:
    release = standing.release
    if release is None:
        return _nothing(standing, "pause", "no release is in progress")
    if release.pause is not None:
        return Foreseen(
            f"{_named(release)} is paused already, by {release.pause.by}: {release.pause.reason}", acts=False
        )
    if release.phase not in (Phase.SHADOW, Phase.CANARY):
        return Foreseen(f"Nothing to pause: {_named(release)} is not taking steps now.", acts=False)
    return Foreseen(
        f"{_named(release)} gets no more users until `serin resume {standing.model}`. Its gates go on "
        "judging, a failure still rolls it back, and its deadline stays."
    )


def _promote(standing: Standing) -> Foreseen:
    release = standing.release
    if release is None:
        return _nothing(standing, "promote", "no release is in progress")
    following = step_after(release)
    if following is None:
        last = (
            "on the last step: the rest is for the gates to decide" if release.phase is Phase.CANARY else "on no step"
        )
        how = f"to send everybody to a version on your own decision: serin rollback {standing.model} --to VERSION"
        return Foreseen(f"Nothing to promote: {_named(release)} is {last} ({how}).", acts=False)
    for freeze in standing.freezes:
        return Foreseen(f"Nothing is promoted: {freeze.by} froze {freeze.model} ({freeze.reason}).", acts=False)
    if release.faults:
        faults = "; ".join(f"no {source}: {why}" for source, why in sorted(release.faults.items()))
        return Foreseen(f"{_named(release)} may not take a step now: {faults}")
    weight_pct = release.policy.steps[following].weight_pct
    return Foreseen(f"{_named(release)} goes to {weight_pct:g} % now, whether its gates are settled or not.")


def _rollback(standing: Standing) -> Foreseen:
    table, release = standing.table, standing.release
    if release is not None and release.purpose is not Purpose.RESTORE:
        return Foreseen(f"{_named(release)} ends; {_to_stable(release)}.")
    if table is None:
        return _nothing(standing, "roll back", "nothing is routed yet")
    if table.known_good is None or table.weights_pct.get(table.known_good) == HUNDRED_PCT:
        return _nothing(standing, "roll back to", "no earlier version is kept warm")
    return Foreseen(f"All traffic goes from {_served(table)} to version {table.known_good}, the known good one.")


def _start(standing: Standing, version: str) -> Foreseen:
    release, table = standing.release, standing.table
    if release is not None and release.candidate.number == version and release.phase is not Phase.ROLLING_BACK:
        return Foreseen(f"{_named(release)} is in progress already.", acts=False)
    if release is None and table is not None and table.weights_pct.get(version) == HUNDRED_PCT:
        return Foreseen(f"Version {version} serves all traffic already.", acts=False)
    begins = f"A release of version {version} begins"
    if release is not None:
        ends_by_itself = release.phase in (Phase.ROLLING_BACK, Phase.PROMOTING) or release.purpose is Purpose.RESTORE
        when = "has ended" if ends_by_itself else "is over" if release.phase is Phase.PROBATION else "was ended for it"
        begins += f" once {_named(release)} {when}"
    against = f", against version {_stable_of(release, table)}" if _stable_of(release, table) else ""
    return Foreseen(f"{begins}{against}.", consents=tuple(_consents(standing, version)))


def _begin(ask: Ask, standing: Standing, version: str) -> Foreseen:
    found, replaced = _start(standing, version), _stable_of(standing.release, standing.table)
    if ask is Ask.START or not found.acts or not replaced:
        return found
    sentence = (
        f"Once version {replaced} is seen to fail, version {version} takes its place on its suites' "
        "floors alone: it is compared with nothing, and no version is kept warm to go back to."
    )
    return Foreseen(sentence, consents=found.consents)


def _consents(standing: Standing, version: str) -> Iterator[tuple[Consent, str]]:
    release = standing.release
    undecided = release is not None and release.phase not in (Phase.PROBATION, Phase.PROMOTING, Phase.ROLLING_BACK)
    if release is not None and undecided and release.purpose is not Purpose.RESTORE:
        yield Consent.SUPERSEDE, f"{_named(release)} ends for it, undecided"
    if standing.taken_back:
        yield Consent.REPEAT, f"a person took version {version} back: {standing.taken_back}"
    if standing.freezes:
        told = ", ".join(f"{freeze.by} froze {freeze.model} ({freeze.reason})" for freeze in standing.freezes)
        over = "the freeze is over" if len(standing.freezes) == 1 else "they are over"
        yield Consent.DURING_FREEZE, f"{told}: it waits until {over}"


def _nothing(standing: Standing, verb: str, why: str) -> Foreseen:
    table = standing.table
    serves = f"; {_served(table)} serves everybody" if table is not None and len(table.weights_pct) == 1 else ""
    return Foreseen(f"Nothing to {verb}: {why}{serves}.", acts=False)


def _served(table: TrafficTable) -> str:
    if len(table.weights_pct) == 1:
        return f"version {next(iter(table.weights_pct))}"
    return ", ".join(f"version {version} ({pct:g} %)" for version, pct in table.weights_pct.items())


def _stable_of(release: Release | None, table: TrafficTable | None) -> str:
    if release is not None and release.stable is not None:
        return release.candidate.number if release.phase is Phase.PROBATION else release.stable.number
    if table is None:
        return ""
    return max(table.weights_pct, key=lambda version: table.weights_pct[version])


def _named(release: Release) -> str:
    at = f" at {release.canary_step.weight_pct:g} %" if release.phase is Phase.CANARY else ""
    return f"the release of version {release.candidate.number} ({release.phase.value.replace('_', ' ')}{at})"


def _to_stable(release: Release) -> str:
    if release.stable is None:
        return "no version is stable yet, so nothing will serve"
    return f"all traffic goes to version {release.stable.number}"
