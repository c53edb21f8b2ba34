"""The sources that may be to blame when an action fails, and what an error says about the candidate."""

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

SOURCES: Mapping[type[Action], Source] = {  # what is in question where an action fails in a way that nobody foresaw
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
    SuiteError: Source.SUITES,  # our file, not the candidate, is at fault: it is held, not rejected
    ArtifactError: Source.PACKAGES,
}


def _is_of_candidate(release: Release, action: Action) -> bool:
    """Return whether a permanent failure says something about the candidate. Everything else is stable's problem, or
    ours."""
    if isinstance(action, Serve | Probe):
        return action.version.number == release.candidate.number
    return isinstance(action, RunSuites)


def found_by(
    release: Release, action: Action, error: SerinError | ArtifactError | SuiteError | OSError | MemoryError
) -> Fact:
    """Return what an error says. It counts against the candidate only if it is about the candidate and asking again
    will not help."""
    if isinstance(error, TransientError | ConflictError):
        return Unreachable(error.source, str(error))
    about_us = isinstance(error, RefusedRequestError)  # what we asked was not taken: nothing that the version has done
    if isinstance(error, ArtifactError | PermanentError) and not about_us and _is_of_candidate(release, action):
        verdict = package_refused(error) if isinstance(error, ArtifactError) else None
        return Broken(verdict.reason if verdict else str(error), verdict)
    source = _SOURCE_OF_ERROR.get(type(error), SOURCES[type(action)])
    if isinstance(error, OSError | MemoryError):
        return Unreachable(source, str(our_fault(source, "something that we asked for was refused", error)))
    return Unreachable(source, str(error))
