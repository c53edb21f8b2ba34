"""The rules of an installation, made from its policies."""

from collections.abc import Mapping, Sequence

from controller.core.policy import ReleasePolicy
from controller.monitoring import of_installation, of_model, recordings
from controller.monitoring.rule import Alert, Group
from controller.monitoring.users import OWN, UserSeries


def groups_of(policies: Mapping[str, ReleasePolicy], users: UserSeries = OWN) -> Sequence[Group]:
    """Recordings and alerts for these policies, which are named by their models; ``users``: where a gateway counts what
    these got."""
    ordered = [policies[model] for model in sorted(policies)]
    budgets = [policy.gates.budget for policy in ordered]
    rows = [row for budget in budgets if budget is not None for row in budget.service_windows]
    windows_s = {length_s for row in rows for length_s in (row.long_s, row.short_s)}
    models = [of_model.group(policy) for policy in ordered]
    return [*recordings.groups(windows_s, sorted(policies), users), *models, of_installation.group(policies, users)]


def alerts_of(groups: Sequence[Group]) -> Sequence[Alert]:
    """Every alert of the groups."""
    return [alert for group in groups for alert in group.alerts]
