"""The pod of a version: an init container that fetches its package, and the replica."""

import math
from typing import Any, Final

from controller.adapters.kubernetes.names import model_name
from controller.adapters.kubernetes.objects.labels import annotations_of, labels_of, selector_of
from controller.adapters.kubernetes.objects.site import KEPT_PACKAGES, LIVE_PORT, MIRROR_FILE, SHADOW_PORT, Site
from controller.adapters.serving_flags import setting_flags, version_flags
from controller.core.serving import Provider
from controller.ports.runtime import DeploymentSpec
from serving.contract import HEALTH_ROUTE

REPLICA: Final = "replica"
FETCH: Final = "fetch"
_CACHE: Final = "/var/cache/serin"
_SECRETS: Final = "/var/run/secrets/serin"
_MIRROR: Final = "/var/run/serin/mirror"
_KEPT: Final = "/var/run/serin/kept"
_READ_ONLY: Final = 0o440
_PROBE_S: Final = 2
_LIVENESS_S: Final = 10
_LIVENESS_MISSES: Final = 6  # patient, because a replica itself replaces a hung worker much sooner


def pod_template(name: str, spec: DeploymentSpec, site: Site) -> dict[str, Any]:
    """Return the pod template, which never changes while the version runs."""
    return {
        "metadata": {"labels": labels_of(name), "annotations": annotations_of(spec)},
        "spec": {
            "initContainers": [_fetch(spec, site)],
            "containers": [_replica(spec, site)],
            "volumes": _volumes(spec.model, site),
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "serviceAccountName": site.service_account,
            "serviceAccount": site.service_account,  # the field's old name, which the server fills in, too
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": site.user_id,
                "runAsGroup": site.user_id,
                "fsGroup": site.user_id,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "terminationGracePeriodSeconds": site.sidesteps_s + site.drain_s,
            "topologySpreadConstraints": [_spread(name, key) for key in _TOPOLOGY],
            "restartPolicy": "Always",
            "dnsPolicy": "ClusterFirst",
            "schedulerName": "default-scheduler",
            **({"nodeSelector": dict(site.node_selector)} if site.node_selector else {}),
            **({"imagePullSecrets": [{"name": one} for one in site.pull_secrets]} if site.pull_secrets else {}),
        },
    }


_TOPOLOGY: Final = ("topology.kubernetes.io/zone", "kubernetes.io/hostname")


def _spread(name: str, key: str) -> dict[str, Any]:
    return {
        "maxSkew": 1,
        "topologyKey": key,
        "whenUnsatisfiable": "ScheduleAnyway",  # capacity before spread: one node may run all pods
        "labelSelector": {"matchLabels": selector_of(name)},
    }


def package_folder(spec: DeploymentSpec, site: Site) -> str:
    """Return the folder of the package in the pod. It is named after the fingerprint, so that two different packages
    never share a folder. It lies in a folder of the namespace, because each namespace has its own list of packages to
    keep."""
    return f"{_CACHE}/{site.namespace}/{spec.artifact.fingerprint}"


def _fetch(spec: DeploymentSpec, site: Site) -> dict[str, Any]:
    artifact = spec.artifact
    wanted = ["--source", artifact.source_id, "--expect", artifact.fingerprint, "--into", package_folder(spec, site)]
    command = ["python", "-m", "serving", "fetch", *wanted, "--registry", site.registry_url]
    mounts = [_mount("cache", _CACHE)]
    if site.cache.outlives_pods:
        command += ["--kept", _KEPT]
        mounts.append(_mount("kept", _KEPT, read_only=True))
    if site.registry_secret is not None:
        command += ["--token-file", f"{_SECRETS}/registry/token"]
        command += ["--ca-file", f"{_SECRETS}/registry/ca.crt"] if site.registry_ca else []
        mounts.append(_mount("registry", f"{_SECRETS}/registry", read_only=True))
    return _container(FETCH, site, command, mounts)


def _replica(spec: DeploymentSpec, site: Site) -> dict[str, Any]:
    command = ["python", "-m", "serving", "--artifact", package_folder(spec, site), *version_flags(spec)]
    command += ["--host", "0.0.0.0", "--port", str(LIVE_PORT), "--shadow-port", str(SHADOW_PORT)]  # noqa: S104
    mounts = [_mount("cache", _CACHE, read_only=True), _mount("scratch", "/tmp")]  # noqa: S108
    command += site.flags
    if site.capture_secret is not None:
        held = f"{_SECRETS}/capture"
        command += ["--capture-token-file", f"{held}/token", "--digest-key-file", f"{held}/digest-key"]
        command += ["--capture-ca-file", f"{held}/ca.crt"] if site.capture_ca else []
        mounts.append(_mount("capture", held, read_only=True))
    if site.access_secret is None:
        command.append("--allow-unauthenticated")  # the network decides who can reach it
    else:
        command += ["--token-file", f"{_SECRETS}/access/tokens.json"]
        mounts.append(_mount("access", f"{_SECRETS}/access", read_only=True))
    if site.mirrored:
        command += ["--mirror-file", f"{_MIRROR}/{MIRROR_FILE}"]
        mounts.append(_mount("mirror", _MIRROR, read_only=True))
    command += setting_flags(spec.serving)
    return {
        **_container(
            REPLICA, site, command, mounts, cpu=_cores(spec, site), gpu=spec.serving.provider is Provider.CUDA
        ),
        "ports": [
            {"name": "live", "containerPort": LIVE_PORT, "protocol": "TCP"},
            {"name": "shadow", "containerPort": SHADOW_PORT, "protocol": "TCP"},
        ],
        "startupProbe": _asks_engine(every_s=_PROBE_S, misses=math.ceil(spec.start_timeout_s / _PROBE_S)),
        "readinessProbe": _asks_engine(every_s=_PROBE_S, misses=2),
        "livenessProbe": _asks_engine(every_s=_LIVENESS_S, misses=_LIVENESS_MISSES),
        # The gateways learn of the end while the replica still takes requests; its drain begins afterwards.
        "lifecycle": {"preStop": {"sleep": {"seconds": site.sidesteps_s}}},
    }


def _cores(spec: DeploymentSpec, site: Site) -> float:
    return site.cpu if site.cpu is not None else float(spec.serving.workers * (spec.serving.threads or 1))


def _asks_engine(*, every_s: int, misses: int) -> dict[str, Any]:
    """Return a probe of the health route, which answers 200 only while an inference worker responds."""
    return {
        "httpGet": {"path": HEALTH_ROUTE, "port": "live", "scheme": "HTTP"},
        "initialDelaySeconds": 0,
        "periodSeconds": every_s,
        "timeoutSeconds": every_s,
        "successThreshold": 1,
        "failureThreshold": misses,
    }


def _container(
    name: str,
    site: Site,
    command: list[str],
    mounts: list[dict[str, Any]],
    *,
    cpu: float = 0.1,
    gpu: bool = False,
) -> dict[str, Any]:
    memory = megabytes(site.memory_mb)
    limits = {"memory": memory, **({"nvidia.com/gpu": "1"} if gpu else {})}
    return {
        "name": name,
        "image": site.image,
        "imagePullPolicy": "IfNotPresent",  # images are named by a digest, or by a tag that never moves
        "command": command,
        "resources": {
            "requests": {**limits, "cpu": f"{round(cpu * 1000)}m" if cpu % 1 else f"{cpu:g}"},
            "limits": limits,
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "FallbackToLogsOnError",  # the end of its log becomes part of its status
        "volumeMounts": mounts,
    }


def megabytes(amount: int) -> str:
    """Return the amount as the server writes it: in the largest unit that needs no fraction."""
    return f"{amount // 1000}G" if amount % 1000 == 0 else f"{amount}M"


def _mount(name: str, path: str, *, read_only: bool = False) -> dict[str, Any]:
    return {"name": name, "mountPath": path, **({"readOnly": True} if read_only else {})}


def _volumes(model: str, site: Site) -> list[dict[str, Any]]:
    cache: dict[str, Any] = {"emptyDir": {"sizeLimit": megabytes(site.cache.size_mb_max)}}
    if site.cache.claim is not None:
        cache = {"persistentVolumeClaim": {"claimName": site.cache.claim}}
    elif site.cache.host_path is not None:
        cache = {"hostPath": {"path": site.cache.host_path, "type": "Directory"}}
    copies = {"name": model_name(model), "defaultMode": _READ_ONLY, "optional": True}  # made at the first copy
    kept = {"name": KEPT_PACKAGES, "defaultMode": _READ_ONLY, "optional": True}
    secrets = {"registry": site.registry_secret, "capture": site.capture_secret, "access": site.access_secret}
    return [
        {"name": "cache", **cache},
        {"name": "scratch", "emptyDir": {"sizeLimit": "256M"}},
        *([{"name": "mirror", "configMap": copies}] if site.mirrored else []),
        *([{"name": "kept", "configMap": kept}] if site.cache.outlives_pods else []),
        *(
            {"name": name, "secret": {"secretName": secret, "defaultMode": _READ_ONLY}}
            for name, secret in secrets.items()
            if secret is not None
        ),
    ]
