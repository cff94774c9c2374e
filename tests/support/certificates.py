"""Makes X.509 certificates for tests: an authority, one below it, and a signing certificate, each bent as a test needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ALWAYS: Final[Mapping[str, datetime]] = {"begins": NOW - 9_000 * DAY, "ends": NOW + 9_000 * DAY}
"""For what is verified by the machine's own clock: a suite must pass on any day."""


def named(name: str) -> x509.Name:
    """A name with nothing but a common name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def usage(*, digital_signature: bool = False, key_cert_sign: bool = False, encipher: bool = False) -> x509.KeyUsage:
    """A key usage with only what is named."""
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=encipher,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=key_cert_sign,
        encipher_only=False,
        decipher_only=False,
    )


@dataclass
class Authority:
    """Somebody who issues certificates."""

    name: str
    issuer: Authority | None = None
    path_length: int | None = 1
    is_ca: bool = True
    begins: datetime = NOW - 10_000 * DAY
    ends: datetime = NOW + 10_000 * DAY
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def certificate(self) -> x509.Certificate:
        """Its own certificate, by its issuer or itself."""
        signer = self.issuer or self
        length = self.path_length if self.is_ca else None
        builder = _builder(self.name, signer.name, self.key.public_key(), self.begins, self.ends)
        return (
            builder.add_extension(x509.BasicConstraints(self.is_ca, length), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .add_extension(usage(key_cert_sign=self.is_ca, digital_signature=not self.is_ca), critical=True)
            .sign(signer.key, hashes.SHA256())
        )

    def issue(
        self,
        public_pem: bytes,
        *,
        key_usage: x509.KeyUsage | None = None,
        extended: tuple[ObjectIdentifier, ...] = (ExtendedKeyUsageOID.CODE_SIGNING,),
        begins: datetime = NOW - DAY,
        ends: datetime = NOW + 30 * DAY,
        more: tuple[x509.ExtensionType, ...] = (),
    ) -> x509.Certificate:
        """A certificate for a key; without another word, one to sign code with."""
        public = serialization.load_pem_public_key(public_pem)
        assert isinstance(public, ec.EllipticCurvePublicKey)
        builder = _builder("bridge", self.name, public, begins, ends)
        builder = builder.add_extension(key_usage or usage(digital_signature=True), critical=True)
        if extended:
            builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
        for one in more:
            builder = builder.add_extension(one, critical=True)
        return builder.sign(self.key, hashes.SHA256())


def pem(*certificates: x509.Certificate) -> bytes:
    """Certificates in PEM, in that order."""
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def _builder(
    subject: str, issuer: str, public: ec.EllipticCurvePublicKey, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(named(subject))
        .issuer_name(named(issuer))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )
