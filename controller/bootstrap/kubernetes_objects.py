"""The parts of an installation on a cluster besides its data plane: the Lease that it leads by, and its objects."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller.adapters.kubernetes.client import KubernetesClient
from controller.adapters.kubernetes.connection import Connection, connect
from controller.adapters.kubernetes.leadership import LeaseLeadership, request_timeout_s
from controller.adapters.kubernetes.policies import PolicyObjects, PolicyObjectsAsked
from controller.adapters.kubernetes.releases.views import ReleaseObjects
from controller.adapters.kubernetes.releases.wishes import Wishes
from controller.adapters.kubernetes.resources import CONFIG_MAPS, PROMETHEUS_RULES, Object
from controller.adapters.kubernetes.rule_object import RuleObject
from controller.adapters.kubernetes.traffic import MANAGER
from controller.adapters.sql.store import Store
from controller.bootstrap.alerting import as_yaml
from controller.bootstrap.kubernetes import AlertRules, KubernetesRuntime, RuleForm, runtime_of
from controller.bootstrap.user_series import users_of
from controller.config.settings import Home, Settings
from controller.core.policy import ReleasePolicy
from controller.errors import Source
from controller.monitoring.rule import prometheus_rule, rule_file
from controller.monitoring.rules import groups_of
from controller.monitoring.users import UserSeries
from controller.ports.leadership import Leadership
from controller.ports.traffic import Traffic
from controller.service import Service

LEASE: Final = "serin"
RULE_FILE: Final = "serin.rules.yml"


@dataclass(frozen=True, slots=True)
class ClusterObjects:
    """The objects of an installation, each part asking by a connection whose time-outs are its own."""

    policies: PolicyObjects
    leadership: Leadership
    _connection: Connection
    _rules: AlertRules | None
    _users: UserSeries

    def releases(self, store: Store, service: Service, traffic: Traffic) -> ReleaseObjects:
        """Return what shows releases, and takes wishes in. ``traffic`` tells a cluster that was built anew."""
        client = KubernetesClient(self._connection, manager=MANAGER, source=Source.CLUSTER)
        wishes = Wishes(service, store.inbox, lambda model: traffic.read(model) is not None)
        return ReleaseObjects(client, store.journal, wishes)

    def rules(self, policies: Callable[[], Mapping[str, ReleasePolicy]]) -> Sequence[RuleObject]:
        """Return what keeps the alert rules of these policies, where the settings name an object for it."""
        if (rules := self._rules) is None:
            return ()

        def object_of(found: Mapping[str, ReleasePolicy]) -> Object:
            groups = groups_of(found, self._users)
            if rules.form is RuleForm.PROMETHEUS_RULE:
                return dict(prometheus_rule(groups, rules.name, rules.labels))
            metadata = {"name": rules.name, "labels": dict(rules.labels)}
            return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {
                RULE_FILE: as_yaml(rule_file(groups))
            }}  # fmt: skip

        client = KubernetesClient(self._connection, manager=MANAGER, source=Source.CLUSTER)
        resource = PROMETHEUS_RULES if rules.form is RuleForm.PROMETHEUS_RULE else CONFIG_MAPS
        return (RuleObject(client, policies, object_of, resource=resource),)


def cluster_objects(
    home: Home, settings: Settings, store: Store, faults: Callable[[], Mapping[str, str]]
) -> ClusterObjects | None:
    """Return the objects of an installation that runs on a cluster; None for one on this machine. Nothing is asked of
    the cluster yet. ``faults``: why policies are not followed, as all sources together tell it.

    Raises:
        UsageError: the settings' ``runtime``, the kubeconfig or the pod's account cannot be used.
    """
    runtime = runtime_of(settings)
    if runtime is None:
        return None
    connection = _connected(runtime)
    policies = KubernetesClient(connection, manager=MANAGER, source=Source.POLICIES)
    leading = KubernetesClient(
        _connected(runtime, timeout_s=request_timeout_s(settings.lease_s)), manager=MANAGER, source=Source.LEADERSHIP
    )
    return ClusterObjects(
        PolicyObjects(policies, home.policies, faults),
        LeaseLeadership(leading, LEASE, store.fences),
        connection,
        runtime.alert_rules,
        users_of(runtime),
    )


def policy_objects(home: Home, settings: Settings) -> PolicyObjectsAsked | None:
    """Return the policies that a cluster keeps, for whoever asks without the controller; None where there is no
    cluster. Raises as `cluster_objects`."""
    runtime = runtime_of(settings)
    if runtime is None:
        return None
    client = KubernetesClient(_connected(runtime), manager=MANAGER, source=Source.POLICIES)
    return PolicyObjectsAsked(client, home.policies)


def _connected(runtime: KubernetesRuntime, *, timeout_s: float = 10.0) -> Connection:
    kubeconfig = Path(runtime.kubeconfig) if runtime.kubeconfig is not None else None
    return connect(kubeconfig, context=runtime.context, namespace=runtime.namespace, timeout_s=timeout_s)
