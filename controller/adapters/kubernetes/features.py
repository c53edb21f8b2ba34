"""The abilities of a gateway, by what its class says that it supports."""

from collections.abc import Collection, Sequence
from typing import Final

from controller.adapters.kubernetes.objects.route import Feature
from controller.adapters.kubernetes.resources import Object
from controller.core.abilities import Mirroring, TrafficAbilities

_BACKENDS_MAX: Final = 16  # of one rule, by Gateway API
_WEIGHT_STEP_PCT: Final = 0.01
_MIRROR_STEP_PCT: Final = 0.01


def features_of(gateway_class: Object) -> frozenset[str]:
    """Return the names of the features that a GatewayClass's status lists; older ones list strings."""
    listed: Sequence[object] = (gateway_class.get("status") or {}).get("supportedFeatures") or ()
    return frozenset(str(one["name"]) if isinstance(one, dict) else str(one) for one in listed)


def abilities_of(
    name: str, features: Collection[str], mirroring: Mirroring | None, sticky_header: str | None = None
) -> TrafficAbilities:
    """Return the abilities; ``mirroring`` is what an operator chose, None: the gateway where it can, else the replicas.

    ``sticky_header``: by which an operator had users dealt; that it is so is seen at each table before it counts as
    served. Persistence of sessions by the gateway keeps users on a version after a rollback, so it is never asked for.
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
