"""The channels that the settings name: who is told of what happens."""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from controller.adapters.clock import SystemClock
from controller.adapters.notify.alertmanager import AlertmanagerChannel
from controller.adapters.notify.chat import ChatChannel
from controller.adapters.notify.command import CommandChannel
from controller.adapters.notify.mail import EmailChannel
from controller.adapters.notify.webhook import WebhookChannel
from controller.config.notify import AlertmanagerTarget, AnyTarget, ChatTarget, EmailTarget, WebhookTarget, targets_of
from controller.config.secret_files import SecretFile
from controller.config.settings import Home, Settings
from controller.core.commands import ANY_MODEL
from controller.core.notices import Kind, Message, Notice, Severity
from controller.errors import UsageError
from controller.ports.notices import Channel, UndeliveredError


def channels_of(settings: Settings) -> tuple[Channel, ...]:
    """The channels to the targets of the settings. Nobody is asked, and no secret is read yet.

    Raises:
        UsageError: a target cannot be; names it, its key, and the way out.
    """
    return tuple(_channel(target, settings.region) for target in targets_of(settings.notify))


def _channel(target: AnyTarget, region: str) -> Channel:
    secret = partial(_secret, target.name)
    if isinstance(target, WebhookTarget):
        return WebhookChannel(
            target, region, SecretFile(f"{target.name}: secret_file", target.secret_file), SystemClock()
        )
    if isinstance(target, ChatTarget):
        return ChatChannel(target, region, SecretFile(f"{target.name}: url_file", target.url_file))
    if isinstance(target, AlertmanagerTarget):
        return AlertmanagerChannel(target, region, secret("token_file", target.token_file))
    if isinstance(target, EmailTarget):
        return EmailChannel(target, region, secret("password_file", target.password_file))
    return CommandChannel(target, region)


def _secret(name: str, key: str, path: str | None) -> SecretFile | None:
    return None if path is None else SecretFile(f"{name}: {key}", path)


@dataclass(frozen=True, slots=True)
class Tried:
    """A target that was told as a test; ``trouble`` is empty where it took it."""

    target: str
    trouble: str
    took_s: float


def try_targets(home: Home, only: str | None, by: str) -> Sequence[Tried]:
    """Tell every target of the installation, or the one named, that this is a test.

    Raises:
        UsageError: no installation is here, a target cannot be, or there is none (of that name).
    """
    channels = channels_of(home.load())
    if not channels:
        raise UsageError(
            'nobody is to be told: name targets under "notify" in settings.json; see docs/notifications.md'
        )
    wanted = [channel for channel in channels if only in (None, channel.name)]
    if not wanted:
        raise UsageError(f"notify: no target is called {only!r}; there are {', '.join(one.name for one in channels)}")
    return [_tried(channel, by) for channel in wanted]


def _tried(channel: Channel, by: str) -> Tried:
    began_s = time.monotonic()
    severity = min(channel.severities, key=list(Severity).index)  # what it is told of reaches whom it is for
    notice = Notice(
        id=f"test-{uuid.uuid4().hex}",
        kind=Kind.TEST,
        severity=severity,
        model=ANY_MODEL,
        version="",
        at_s=SystemClock().now_s(),
        title="This is a test of Serin's notices",
        reason="Nothing happened, and nobody has to do anything.",
        by=by,
    )
    trouble = ""
    try:
        channel.send(Message(notice.id, (notice,)))
    except UndeliveredError as error:
        trouble = str(error)
    return Tried(channel.name, trouble, time.monotonic() - began_s)
