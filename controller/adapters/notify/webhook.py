"""A CloudEvent by HTTP, signed as Standard Webhooks are: whoever takes it knows that it is ours, and that it is new."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from controller.adapters.notify.channel import Told
from controller.adapters.notify.post import post
from controller.adapters.notify.wording import CLOUD_EVENT_TYPE, cloud_event_text
from controller.config.notify import WebhookTarget
from controller.config.secret_files import SecretFile
from controller.core.notices import Message
from controller.errors import UsageError
from controller.ports.clock import Clock
from controller.ports.notices import UndeliveredError


@dataclass(frozen=True)
class WebhookChannel(Told):
    """Implements ``Channel``: one event a message, so that each is known by the id of its message."""

    target: WebhookTarget
    secret: SecretFile
    clock: Clock
    group_max: Final = 1

    def send(self, message: Message) -> None:
        from standardwebhooks.webhooks import Webhook  # only where there is such a target

        body = cloud_event_text(message.notices[0], self.region)
        now = datetime.fromtimestamp(int(self.clock.now_s()), UTC)
        try:
            signature = Webhook(self.secret.read()).sign(message.id, now, body)
        except (UsageError, ValueError) as error:
            raise UndeliveredError(f"secret_file: holds no key that can sign ({error})") from error
        headers = {
            "content-type": CLOUD_EVENT_TYPE,
            "webhook-id": message.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signature,
        }
        post(self.target.url, body, headers, within_s=self.target.within_s, ca_file=self.target.ca_file)
