"""The commands of people to a release in progress: pause, resume, and take the next step now.

None of them promotes: only the gates give a version to all users.
"""

from collections.abc import Sequence

from controller.core.commands import Ask, Command
from controller.core.events import Event, Paused, PhaseEntered, Unpaused
from controller.core.facts import Asked, Fact, only
from controller.core.release import Phase, Release
from gates.outcome import Outcome


def pausing(release: Release, facts: Sequence[Fact]) -> tuple[Event, ...]:
    """Return the event that pauses or resumes the release; none if nobody asks, or if it changes nothing."""
    if release.pause is None and (word := _word(facts, Ask.PAUSE)) is not None:
        return (Paused(word.by, word.reason),)
    if release.pause is not None and (word := _word(facts, Ask.RESUME)) is not None:
        return (Unpaused(word.by, word.reason),)
    return ()


def next_step(release: Release, facts: Sequence[Fact]) -> tuple[Event, ...]:
    """Return the event by which the release takes its next step at a person's command; none without a command, or if no
    step is left."""
    word = _word(facts, Ask.PROMOTE)
    following = step_after(release)
    if word is None or following is None:
        return ()
    weight_pct = release.policy.steps[following].weight_pct
    open_ = [v.gate for v in release.verdicts.values() if v.outcome is not Outcome.PASS and not v.advisory]
    unsettled = f" Not settled: {', '.join(open_)}." if open_ else ""
    reason = f"Promoted to {weight_pct:g} % by {word.by}: {word.reason}{_stop(word.reason)}{unsettled}"
    return (PhaseEntered(Phase.CANARY, reason, step=following),)


def step_after(release: Release) -> int | None:
    """Return the index of the next step in the policy; None if none is left, or outside shadow and canary."""
    following = {Phase.SHADOW: 0, Phase.CANARY: release.step + 1}.get(release.phase)
    return following if following is not None and following < len(release.policy.steps) else None


def _word(facts: Sequence[Fact], ask: Ask) -> Command | None:
    return next((fact.command for fact in only(facts, Asked) if fact.command.ask is ask), None)


def _stop(reason: str) -> str:
    return "" if reason.endswith((".", "!", "?")) else "."
