"""Hands one notice to one sink, once: signed JSON, a mail, a chat's message; says in typed errors why it was not taken.

Rules:

- a webhook gets the news as canonical JSON with the headers of Standard Webhooks 1.0: `webhook-id` is the same in every try of
  a notice, `webhook-timestamp` is now, `webhook-signature` is `v1,` and the Base64 of the HMAC-SHA256 of id, timestamp and body;
- a mail goes over TLS, or STARTTLS that is insisted on; its Message-ID is the same in every try;
- nothing that the other side says is passed on but a number: it may be hostile, and may repeat a secret.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import os
import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final

from weighbridge.core import canonical
from weighbridge.core.errors import RateLimited, Unreachable, WeighbridgeError
from weighbridge.watch.news import News
from weighbridge.watch.notices.sinks import EmailSink, Sink, SlackSink, WebhookSink
from weighbridge.watch.notices.wording import letter, slack_message, subject
from weighbridge.wire.outbound import Answered, Outbound, connect

MAX_BODY_BYTES: Final = 256 * 1024
SMTP_SECONDS: Final = 15.0
"""For one answer of a mail server."""
MAIL_SECONDS: Final = 60.0
"""For all of its answers together."""
_TRANSIENT: Final = frozenset((408, 425, 429))


class NotTaken(WeighbridgeError):
    """A sink refused a notice, and would refuse it again."""


@dataclass(frozen=True, slots=True)
class Notice:
    """News on their way. `id` is the same in every try, to every sink; `test` says that nothing happened."""

    id: str
    news: News
    test: bool = False

    def body(self) -> bytes:
        """The news as canonical JSON; what would be too much is left out, and `cut` says so."""
        record = self.news.to_json()
        data = canonical.encode(record)
        if len(data) <= MAX_BODY_BYTES:
            return data
        reasons = [reason[:300] for reason in self.news.reasons[:50]]
        return canonical.encode(
            {**record, "summary": self.news.summary[:1_000], "reasons": reasons, "details": {"cut": True}}
        )


class Sending:
    """Sends notices, from several threads where wanted."""

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound

    def send(self, sink: Sink, notice: Notice) -> str:
        """Returns when the sink has taken the notice; a word on it, where there is one to say.

        Raises:
            Unreachable, RateLimited: not now (transient).
            NotTaken: it refuses. ConfigError: what the sink's settings name cannot be used.
        """
        if isinstance(sink, WebhookSink):
            return self._webhook(sink, notice)
        if isinstance(sink, SlackSink):
            return self._slack(sink, notice)
        return send_mail(sink, notice)

    def _webhook(self, sink: WebhookSink, notice: Notice) -> str:
        target, body = sink.target(), notice.body()
        headers = {"Content-Type": "application/json", **signed(notice.id, _now(), body, sink.key())}
        return _judged(self._outbound.post(target, body, headers), sink)

    def _slack(self, sink: SlackSink, notice: Notice) -> str:
        target = sink.target()
        # Escaped beyond ASCII: the receiver's own idea of a character set cannot matter.
        body = json.dumps(slack_message(notice.news, test=notice.test)).encode("ascii")
        return _judged(self._outbound.post(target, body, {"Content-Type": "application/json"}), sink)


def signed(notice_id: str, now: datetime, body: bytes, key: bytes) -> dict[str, str]:
    """The three headers of Standard Webhooks."""
    stamp = str(int(now.timestamp()))
    mac = hmac.new(key, f"{notice_id}.{stamp}.".encode("ascii") + body, hashlib.sha256).digest()
    return {
        "webhook-id": notice_id,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{base64.b64encode(mac).decode('ascii')}",
    }


def _now() -> datetime:
    return datetime.now(UTC)


def _judged(answered: Answered, sink: WebhookSink | SlackSink) -> str:
    status, place = answered.status, sink.place()
    if 200 <= status < 300:
        return f"answered {status}"
    if status in _TRANSIENT or status >= 500:
        raise RateLimited(f"{place} answered {status}: not now", retry_after_seconds=answered.retry_after_seconds)
    if 300 <= status < 400:
        raise NotTaken(f"{place} answered {status}: redirects are not followed", hint="Give the address it leads to.")
    raise NotTaken(f"{place} answered {status}", hint="Look whether the address and the secret are still right.")


# --- mail ---------------------------------------------------------------------------------------


def message_of(sink: EmailSink, notice: Notice, *, now: datetime) -> EmailMessage:
    """The mail; every header is made of our own words and checked addresses."""
    message = EmailMessage(policy=SMTP)
    message["From"] = Address("weighbridge", addr_spec=sink.sender)
    message["To"] = tuple(Address(addr_spec=one) for one in sink.recipients)
    message["Subject"] = ("[test] " if notice.test else "") + subject(notice.news)
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{notice.id}@{sink.sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(letter(notice.news, test=notice.test), cte="quoted-printable")
    return message


def send_mail(sink: EmailSink, notice: Notice) -> str:
    """Hands a mail to the sink's server. Raises as `Sending.send`."""
    message, password = message_of(sink, notice, now=_now()), sink.password()
    try:
        with contextlib.closing(_connected(sink)) as server, _no_longer_than(MAIL_SECONDS, server):
            if sink.security == "starttls":
                server.starttls(context=_tls())
            if sink.login:
                server.login(sink.login, password)
            refused = server.send_message(message)
            with contextlib.suppress(smtplib.SMTPException, OSError):
                server.quit()
    # What these errors say is the server's text, which is not ours to repeat; so none of them is chained.
    except smtplib.SMTPNotSupportedError:
        raise NotTaken(f"{sink.place()} offers no STARTTLS or login", hint="Mail goes out protected only.") from None
    except smtplib.SMTPAuthenticationError as error:
        raise NotTaken(f"{sink.place()} refused the login ({error.smtp_code})") from None
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        raise _refusal(sink, "refused every recipient", min(codes, default=500)) from None
    except smtplib.SMTPResponseException as error:
        raise _refusal(sink, "refused the mail", error.smtp_code) from None
    except ssl.SSLError:
        raise Unreachable(
            f"{sink.place()} could not be trusted", hint="Point SSL_CERT_FILE at the authority of its certificate."
        ) from None
    except (smtplib.SMTPException, OSError) as error:
        raise Unreachable(f"{sink.place()} does not answer ({type(error).__name__})") from None
    return f"refused for {len(refused)} of {len(sink.recipients)} recipients" if refused else "handed over"


def _refusal(sink: EmailSink, what: str, code: int) -> WeighbridgeError:
    words = f"{sink.place()} {what} ({code})"
    return Unreachable(words) if 400 <= code < 500 else NotTaken(words)


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    bundle = os.environ.get("REQUESTS_CA_BUNDLE")
    if bundle:
        context.load_verify_locations(bundle)
    return context


class _Pinned(smtplib.SMTP):
    """A conversation with a server at an address that was found fit; TLS still proves the name."""

    private = False
    _host: str

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return connect(host, port, private=self.private, seconds=timeout)


class _PinnedTls(_Pinned):
    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        raw = super()._get_socket(host, port, timeout)
        try:
            return _tls().wrap_socket(raw, server_hostname=host)
        except (OSError, ValueError):
            raw.close()
            raise


def _connected(sink: EmailSink) -> smtplib.SMTP:
    server = (_PinnedTls if sink.security == "tls" else _Pinned)(local_hostname=_own_name(), timeout=SMTP_SECONDS)
    server.private = sink.private
    # STARTTLS proves the name that is set here: `connect` leaves it alone when it is called apart.
    server._host = sink.host
    code, _ = server.connect(sink.host, sink.port)
    if code != 220:
        server.close()
        raise _refusal(sink, "wants no mail", code)
    return server


@contextlib.contextmanager
def _no_longer_than(seconds: float, server: smtplib.SMTP) -> Iterator[None]:
    """Cuts the connection to a server that answers without end."""

    def cut() -> None:
        with contextlib.suppress(OSError):
            if server.sock is not None:
                server.sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _own_name() -> str:
    name = socket.gethostname()
    return name if name.isascii() and name.replace("-", "").replace(".", "").isalnum() else "localhost"
