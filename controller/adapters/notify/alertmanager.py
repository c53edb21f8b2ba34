"""Notices as alerts of an Alertmanager, by its API v2. Alertmanager groups, silences and routes alerts by their labels;
each alert ends by itself."""

import json
from dataclasses import dataclass
from typing import Any, Final

from controller.adapters.notify.channel import Told
from controller.adapters.notify.post import post
from controller.adapters.notify.wording import instant
from controller.config.notify import AlertmanagerTarget
from controller.config.secret_files import SecretFile, one_line
from controller.core.commands import ANY_MODEL
from controller.core.notices import Message, Notice
from controller.errors import UsageError
from controller.ports.notices import UndeliveredError
from serving.contract import MODEL_LABEL, REGION_LABEL, VERSION_LABEL

ALERTS_ROUTE: Final = "/api/v2/alerts"
ALERT_NAME: Final = "SerinEvent"


def alert(notice: Notice, region: str, lasts_s: float) -> dict[str, Any]:
    """Return the notice as an alert that lasts ``lasts_s`` seconds. Alerts with the same labels are one alert, so
    sending it twice changes nothing."""
    labels = {
        "alertname": ALERT_NAME,
        "event": notice.kind.value,
        "severity": notice.severity.value,
        MODEL_LABEL: "" if notice.model == ANY_MODEL else notice.model,
        VERSION_LABEL: notice.version,
        "release": notice.release_id,
        "owner": notice.owner,
        REGION_LABEL: region,
    }
    annotations = {"summary": notice.title, "description": notice.reason, "contact": notice.contact, "id": notice.id}
    return {
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": {name: value for name, value in annotations.items() if value},
        "startsAt": instant(notice.at_s),
        "endsAt": instant(notice.at_s + lasts_s),
    }


@dataclass(frozen=True)
class AlertmanagerChannel(Told):
    """Implements ``Channel``. A message is sent as one alert for each of its notices."""

    target: AlertmanagerTarget
    token: SecretFile | None
    group_max: Final = 50

    def send(self, message: Message) -> None:
        target = self.target
        alerts = [alert(notice, self.region, target.lasts_s) for notice in message.notices]
        headers = {"content-type": "application/json"}
        if self.token is not None:
            try:
                shown = one_line("token_file", self.token.path, self.token.read())
            except UsageError as error:
                raise UndeliveredError(str(error)) from error
            headers["authorization"] = f"Bearer {shown}"
        url = target.url.rstrip("/") + ALERTS_ROUTE
        post(url, json.dumps(alerts), headers, within_s=target.within_s, ca_file=target.ca_file)
