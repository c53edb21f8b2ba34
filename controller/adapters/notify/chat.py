"""Messages in Slack and in Teams, by their incoming webhooks. What others wrote is shown as plain text: it mentions
nobody and holds no links."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from controller.adapters.notify.channel import Told
from controller.adapters.notify.post import post
from controller.adapters.notify.wording import Lines, lines_of
from controller.config.notify import ChatTarget, check_url
from controller.config.secret_files import SecretFile, one_line
from controller.config.setting_values import sends_in_the_clear
from controller.core.notices import Message
from controller.errors import UsageError
from controller.ports.notices import UndeliveredError

GROUP_MAX: Final = 20
_HEADER_CHARS_MAX: Final = 150  # Slack's limit
_SECTION_CHARS_MAX: Final = 3_000  # Slack's limit


def slack(lines: Lines) -> dict[str, Any]:
    """Return the message as Slack's blocks."""
    facts = " · ".join(f"{name}: {value}" for name, value in lines.facts)
    return {
        "text": _escaped(lines.headline),  # for places that show no blocks, such as notifications
        "blocks": [
            {"type": "header", "text": _plain(lines.headline[:_HEADER_CHARS_MAX])},
            {"type": "section", "text": _plain("\n".join(lines.body)[:_SECTION_CHARS_MAX])},
            {"type": "context", "elements": [_plain(facts[:_SECTION_CHARS_MAX])]},
        ],
    }


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def teams(lines: Lines) -> dict[str, Any]:
    """Return the message as an Adaptive Card, in the form that a Teams workflow's webhook accepts. Its text runs do not
    interpret Markdown."""
    body = [
        _runs(lines.headline, weight="Bolder", size="Medium"),
        *(_runs(line) for line in lines.body),
        *(_runs(f"{name}: {value}", size="Small") for name, value in lines.facts),
    ]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _runs(text: str, **style: str) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, **style}]}


TEMPLATES: Final[Mapping[str, Callable[[Lines], dict[str, Any]]]] = {"slack": slack, "teams": teams}


@dataclass(frozen=True)
class ChatChannel(Told):
    """Implements ``Channel``. Neither Slack nor Teams knows ids of messages: a message that was delivered, but not yet
    noted as delivered, appears twice."""

    target: ChatTarget
    address: SecretFile
    group_max: Final = GROUP_MAX

    def send(self, message: Message) -> None:
        body = json.dumps(TEMPLATES[self.target.kind](lines_of(message, self.region)))
        target = self.target
        post(self._url(), body, {"content-type": "application/json"}, within_s=target.within_s, ca_file=target.ca_file)

    def _url(self) -> str:
        try:
            url = one_line("url_file", self.address.path, self.address.read())
            check_url(f"url_file {self.address.path}", url)
        except (UsageError, ValueError) as error:
            raise UndeliveredError(str(error)) from error
        if sends_in_the_clear(url):
            raise UndeliveredError(
                f"url_file {self.address.path}: must be https://, or notices would be sent unencrypted"
            )
        return url
