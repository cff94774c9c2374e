"""Real places that notices go to: an SMTP server with TLS and a login, certificates for this machine, files that name them."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.support.certificates import ALWAYS, Authority, pem, usage

SECRET = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU="
PASSWORD = "correct-horse-battery-staple"
LOGIN = "weighbridge"


@dataclass(frozen=True)
class OwnTls:
    """A certificate for localhost and 127.0.0.1, and the file with the authority that made it."""

    context: ssl.SSLContext
    authority: Path


def own_tls(folder: Path) -> OwnTls:
    """Makes them."""
    authority = Authority("test authority")
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = authority.issue(
        public,
        key_usage=usage(digital_signature=True),
        extended=(ExtendedKeyUsageOID.SERVER_AUTH,),
        more=(names,),
        **ALWAYS,
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "own.pem").write_bytes(private + pem(certificate))
    (folder / "authority.pem").write_bytes(pem(authority.certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "own.pem")
    return OwnTls(context, folder / "authority.pem")


@dataclass
class Mailbox:
    """What an SMTP server took. `answer` is said to each mail in place of taking it, where it is set."""

    port: int
    mails: list[bytes] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    protected: list[bool] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    answer: str = ""
    implicit: bool = False
    """Whether it speaks nothing but TLS."""

    async def handle_DATA(self, _server: Any, peer: Any, envelope: Any) -> str:  # noqa: N802 (the library's name)
        """Takes a mail."""
        if self.answer:
            return self.answer
        self.mails.append(envelope.content)
        self.recipients.append(list(envelope.rcpt_tos))
        self.protected.append(self.implicit or peer.ssl is not None)
        return "250 taken"

    def __call__(self, _server: Any, _peer: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
        """Checks a login."""
        assert isinstance(given, LoginPassword)
        self.logins.append(given.login.decode())
        # A hostile server says the password back.
        fits = (given.login, given.password) == (LOGIN.encode(), PASSWORD.encode())
        return AuthResult(success=fits, handled=False, message=None if fits else f"535 no: {given.password.decode()}")

    def read(self, number: int = -1) -> EmailMessage:
        """One of the mails."""
        return message_from_bytes(self.mails[number], policy=policy.default)


@contextlib.contextmanager
def mail_server(tls: OwnTls | None = None, *, implicit: bool = False) -> Iterator[Mailbox]:
    """A server on a free port: with a certificate it wants STARTTLS (or TLS from the start) and a login, else neither."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    box = Mailbox(port, implicit=implicit)
    options: dict[str, Any] = {}
    if tls is not None:
        options = (
            {"authenticator": box, "ssl_context": tls.context, "auth_require_tls": False}
            if implicit
            else {"authenticator": box, "auth_required": True, "tls_context": tls.context, "require_starttls": True}
        )
    controller = Controller(box, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()


def write_secrets(folder: Path, *, chat: str = "") -> None:
    """The files that sinks name."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hook.secret").write_text(SECRET + "\n")
    (folder / "mail.password").write_text(PASSWORD + "\n")
    (folder / "chat.url").write_text(chat + "\n")
