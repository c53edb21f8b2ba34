"""The policies of an installation: where they are kept."""

from collections.abc import Sequence

from controller.adapters.policy_files import PolicyFiles
from controller.config.settings import Home, Settings
from controller.loop.policies import CurrentPolicies
from controller.naming import model_named
from controller.ports.policies import PolicySource


def current_policies(home: Home, samples_kept_days: float, beside: Sequence[PolicySource] = ()) -> CurrentPolicies:
    """Return the policies of a home, read again whenever one has changed; files before those kept ``beside``."""
    return CurrentPolicies([PolicyFiles(lambda: home.policy_files), *beside], samples_kept_days)


def installed_policies(home: Home, settings: Settings) -> CurrentPolicies:
    """Return the policies of an installation for whoever asks without its controller, and that follows the same: files,
    and the objects of its cluster.

    Raises:
        UsageError: the settings' ``runtime``, the kubeconfig or the pod's account cannot be used.
    """
    beside: list[PolicySource] = []
    if settings.runtime is not None:
        from controller.bootstrap.kubernetes_objects import policy_objects  # a library that one machine does without

        if (objects := policy_objects(home, settings)) is not None:
            beside.append(objects)
    return current_policies(home, settings.samples_kept_days, beside)


def has_policy(home: Home, model: str) -> bool:
    """Return whether releases of the model can start here.

    A policy kept under the model's name counts even while it is broken: what is asked on call waits for no repair.

    Raises:
        UsageError: no model can be called so; no installation is here; or as `installed_policies`.
    """
    model_named(model)
    return (home.policies / f"{model}.yaml").exists() or model in installed_policies(home, home.load())()
