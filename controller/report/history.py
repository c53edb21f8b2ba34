"""The history of a release: phases, traffic, decisions and faults, collected event by event."""

from dataclasses import dataclass, field, replace
from typing import Final

from controller.core.events import (
    ChampionMoved,
    ClockStepped,
    CommandTaken,
    Event,
    FaultCleared,
    FaultNoted,
    GatesRestarted,
    Identified,
    Leaving,
    PhaseEntered,
    Started,
    TrafficConfirmed,
    TrafficRestored,
    Verified,
)
from controller.core.policy import ReleasePolicy
from controller.core.release import TERMINAL, Phase, Purpose
from controller.report.data import Decision, FaultSpan, PhaseSpan, TrafficShare
from controller.report.words import phase_title

_STARTS: Final = {
    Purpose.PROMOTE: "Release started",
    Purpose.REHEARSE: "Rehearsal started",
    Purpose.RESTORE: "Restore asked for",
}


@dataclass(slots=True)
class History:
    """The history, built from every event in order: the contents of the time line."""

    policy: ReleasePolicy
    purpose: Purpose = Purpose.PROMOTE
    phases: list[PhaseSpan] = field(default_factory=list)
    traffic: list[TrafficShare] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    faults: list[FaultSpan] = field(default_factory=list)
    decided_at_s: float | None = None

    def add(self, sequence: int, at_s: float, event: Event) -> None:
        decision = self._decision(sequence, at_s, event)
        if decision is not None:
            self.decisions.append(decision)
        match event:
            case Started():
                self.purpose = event.purpose
                self._enter(at_s, Phase.PENDING, phase_title(Phase.PENDING), event.reason)
            case PhaseEntered():
                self._enter(at_s, event.phase, self._title(event), event.reason)
            case Leaving():
                self._enter(at_s, Phase.ROLLING_BACK, phase_title(Phase.ROLLING_BACK), event.reason)
            case TrafficConfirmed():
                self.traffic.append(TrafficShare(at_s, dict(sorted(event.weights_pct.items()))))
            case FaultNoted():
                self._close_fault(event.source, at_s)
                self.faults.append(FaultSpan(event.source, event.reason, at_s, None))
            case FaultCleared():
                self._close_fault(event.source, at_s)

    def _enter(self, at_s: float, phase: Phase, title: str, reason: str) -> None:
        if self.phases:
            self.phases[-1] = replace(self.phases[-1], end_s=at_s)
        self.phases.append(PhaseSpan(phase, title, at_s, at_s if phase in TERMINAL else None, reason))
        if phase in (Phase.PROMOTING, Phase.ROLLING_BACK):
            self.decided_at_s = at_s

    def _title(self, event: PhaseEntered) -> str:
        if event.phase is Phase.CANARY and event.step < len(self.policy.steps):
            return phase_title(event.phase, self.policy.steps[event.step].weight_pct)
        if event.phase is Phase.PROBATION and event.step:  # nothing is copied any more
            return "End of probation"
        return phase_title(event.phase, purpose=self.purpose)

    def _close_fault(self, source: str, at_s: float) -> None:
        for place in range(len(self.faults) - 1, -1, -1):
            fault = self.faults[place]
            if fault.source == source:
                if fault.end_s is None:
                    self.faults[place] = replace(fault, end_s=at_s)
                return

    def _decision(self, sequence: int, at_s: float, event: Event) -> Decision | None:
        match event:
            case Started():
                title = _STARTS[event.purpose]
                return Decision(sequence, at_s, title, event.reason, event.by)
            case PhaseEntered():
                return Decision(sequence, at_s, self._title(event), event.reason)
            case Leaving():
                by = "" if event.by == "serin" else event.by
                title = f"Going back, to be {event.ending.value.replace('_', ' ')}"
                return Decision(sequence, at_s, title, event.reason, by, event.blamed)
            case CommandTaken():
                return Decision(sequence, at_s, f"Asked to {event.ask}", event.reason, event.by)
            case _:
                return _confirmation(sequence, at_s, event)


def _confirmation(sequence: int, at_s: float, event: Event) -> Decision | None:
    """Return the event as a decision that only confirms an earlier one; None if it is not shown."""
    match event:
        case Verified():
            fingerprint = event.candidate.fingerprint[:12] or "unknown"
            title, reason = "Identity verified", f"The running candidate is manifest {fingerprint}."
        case Identified():
            vouched = "as its tag in the registry says" if event.tagged else "for which no tag in the registry vouches"
            number, fingerprint = event.version.number, event.version.fingerprint[:12]
            title, reason = "Seen first", f"Version {number} is manifest {fingerprint}, {vouched}."
        case TrafficConfirmed():
            weights = ", ".join(f"version {name}: {pct:g} %" for name, pct in sorted(event.weights_pct.items()))
            title, reason = "Traffic served", f"Users are answered by {weights}."
        case TrafficRestored():
            title, reason = (
                "Edit replaced",
                f"Somebody edited the traffic table, and it was replaced: {event.what}.",
            )
        case ClockStepped():
            way = "forward" if event.by_s > 0 else "back"
            title, reason = (
                "Clock set",
                f"The clock was set {way} by {abs(event.by_s):,.0f} s; deadlines moved with it.",
            )
        case GatesRestarted():
            told = "; ".join(f"{gate}: {why}" for gate, why in event.reasons.items())
            title, reason = (
                "Gates restarted",
                f"What they remembered could not be read ({told}); their error level is spent twice.",
            )
        case ChampionMoved():
            title, reason = "Alias moved", f"The registry's alias champion points at version {event.version}."
        case _:
            return None
    return Decision(sequence, at_s, title, reason, routine=True)
