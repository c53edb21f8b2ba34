"""The abilities of a gateway, derived from the features that its GatewayClass declares."""

from collections.abc import Collection, Sequence
from typing import Final

from controller.adapters.kubernetes.objects.route import Feature
from controller.adapters.kubernetes.resources import Object
from controller.core.abilities import Mirroring, TrafficAbilities

_BACKENDS_MAX: Final = 16  # Gateway API's limit for one rule
_WEIGHT_STEP_PCT: Final = 0.01
_MIRROR_STEP_PCT: Final = 0.01


def features_of(gateway_class: Object) -> frozenset[str]:
    """Return the names of the features that a GatewayClass's status lists; older ones list strings."""
    listed: Sequence[object] = (gateway_class.get("status") or {}).get("supportedFeatures") or ()
    return frozenset(str(one["name"]) if isinstance(one, dict) else str(one) for one in listed)


def abilities_of(
    name: str, features: Collection[str], mirroring: Mirroring | None, sticky_header: str | None = None
) -> TrafficAbilities:
    """Return what the gateway can do.

    ``mirroring``: who copies requests, if the settings say so; None: the gateway if it can, otherwise the replicas.
    ``sticky_header``: the header by which users are kept on a version, if the settings name one. Whether they really
    are is checked for each table before it counts as served. The gateway's own session persistence is never used: it
    would keep users on a version even after a rollback.
    """
    if mirroring is None:
        mirroring = Mirroring.GATEWAY_ONE_WAY if Feature.MIRROR in features else Mirroring.REPLICA
    whole_only = mirroring is Mirroring.GATEWAY_ONE_WAY and Feature.PERCENT_MIRROR not in features
    return TrafficAbilities(
        name=name,
        mirroring=mirroring,
        mirror_step_pct=100.0 if whole_only else _MIRROR_STEP_PCT,
        weight_step_pct=_WEIGHT_STEP_PCT,
        versions_max=_BACKENDS_MAX,
        sticky_by_header=sticky_header is not None,
        sticky_header=sticky_header,
    )
