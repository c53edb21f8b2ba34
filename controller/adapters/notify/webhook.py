"""A CloudEvent by HTTP, signed as Standard Webhooks are: whoever receives it can check that it is Serin's and no
repetition."""

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
    """Implements ``Channel``. Each message is one event, so that an event is known by the id of its message."""

    target: WebhookTarget
    secret: SecretFile
    clock: Clock
    group_max: Final = 1

    def send(self, message: Message) -> None:
        from standardwebhooks.webhooks import Webhook  # needed only if there is such a target

        body = cloud_event_text(message.notices[0], self.region)
        now = datetime.fromtimestamp(int(self.clock.now_s()), UTC)
        try:
            signature = Webhook(self.secret.read()).sign(message.id, now, body)
        except UsageError as error:
            raise UndeliveredError(str(error)) from error
        except ValueError as error:
            raise UndeliveredError(f"secret_file {self.secret.path}: holds no key that can sign ({error})") from error
        headers = {
            "content-type": CLOUD_EVENT_TYPE,
            "webhook-id": message.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signature,
        }
        post(self.target.url, body, headers, within_s=self.target.within_s, ca_file=self.target.ca_file)
