"""`serin rules`, `routing` and `dashboards`: for a Prometheus, an Alertmanager and a Grafana that others run."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from controller.cli.output import say, say_lines


class RuleForm(StrEnum):
    """The one who reads the rules."""

    PROMETHEUS = "prometheus"
    KUBERNETES = "kubernetes"


def register(app: typer.Typer) -> None:
    for function in (rules, routing, dashboards):
        app.command()(function)


def rules(
    policies: Annotated[list[Path], typer.Option("--policies", help="A policy file, or a folder of them; repeatable.")],
    form: Annotated[RuleForm, typer.Option("--as", help="A rule file, or an object of the operator.")] = (
        RuleForm.PROMETHEUS
    ),
    name: Annotated[str, typer.Option(help="Of the object.")] = "serin",
    labels: Annotated[
        list[str] | None, typer.Option("--label", help="KEY=VALUE of the object, by which the operator finds it.")
    ] = None,
) -> None:
    """Print recording and alert rules made from policies; `serin up` loads the same by itself.

    Example: serin rules --policies policies/ --as kubernetes --label release=prometheus
    """
    from controller.bootstrap.alerting import as_yaml, policies_at
    from controller.monitoring.rule import prometheus_rule, rule_file
    from controller.monitoring.rules import groups_of

    groups = groups_of(policies_at(policies))
    if form is RuleForm.KUBERNETES:
        say_lines(as_yaml(prometheus_rule(groups, name, _labels(labels or []))))
    else:
        say_lines(as_yaml(rule_file(groups)))


def routing(
    page_url: Annotated[str | None, typer.Option(help="Where pages are posted to.")] = None,
    ticket_url: Annotated[str | None, typer.Option(help="Where tickets are; without it, where pages are.")] = None,
) -> None:
    """Print who is told of which alert: a configuration of Alertmanager; `serin up` uses the same.

    Example: serin routing --page-url https://pages.example/hook > alertmanager.yml
    """
    from controller.bootstrap.alerting import as_yaml
    from controller.monitoring.routing import Receivers, alertmanager_config

    say_lines(as_yaml(alertmanager_config(Receivers(page_url, ticket_url))))


def dashboards(
    policies: Annotated[list[Path], typer.Option("--policies", help="A policy file, or a folder of them; repeatable.")],
    out: Annotated[Path, typer.Option(help="The folder to write them to.")] = Path(),
) -> None:
    """Write dashboards for Grafana, whose lines are the limits of these policies: executive, on call, debug.

    Example: serin dashboards --policies policies/ --out /var/lib/grafana/dashboards
    """
    from controller.bootstrap.alerting import policies_at
    from controller.bootstrap.monitoring_files import dashboard_files
    from controller.files import replace_file

    for name, text in dashboard_files(policies_at(policies)).items():
        out.mkdir(parents=True, exist_ok=True)
        replace_file(out / name, text)
        say(str(out / name))


def _labels(given: list[str]) -> dict[str, str]:
    from controller.errors import UsageError

    pairs = [label.partition("=") for label in given]
    odd = next((label for label, (key, sign, _) in zip(given, pairs, strict=True) if not key or not sign), None)
    if odd is not None:
        raise UsageError(f"--label {odd}: write it as KEY=VALUE")
    return {key: value for key, _, value in pairs}
