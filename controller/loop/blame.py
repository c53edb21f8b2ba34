"""The blame for a failed action: the source at fault, and whether the error counts against the candidate."""

from collections.abc import Mapping

from controller.core.actions import (
    Action,
    CheckChampion,
    FreezeModel,
    MoveChampion,
    Probe,
    Replay,
    Route,
    RunSuites,
    Serve,
    TakeLook,
)
from controller.core.facts import Broken, Fact, Unreachable
from controller.core.release import Release
from controller.errors import (
    ConflictError,
    PermanentError,
    RefusedRequestError,
    SerinError,
    Source,
    TransientError,
    our_fault,
)
from controller.loop.preflight import package_refused
from serving.package.artifact import ArtifactError
from suites.cases import SuiteError

SOURCES: Mapping[type[Action], Source] = {  # the source that is blamed if the error itself names none
    Serve: Source.DEPLOYMENTS,
    Probe: Source.DEPLOYMENTS,
    RunSuites: Source.DEPLOYMENTS,
    Route: Source.TRAFFIC,
    TakeLook: Source.METRICS,
    Replay: Source.PREDICTIONS,
    CheckChampion: Source.REGISTRY,
    MoveChampion: Source.REGISTRY,
    FreezeModel: Source.FREEZES,
}

_SOURCE_OF_ERROR: Mapping[type[Exception], Source] = {
    SuiteError: Source.SUITES,  # our file is at fault, not the candidate: the release is held, not rejected
    ArtifactError: Source.PACKAGES,
}


def _is_of_candidate(release: Release, action: Action) -> bool:
    """Return whether a permanent failure of the action counts against the candidate; otherwise it is stable's problem,
    or ours."""
    if isinstance(action, Serve | Probe):
        return action.version.number == release.candidate.number
    return isinstance(action, RunSuites)


def found_by(
    release: Release, action: Action, error: SerinError | ArtifactError | SuiteError | OSError | MemoryError
) -> Fact:
    """Return the fact that follows from an action's error: `Broken` if the error is about the candidate and asking
    again will not help, otherwise `Unreachable`."""
    if isinstance(error, TransientError | ConflictError):
        return Unreachable(error.source, str(error))
    about_us = isinstance(error, RefusedRequestError)  # a refused question is our mistake, not the version's
    if isinstance(error, ArtifactError | PermanentError) and not about_us and _is_of_candidate(release, action):
        verdict = package_refused(error) if isinstance(error, ArtifactError) else None
        return Broken(verdict.reason if verdict else str(error), verdict)
    source = _SOURCE_OF_ERROR.get(type(error), SOURCES[type(action)])
    if isinstance(error, OSError | MemoryError):
        return Unreachable(source, str(our_fault(source, "something that we asked for was refused", error)))
    return Unreachable(source, str(error))
