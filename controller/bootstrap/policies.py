"""The policies of a home: where they are kept."""

from collections.abc import Sequence

from controller.adapters.policy_files import PolicyFiles
from controller.bootstrap.stores import policies_of
from controller.config.settings import Home
from controller.loop.policies import CurrentPolicies, LabelNames
from controller.ports.policies import PolicySource


def label_names_of(home: Home) -> LabelNames:
    """Return what label sources call classes, by every policy of the home. Raises UsageError where one is invalid."""
    return {model: policy.label_names for model, policy in policies_of(home).items()}


def current_policies(home: Home, samples_kept_days: float, beside: Sequence[PolicySource] = ()) -> CurrentPolicies:
    """Return the policies of a home, read again whenever one has changed; files before those kept ``beside``."""
    return CurrentPolicies([PolicyFiles(lambda: home.policy_files), *beside], samples_kept_days)
