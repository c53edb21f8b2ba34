"""Notices as mail, by SMTP."""

import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from typing import Final

from controller.adapters.notify.channel import Told
from controller.adapters.notify.wording import lines_of
from controller.config.notify import EmailTarget, is_address
from controller.config.secret_files import SecretFile, one_line
from controller.core.notices import Message
from controller.errors import UsageError
from controller.ports.notices import UndeliveredError


@dataclass(frozen=True)
class EmailChannel(Told):
    """Implements ``Channel``. The Message-ID of a mail is made from the message's id, so that a mailbox recognises a
    mail that came twice."""

    target: EmailTarget
    password: SecretFile | None
    group_max: Final = 50

    def send(self, message: Message) -> None:
        target = self.target
        mail = self._mail(message)
        try:
            password = None
            if self.password is not None:
                password = one_line("password_file", self.password.path, self.password.read())
            with _connected(target) as server:
                if target.user is not None and password is not None:
                    server.login(target.user, password)
                refused = server.send_message(mail)
        except UsageError as error:
            raise UndeliveredError(str(error)) from error
        except (OSError, smtplib.SMTPException) as error:
            raise UndeliveredError(f"{target.host} did not accept the mail: {error or type(error).__name__}") from error
        if refused:
            raise UndeliveredError(f"{target.host} refused {', '.join(sorted(refused))}")

    def _mail(self, message: Message) -> EmailMessage:
        contacts = (notice.contact for notice in message.notices)
        to = self.target.to or tuple(dict.fromkeys(one for one in contacts if is_address(one)))
        if not to:
            raise UndeliveredError(
                "nobody to write to: set `to` of this target, or a mail address as `contact` in the policy of "
                f"{message.notices[-1].model}"
            )
        lines = lines_of(message, self.region)
        mail = EmailMessage()
        mail["Subject"], mail["From"], mail["To"] = lines.headline, self.target.sender, ", ".join(to)
        mail["Date"] = formatdate(message.notices[-1].at_s)
        mail["Message-ID"] = f"<{message.id}@serin.{self.region}>"
        mail["Auto-Submitted"] = "auto-generated"
        facts = [f"{name}: {value}" for name, value in lines.facts]
        mail.set_content("\n".join([*lines.body, "", *facts, ""]))
        return mail


@contextmanager
def _connected(target: EmailTarget) -> Iterator[smtplib.SMTP]:
    """Yield a connection to the server. It is cut when the deadline is over, whatever it is waiting for."""
    trust = ssl.create_default_context(cafile=target.ca_file)
    name = socket.gethostname()  # without it, the library would ask a name server for the full name
    server = (
        smtplib.SMTP_SSL(local_hostname=name, timeout=target.within_s, context=trust)
        if target.tls == "implicit"
        else smtplib.SMTP(local_hostname=name, timeout=target.within_s)
    )
    over = threading.Event()

    def end() -> None:
        over.set()
        if (connection := server.sock) is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(target.within_s, end)
    timer.daemon = True
    timer.start()
    try:
        # The name that the certificate must be for. Only the constructor sets it, and would connect at once.
        vars(server)["_host"] = target.host
        server.connect(target.host, target.port)
        if target.tls == "starttls":
            server.starttls(context=trust)
        yield server
    except (OSError, smtplib.SMTPException) as error:
        if over.is_set():
            raise UndeliveredError(f"{target.host} gave no answer in {target.within_s:g} s") from error
        raise
    finally:
        timer.cancel()
        with suppress(OSError, smtplib.SMTPException):
            server.close()
