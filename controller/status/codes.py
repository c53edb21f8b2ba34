"""Exit codes, and when waiting for a release is over."""

from controller.core.parts import Grade
from controller.core.release import TERMINAL, Phase, Release
from controller.exit_codes import EXIT_ERROR, EXIT_FAIL, EXIT_INCONCLUSIVE, EXIT_PASS
from controller.journal.codec import release_of
from controller.overview import Overview, Shown
from controller.ports.journal import ReleaseSummary
from gates.outcome import Outcome

_EXITS = {
    Phase.PROMOTED: EXIT_PASS,
    Phase.PROBATION: EXIT_PASS,  # promoted; a late rollback makes it a failure
    Phase.ROLLING_BACK: EXIT_FAIL,
    Phase.ROLLED_BACK: EXIT_FAIL,
    Phase.REJECTED: EXIT_FAIL,
    Phase.HELD: EXIT_INCONCLUSIVE,
    Phase.SUPERSEDED: EXIT_INCONCLUSIVE,
    Phase.ABORTED: EXIT_INCONCLUSIVE,
}
_DECIDED = frozenset({Phase.PROBATION, Phase.HELD}) | TERMINAL


def exit_code(record: Shown) -> int:
    """0 promoted; 1 rolled back or rejected, or on the way to it; 3 held, superseded, aborted, or still going on.

    A release that is going back already answers by where it is going. One that could not be judged is 4: it is held
    or going on with a source that does not answer.
    """
    if isinstance(record, ReleaseSummary):
        return _EXITS.get(Phase(record.phase), EXIT_INCONCLUSIVE)
    release = release_of(record)
    phase = release.ending if release.phase is Phase.ROLLING_BACK and release.ending else release.phase
    code = _EXITS.get(phase, EXIT_INCONCLUSIVE)
    if code == EXIT_INCONCLUSIVE and phase not in TERMINAL and _unjudged(release):
        return EXIT_ERROR
    return code


def is_settled(record: Shown) -> bool:
    """Return whether waiting for the release is over: it was decided, or waits for a person."""
    return Phase(record.phase) in _DECIDED


def _unjudged(release: Release) -> bool:
    errors = any(v.outcome is Outcome.ERROR and not v.advisory for v in release.verdicts.values())
    return bool(release.faults) or errors


def shown_exit_code(seen: Overview) -> int:
    """0 where every part answers, so that what is shown is how things are; 4 where one does not."""
    return EXIT_PASS if seen.standing.grade is Grade.UP else EXIT_ERROR
