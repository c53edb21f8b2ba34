"""The labels by which Serin finds what it made, and the annotations for what labels cannot hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from controller.core.release import Version
from controller.core.serving import digest_of
from controller.ports.runtime import DeploymentSpec

DOMAIN: Final = "serin.dev"
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
PART: Final = f"{DOMAIN}/part"
DEPLOYMENT: Final = f"{DOMAIN}/deployment"
OWN: Final = {MANAGED_BY: "serin", PART: "replica"}
_MODEL: Final = f"{DOMAIN}/model"
_VERSION: Final = f"{DOMAIN}/version"
_SOURCE: Final = f"{DOMAIN}/source"
_FINGERPRINT: Final = f"{DOMAIN}/fingerprint"
_SETTINGS: Final = f"{DOMAIN}/settings"
_REPLICAS: Final = f"{DOMAIN}/replicas"
_SERVED_ALONE: Final = f"{DOMAIN}/replicas-that-served-all"


@dataclass(frozen=True, slots=True)
class Identity:
    """The version that an object belongs to, as its annotations say."""

    model: str
    artifact: Version
    settings: str  # digest of the settings that the version is served with

    def is_of(self, spec: DeploymentSpec) -> bool:
        """Return whether these are the package and the settings of ``spec``: a version number may be used again."""
        packages = {self.artifact.fingerprint, spec.artifact.fingerprint} - {""}
        return len(packages) < 2 and self.settings == digest_of(spec.serving)


def labels_of(name: str) -> dict[str, str]:
    """Return the labels of every object of the version with this resource name."""
    return {**OWN, DEPLOYMENT: name}


def selector_of(name: str) -> dict[str, str]:
    """Return the labels that select the version's pods. They never change, because a Deployment's selector cannot."""
    return {DEPLOYMENT: name}


def annotations_of(spec: DeploymentSpec) -> dict[str, str]:
    """Return the true names of model and version, and what tells its package and settings from others."""
    return {
        _MODEL: spec.model,
        _VERSION: spec.version,
        _SOURCE: spec.artifact.source_id,
        _FINGERPRINT: spec.artifact.fingerprint,
        _SETTINGS: digest_of(spec.serving),
        _REPLICAS: str(spec.serving.replicas),
    }


def identity_of(manifest: Mapping[str, Any]) -> Identity | None:
    """Return what the object's annotations say; None if Serin did not make the object."""
    found = manifest["metadata"].get("annotations") or {}
    if _MODEL not in found or _VERSION not in found:
        return None
    version = Version(found[_VERSION], found.get(_SOURCE, ""), found.get(_FINGERPRINT, ""))
    return Identity(found[_MODEL], version, found.get(_SETTINGS, ""))


def deployment_of(manifest: Mapping[str, Any]) -> str | None:
    """Return the resource name of the version that the object belongs to; None if its labels do not say."""
    name = (manifest["metadata"].get("labels") or {}).get(DEPLOYMENT)
    return None if name is None else str(name)


def replicas_of(manifest: Mapping[str, Any]) -> int:
    """Return how many replicas the version's release asked for; 1 if the annotations do not say."""
    return _count(manifest, _REPLICAS) or 1


def served_alone(manifest: Mapping[str, Any]) -> int:
    """Return with how many replicas the version served all users; 0 if it never did."""
    return _count(manifest, _SERVED_ALONE)


def served_alone_patch(replicas: int) -> dict[str, Any]:
    """Return the merge patch that records with how many replicas the version serves all users."""
    return {"metadata": {"annotations": {_SERVED_ALONE: str(replicas)}}}


def _count(manifest: Mapping[str, Any], key: str) -> int:
    said = (manifest["metadata"].get("annotations") or {}).get(key, "")
    return int(said) if said.isdecimal() and said.isascii() else 0
