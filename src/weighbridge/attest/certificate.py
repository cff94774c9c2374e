"""Certificates: a signing key with an X.509 chain, and what a chain must show before its key is believed.

A certificate lets somebody verify who trusts an authority and has never seen the key: the model signature then carries
the chain, as `model_signing verify certificate` reads it. Verification, in this order, each failure a typed error:

1. the chain is 1 to 8 certificates in DER, from the signing one on, each with a key this library can check;
2. each is inside its time of validity at the moment asked about, the anchor included;
3. the first is for signing: a key usage, where given, with digitalSignature, an extended one, where given, with
   codeSigning, at least one of both, and it is no authority;
4. each is signed by the next, which is an authority that may sign certificates, within its path length;
5. the last is one of the anchors, or is signed by one;
6. no certificate has a critical extension that was not understood.

The signer's word is all there is for *when* it signed: a chain is judged at a time that the caller names. Revocation
lists and OCSP are not asked; a key is revoked here by `keys revoke`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from weighbridge.attest.public_keys import SigningKey, elliptic, key_id_of, pem_of
from weighbridge.core.errors import ConfigError, Expired, SignatureInvalid
from weighbridge.wire.files import read_small

MAX_CHAIN = 8
STEPS: Final = (
    "the chain is of 1 to 8 certificates with keys that can be checked",
    "each is inside its time, the anchor included",
    "the first is for signing, and no authority's",
    "each is issued by the next, which may issue certificates, within its path length",
    "the last is an anchor, or issued by one",
    "no critical extension was passed over",
    "the first one's key signed the model signature",
    "the model signature lists the revision's artifacts, each with its SHA-256",
)
"""What verifying a model signature by its certificates proves, in this order."""
_UNDERSTOOD: Final = frozenset(
    {ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE, ExtensionOID.EXTENDED_KEY_USAGE}
    | {ExtensionOID.SUBJECT_ALTERNATIVE_NAME}
)


@dataclass(frozen=True, slots=True)
class Chain:
    """Certificates from the signing one on; what `check` has not looked at is not believed."""

    certificates: tuple[x509.Certificate, ...]

    @classmethod
    def load(cls, path: Path) -> Chain:
        """Reads a PEM file, the signing certificate first.

        Raises:
            ConfigError: it cannot be read, or holds no chain.
        """
        try:
            return cls(tuple(x509.load_pem_x509_certificates(read_small(path, f"'{path}'"))))
        except ValueError as error:
            raise ConfigError(
                f"'{path}' holds no certificates in PEM", hint="Put the signing certificate first, its issuer next."
            ) from error

    @classmethod
    def decode(cls, ders: Sequence[bytes]) -> Chain:
        """The chain in a signature, by DER.

        Raises:
            SignatureInvalid: it is empty, too long, or not of certificates.
        """
        if not 1 <= len(ders) <= MAX_CHAIN:
            raise SignatureInvalid(f"the signature has a chain of {len(ders)} certificates")
        try:
            return cls(tuple(x509.load_der_x509_certificate(der) for der in ders))
        except ValueError as error:
            raise SignatureInvalid("the signature has a certificate that cannot be read") from error

    @property
    def ders(self) -> tuple[bytes, ...]:
        """Each certificate's DER."""
        return tuple(one.public_bytes(serialization.Encoding.DER) for one in self.certificates)

    @property
    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The key of the signing certificate.

        Raises:
            SignatureInvalid: it is on no supported curve.
        """
        try:
            return elliptic(self.certificates[0].public_key(), "the signing certificate")
        except (ConfigError, ValueError, UnsupportedAlgorithm) as error:
            raise SignatureInvalid("the signing certificate has no key on a supported curve") from error

    @property
    def key_id(self) -> str:
        """The id of that key."""
        return key_id_of(pem_of(self.public_key))

    def check(self, anchors: Anchors, *, at: datetime) -> None:
        """Returns when the chain shows, at that time, what the steps above ask for.

        Raises:
            Expired: a certificate's time is over, or has not come.
            SignatureInvalid: another step fails.
        """
        anchor = anchors.of(self.certificates[-1])
        path = (*self.certificates, *([anchor] if anchor and anchor != self.certificates[-1] else []))
        for certificate in path:
            _check_time(certificate, at)
        check_purpose(self.certificates[0])
        for depth, (certificate, issuer) in enumerate(pairwise(path)):
            _check_issued(certificate, issuer, below=depth)
        if anchor is None:
            raise SignatureInvalid(
                f"the chain of '{_name(self.certificates[0])}' ends at '{_name(self.certificates[-1])}', which is not anchored here",
                hint="If you trust that authority, add its certificate to the anchors.",
            )
        for certificate in path:
            _check_extensions(certificate)


@dataclass(frozen=True, slots=True)
class Anchors:
    """Certificates of authorities that are trusted by themselves."""

    certificates: tuple[x509.Certificate, ...]

    @classmethod
    def load(cls, path: Path) -> Anchors:
        """Reads a PEM file.

        Raises:
            ConfigError: it cannot be read, or holds no certificates.
        """
        return cls(Chain.load(path).certificates)

    def of(self, certificate: x509.Certificate) -> x509.Certificate | None:
        """The anchor that the certificate is, or that signed it."""
        if certificate in self.certificates:
            return certificate
        return next((anchor for anchor in self.certificates if _is_issued(certificate, anchor)), None)


class CertifiedKey:
    """A signing key with its certificates; implements `core.ports.Signer`, and model signatures carry the chain."""

    __slots__ = ("_key", "chain")

    def __init__(self, key: SigningKey, chain: Chain, *, now: datetime) -> None:
        """Puts the two together.

        Raises:
            ConfigError: the first certificate is another key's.
            Expired: its time is over, or has not come. SignatureInvalid: it is not for signing.
        """
        if chain.key_id != key.key_id:
            raise ConfigError(
                f"the first certificate of signing.certificate_chain is not that of the key '{key.place}'",
                hint="Put the certificate of that key first, its issuer next.",
            )
        _check_time(chain.certificates[0], now)
        check_purpose(chain.certificates[0])
        self._key = key
        self.chain = chain

    @property
    def public_pem(self) -> bytes:
        """The public half, SubjectPublicKeyInfo in PEM."""
        return self._key.public_pem

    @property
    def key_id(self) -> str:
        """Lowercase hex SHA-256 of `public_pem`."""
        return self._key.key_id

    @property
    def place(self) -> str:
        """Where the private half is."""
        return self._key.place

    @property
    def certificates(self) -> tuple[bytes, ...]:
        """The chain by DER, for whatever carries it."""
        return self.chain.ders

    def sign(self, data: bytes) -> bytes:
        """An ECDSA signature over `data`, ASN.1 DER."""
        return self._key.sign(data)


def check_purpose(certificate: x509.Certificate) -> None:
    """Returns when the certificate is one to sign with.

    Raises:
        SignatureInvalid: it is for something else, for nothing in particular, or an authority's.
    """
    usage, extended = _key_usage(certificate), _extended_usage(certificate)
    allowed = (
        (usage is not None or extended is not None)
        and (usage is None or usage.digital_signature)
        and (extended is None or ExtendedKeyUsageOID.CODE_SIGNING in extended)
    )
    if not allowed:
        raise SignatureInvalid(
            f"the certificate of '{_name(certificate)}' is not for signing code or documents",
            hint="It needs the key usage digitalSignature, and codeSigning where it has extended usages.",
        )
    if _authority(certificate) is not None:
        raise SignatureInvalid(f"the certificate of '{_name(certificate)}' is an authority's, not a signer's")


def _check_time(certificate: x509.Certificate, at: datetime) -> None:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begins <= at <= ends:
        raise Expired(
            f"the certificate of '{_name(certificate)}' is valid from {begins:%Y-%m-%d} to {ends:%Y-%m-%d}, not at {at:%Y-%m-%d}",
            hint="Have it renewed, and sign again.",
        )


def _check_issued(certificate: x509.Certificate, issuer: x509.Certificate, *, below: int) -> None:
    """`below` is how many authorities stand between the issuer and the signing certificate."""
    authority, usage = _authority(issuer), _key_usage(issuer)
    if authority is None or (usage is not None and not usage.key_cert_sign):
        raise SignatureInvalid(f"'{_name(issuer)}' may not issue certificates, and issued '{_name(certificate)}'")
    if authority.path_length is not None and below > authority.path_length:
        raise SignatureInvalid(f"the chain below '{_name(issuer)}' is longer than that authority may make it")
    if not _is_issued(certificate, issuer):
        raise SignatureInvalid(
            f"the certificate of '{_name(certificate)}' was not issued by '{_name(issuer)}'",
            hint="The chain was altered, or is not in order.",
        )


def _is_issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _check_extensions(certificate: x509.Certificate) -> None:
    for extension in _extensions(certificate):
        if extension.critical and extension.oid not in _UNDERSTOOD:
            raise SignatureInvalid(
                f"the certificate of '{_name(certificate)}' has a critical extension that is not understood here: "
                f"{extension.oid.dotted_string}"
            )


def _extensions(certificate: x509.Certificate) -> x509.Extensions:
    try:
        return certificate.extensions
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise SignatureInvalid("a certificate has extensions that cannot be read") from error


def _key_usage(certificate: x509.Certificate) -> x509.KeyUsage | None:
    try:
        return _extensions(certificate).get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None


def _extended_usage(certificate: x509.Certificate) -> x509.ExtendedKeyUsage | None:
    try:
        return _extensions(certificate).get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return None


def _authority(certificate: x509.Certificate) -> x509.BasicConstraints | None:
    """The constraints of a certificate that is an authority's."""
    try:
        found = _extensions(certificate).get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return None
    return found if found.ca else None


def _name(certificate: x509.Certificate) -> str:
    try:
        return certificate.subject.rfc4514_string()[:100]
    except ValueError:
        return "an unreadable name"
