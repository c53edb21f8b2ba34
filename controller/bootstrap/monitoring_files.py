"""The files of ``deploy/`` that are made from an example policy and the contract.

``python -m controller.bootstrap.monitoring_files deploy`` writes them anew; a test holds them against the code.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from controller.bootstrap.alerting import as_yaml, policies_at
from controller.files import replace_file
from controller.monitoring.routing import Receivers, alertmanager_config
from controller.monitoring.rule import prometheus_rule, rule_file
from controller.monitoring.rules import groups_of

POLICY: Final = "prometheus/policy.yaml"
_EXAMPLE: Final = Receivers("http://127.0.0.1:9095/page", "http://127.0.0.1:9095/ticket")
_MADE: Final = "# Made by `make monitoring`; `serin {command}` makes yours.\n"


def files(deploy: Path) -> Mapping[Path, str]:
    """Return the text of each file that is made, from the policy in ``deploy``."""
    groups = groups_of(policies_at([deploy / POLICY]))
    rules, routing = (_MADE.format(command=command) for command in ("rules", "routing"))
    return {
        deploy / "prometheus/serin.rules.yml": rules + as_yaml(rule_file(groups)),
        deploy / "prometheus/serin.prometheusrule.yml": rules + as_yaml(prometheus_rule(groups, "serin", {})),
        deploy / "prometheus/alertmanager.yml": routing + as_yaml(alertmanager_config(_EXAMPLE)),
    }


if __name__ == "__main__":
    for path, text in files(Path(sys.argv[1])).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text)
