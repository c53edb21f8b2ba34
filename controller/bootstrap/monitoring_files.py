"""The files of ``deploy/`` that are made from an example policy and the contract.

``python -m controller.bootstrap.monitoring_files deploy`` writes them anew; a test holds them against the code.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from controller.bootstrap.alerting import as_yaml, policies_at
from controller.core.policy import ReleasePolicy
from controller.files import replace_file
from controller.monitoring.dashboards.boards import dashboards
from controller.monitoring.routing import Receivers, alertmanager_config
from controller.monitoring.rule import prometheus_rule, rule_file
from controller.monitoring.rules import groups_of

POLICY: Final = "prometheus/policy.yaml"
_EXAMPLE: Final = Receivers("http://127.0.0.1:9095/page", "http://127.0.0.1:9095/ticket")
_OF_THE_CHART: Final = Receivers("PAGE_URL", "TICKET_URL")  # which its template puts in
_MADE: Final = "# Made by `make monitoring`; `serin {command}` makes yours.\n"


def files(deploy: Path) -> Mapping[Path, str]:
    """Return the text of each file that is made, from the policy in ``deploy``."""
    policies = policies_at([deploy / POLICY])
    groups = groups_of(policies)
    rules, routing = (_MADE.format(command=command) for command in ("rules", "routing"))
    return {
        deploy / "prometheus/serin.rules.yml": rules + as_yaml(rule_file(groups)),
        deploy / "prometheus/serin.prometheusrule.yml": rules + as_yaml(prometheus_rule(groups, "serin", {})),
        deploy / "prometheus/alertmanager.yml": routing + as_yaml(alertmanager_config(_EXAMPLE)),
        deploy / "helm/serin/files/alertmanager.yml": routing + as_yaml(alertmanager_config(_OF_THE_CHART)),
        **{deploy / "grafana" / name: text for name, text in dashboard_files(policies).items()},
    }


def dashboard_files(policies: Mapping[str, ReleasePolicy]) -> Mapping[str, str]:
    """Return the text of each dashboard for these policies, by the name of its file."""
    return {f"{one.uid}.json": json.dumps(one.document(), indent=1) + "\n" for one in dashboards(policies)}


if __name__ == "__main__":
    for path, text in files(Path(sys.argv[1])).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text)
