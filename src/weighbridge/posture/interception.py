"""A certificate authority that lives as long as one recording, so that a client's own TLS can be looked into.

Its key never leaves memory and is forgotten with it; only programs that are told to trust its certificate do. What it issues is
good for a day.
"""

from __future__ import annotations

import ipaddress
import ssl
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

MAX_HOSTS: Final = 1_000


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


_AUTHORITY: Final = _named("weighbridge recording")
_SERVER: Final = _named("recorded server")


class Authority:
    """Issues a server's certificate for whatever host is asked for. `folder` is private and is removed by its owner."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._leaf = ec.generate_private_key(ec.SECP256R1())
        self._lock = threading.Lock()
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._begins = datetime.now(UTC) - timedelta(hours=1)
        self.certificate: Final = self._certify()
        """The certificate to trust, PEM."""

    def context(self, host: str) -> ssl.SSLContext:
        """What a TLS server called `host` presents itself with; HTTP/1.1 alone is offered.

        Raises:
            OSError: there are more hosts than an honest client asks for, or the host is no name.
        """
        with self._lock:
            found = self._contexts.get(host)
            if found is None:
                if len(self._contexts) >= MAX_HOSTS:
                    raise OSError("too many hosts")
                found = self._contexts[host] = self._issue(host)
            return found

    def _issue(self, host: str) -> ssl.SSLContext:
        try:
            name: x509.GeneralName = x509.DNSName(host.encode("idna").decode("ascii"))
        except UnicodeError as error:
            raise OSError(f"{host!a:.100} is no host") from error
        with suppress(ValueError):
            name = x509.IPAddress(ipaddress.ip_address(host))
        certificate = (
            self._builder(_SERVER, self._leaf.public_key())
            .add_extension(x509.SubjectAlternativeName([name]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        file = self._folder / f"{len(self._contexts)}.pem"
        file.touch(mode=0o600)
        key = self._leaf.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file.write_bytes(key + certificate.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        context.set_alpn_protocols(["http/1.1"])
        return context

    def _certify(self) -> str:
        usage = dict.fromkeys(("content_commitment", "data_encipherment", "key_agreement", "key_encipherment"), False)
        signs = x509.KeyUsage(
            digital_signature=True, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False, **usage
        )
        certificate = (
            self._builder(_AUTHORITY, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(signs, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")

    def _builder(self, subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        # Python 3.13 checks strictly: every certificate says whose key it holds, and who signed it.
        ours = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(_AUTHORITY)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._begins)
            .not_valid_after(self._begins + timedelta(days=1))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(ours, critical=False)
        )
