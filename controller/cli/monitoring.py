"""`serin rules`, `routing` and `dashboards`: for a Prometheus, an Alertmanager and a Grafana that others run."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from controller.cli.options import DEFAULT_HOME_OPTION, HomeOption, Output, OutputOption, home_at
from controller.cli.output import say, say_json, say_lines

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controller.core.policy import ReleasePolicy

WRITTEN_SCHEMA: Final = "serin.written/v1"
_PoliciesOption = Annotated[
    list[Path] | None,
    typer.Option("--policies", help="A policy file, or a folder of them; repeatable. Without it, those in force here."),
]


class RuleForm(StrEnum):
    """The one who reads the rules."""

    PROMETHEUS = "prometheus"
    KUBERNETES = "kubernetes"


def register(app: typer.Typer) -> None:
    for function in (rules, routing, dashboards):
        app.command()(function)


def rules(
    policies: _PoliciesOption = None,
    form: Annotated[RuleForm, typer.Option("--as", help="A rule file, or an object for the Prometheus operator.")] = (
        RuleForm.PROMETHEUS
    ),
    name: Annotated[str, typer.Option(help="Of the object.")] = "serin",
    labels: Annotated[
        list[str] | None, typer.Option("--label", help="Label KEY=VALUE of the object, by which the operator finds it.")
    ] = None,
    home: HomeOption = DEFAULT_HOME_OPTION,
) -> None:
    """Print recording and alert rules made from policies; `serin up` loads the same by itself.

    The rules count what users got at the gateway of the installation here, if there is one, else at Serin's own Envoy.

    Example: serin rules --policies policies/ --as kubernetes --label release=prometheus
    """
    from controller.bootstrap.alerting import as_yaml
    from controller.bootstrap.user_series import installed_users
    from controller.monitoring.rule import prometheus_rule, rule_file
    from controller.monitoring.rules import groups_of
    from controller.monitoring.users import OWN

    place = home_at(home)
    users = installed_users(place.load()) if place.exists() else OWN
    groups = groups_of(_policies(policies, home), users)
    if form is RuleForm.KUBERNETES:
        say_lines(as_yaml(prometheus_rule(groups, name, _labels(labels or []))))
    else:
        say_lines(as_yaml(rule_file(groups)))


def routing(
    page_url: Annotated[str | None, typer.Option(help="Address that pages are posted to.")] = None,
    ticket_url: Annotated[str | None, typer.Option(help="Address for tickets; without it, that for pages.")] = None,
) -> None:
    """Print who is told of which alert, as an Alertmanager configuration; `serin up` uses the same.

    Example: serin routing --page-url https://pages.example/hook > alertmanager.yml
    """
    from controller.bootstrap.alerting import as_yaml
    from controller.monitoring.routing import Receivers, alertmanager_config

    say_lines(as_yaml(alertmanager_config(Receivers(page_url, ticket_url))))


def dashboards(
    policies: _PoliciesOption = None,
    out: Annotated[Path, typer.Option(help="The folder to write them to.")] = Path(),
    output: OutputOption = Output.TEXT,
    home: HomeOption = DEFAULT_HOME_OPTION,
) -> None:
    """Write Grafana dashboards that show these policies' limits: executive, on call, debug.

    Example: serin dashboards --policies policies/ --out /var/lib/grafana/dashboards
    """
    from controller.bootstrap.monitoring_files import dashboard_files
    from controller.files import replace_file

    files = {str(out / name): text for name, text in dashboard_files(_policies(policies, home)).items()}
    for path, text in files.items():
        out.mkdir(parents=True, exist_ok=True)
        replace_file(Path(path), text)
        if output is Output.TEXT:
            say(path)
    if output is Output.JSON:
        say_json({"schema": WRITTEN_SCHEMA, "files": list(files)})


def _policies(places: list[Path] | None, home: Path) -> "Mapping[str, ReleasePolicy]":
    """Return the policies of these places, or without any those that the installation follows.

    Raises:
        UsageError: as `policies_at`; or the installation has none.
    """
    from controller.bootstrap.alerting import policies_at
    from controller.bootstrap.policies import installed_policies
    from controller.errors import UsageError

    if places:
        return policies_at(places)
    place = home_at(home)
    found = installed_policies(place, place.load())()
    if not found:
        raise UsageError(f"--policies: {place.path} has no policy: name files or folders")
    return found


def _labels(given: list[str]) -> dict[str, str]:
    from controller.errors import UsageError

    pairs = [label.partition("=") for label in given]
    odd = next((label for label, (key, sign, _) in zip(given, pairs, strict=True) if not key or not sign), None)
    if odd is not None:
        raise UsageError(f"--label {odd}: write it as KEY=VALUE")
    return {key: value for key, _, value in pairs}
