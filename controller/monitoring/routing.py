"""The routes of alerts: who is told, when, and which alerts hold others back (the configuration of Alertmanager)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from controller.monitoring.rule import ABOUT_LABEL, SEVERITY_LABEL, About, Severity, duration
from serving.contract import MODEL_LABEL, REGION_LABEL, SOURCE_LABEL, VERSION_LABEL

_ALERT: Final = "alertname"
_GROUPED_BY: Final = (_ALERT, MODEL_LABEL, VERSION_LABEL, REGION_LABEL)
_TOLD_AGAIN_S: Final[Mapping[Severity, float]] = {
    Severity.PAGE: 3_600.0,
    Severity.TICKET: 86_400.0,
    Severity.INFO: 7 * 86_400.0,
}
_GATHERED_S: Final[Mapping[Severity, float]] = {Severity.PAGE: 10.0, Severity.TICKET: 300.0, Severity.INFO: 10.0}
_PROCEEDING: Final = ("SerinCanaryStuck", "SerinReleaseStuck", "SerinReleaseHeld")
"""Alerts that a frozen model's releases cannot help."""


@dataclass(frozen=True, slots=True)
class Receivers:
    """The addresses that alerts are posted to, by Alertmanager's webhook. None: such alerts are shown, and nobody is
    told."""

    page_url: str | None = None
    ticket_url: str | None = None  # tickets, and what changed; without it, those go where pages do


def alertmanager_config(receivers: Receivers) -> Mapping[str, Any]:
    """The document that Alertmanager reads."""
    tickets = receivers.ticket_url or receivers.page_url
    urls = {Severity.PAGE: receivers.page_url, Severity.TICKET: tickets, Severity.INFO: tickets, Severity.NONE: None}
    return {
        "route": {
            "receiver": Severity.TICKET.value,  # of alerts of others, which say no severity
            "group_by": list(_GROUPED_BY),
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "1d",
            "routes": [_route(severity) for severity in Severity],
        },
        "inhibit_rules": list(_inhibited()),
        "receivers": [_receiver(severity, url) for severity, url in urls.items()],
    }


def _route(severity: Severity) -> Mapping[str, Any]:
    matched = {"matchers": [f'{SEVERITY_LABEL}="{severity.value}"'], "receiver": severity.value}
    if severity is Severity.NONE:
        return matched
    waits, again = duration(_GATHERED_S[severity]), duration(_TOLD_AGAIN_S[severity])
    return {**matched, "group_wait": waits, "repeat_interval": again}


def _receiver(severity: Severity, url: str | None) -> Mapping[str, Any]:
    if url is None:
        return {"name": severity.value}
    return {"name": severity.value, "webhook_configs": [{"url": url, "send_resolved": True}]}


def _inhibited() -> Sequence[Mapping[str, Any]]:
    return (
        # One page is enough for what its tickets say again: of the same model, about the same thing.
        _held_back(
            by=(_is(SEVERITY_LABEL, Severity.PAGE),),
            what=(_is(SEVERITY_LABEL, Severity.TICKET),),
            equal=(MODEL_LABEL, ABOUT_LABEL, REGION_LABEL),
        ),
        # Who is down tells nothing of releases, and everything that is said of them is old.
        _held_back(
            by=(f'{_ALERT}=~"SerinControllerDown|SerinControllerStopped"',),
            what=(_is(ABOUT_LABEL, About.RELEASE), f'{_ALERT}!="SerinFrozen"'),
            equal=(REGION_LABEL,),
        ),
        _held_back(
            by=(f'{_ALERT}="SerinControllerDown"',),
            what=(f'{_ALERT}=~"SerinControllerStopped|SerinControllerBlind"',),
            equal=(REGION_LABEL,),
        ),
        _held_back(
            by=(f'{_ALERT}="SerinGatewayUnwatched"',),
            what=(f'{_ALERT}="SerinReleaseBlind"', f'{SOURCE_LABEL}="gateway"'),
            equal=(REGION_LABEL,),
        ),
        # A freeze is a maintenance window that ends when it is lifted.
        _held_back(
            by=(f'{_ALERT}="SerinFrozen"',),
            what=(f'{_ALERT}=~"{"|".join(_PROCEEDING)}"',),
            equal=(MODEL_LABEL, REGION_LABEL),
        ),
    )


def _is(label: str, value: str) -> str:
    return f'{label}="{value}"'


def _held_back(*, by: Sequence[str], what: Sequence[str], equal: Sequence[str]) -> Mapping[str, Any]:
    return {"source_matchers": list(by), "target_matchers": list(what), "equal": list(equal)}
