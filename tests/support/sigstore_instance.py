"""A Sigstore of our own, in memory: an authority, a certificate log and a signature log, and the trusted root that names them.

It makes bundles (v0.3) around our statements as the public instance does with `dsse` entries of its first log, so that the real
`sigstore` library verifies them without a network: RFC 6962 for the certificate log, a tree of one entry for the signature log.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.support.certificates import NOW, Authority, named, usage
from weighbridge.attest.statement import PAYLOAD_TYPE, Statement, pae
from weighbridge.core import canonical

ISSUER_EXTENSION = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
SCT_EXTENSION = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
ORIGIN = "log.example.org"


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


@dataclass(frozen=True)
class Log:
    """A log's key; its id is the SHA-256 of the public half in DER."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def public(self) -> bytes:
        """The public half in DER."""
        return _public(self.key)

    @property
    def log_id(self) -> bytes:
        """32 bytes."""
        return hashlib.sha256(self.public).digest()

    def sign(self, data: bytes) -> bytes:
        """ECDSA with SHA-256."""
        return self.key.sign(data, ec.ECDSA(hashes.SHA256()))

    def to_json(self) -> dict[str, Any]:
        """As a trusted root lists it."""
        return {
            "baseUrl": f"https://{ORIGIN}",
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": _b64(self.public),
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "validFor": {"start": "2020-01-01T00:00:00Z"},
            },
            "logId": {"keyId": _b64(self.log_id)},
        }


def _public(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True)
class Sigstore:
    """One instance. `signed_at` is when it says that everything happened."""

    authority: Authority = field(default_factory=lambda: Authority("fulcio"))
    certificates: Log = field(default_factory=Log)
    signatures: Log = field(default_factory=Log)
    signed_at: datetime = NOW

    @property
    def trusted_root(self) -> bytes:
        """What a verifier of this instance must have."""
        der = self.authority.certificate.public_bytes(serialization.Encoding.DER)
        root = {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [self.signatures.to_json()],
            "certificateAuthorities": [
                {
                    "subject": {"organization": "example.org", "commonName": "fulcio"},
                    "uri": "https://fulcio.example.org",
                    "certChain": {"certificates": [{"rawBytes": _b64(der)}]},
                    "validFor": {"start": "2020-01-01T00:00:00Z"},
                }
            ],
            "ctlogs": [self.certificates.to_json()],
            "timestampAuthorities": [],
        }
        return json.dumps(root).encode()

    def bundle(self, statement: Statement, *, identity: str, issuer: str, logged: Statement | None = None) -> bytes:
        """A bundle that `identity` signed; `logged` is what the log is told instead, by a liar."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certificate(key, identity, issuer)
        payload = canonical.encode(statement.to_json())
        signature = key.sign(pae(PAYLOAD_TYPE, payload), ec.ECDSA(hashes.SHA256()))
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        told = canonical.encode((logged or statement).to_json())
        body = {
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()},
                "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(told).hexdigest()},
                "signatures": [{"signature": _b64(signature), "verifier": _b64(pem)}],
            },
        }
        return json.dumps(
            {
                "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
                "verificationMaterial": {
                    "certificate": {"rawBytes": _b64(certificate.public_bytes(serialization.Encoding.DER))},
                    "tlogEntries": [self._entry(canonical.encode(body))],
                },
                "dsseEnvelope": {
                    "payload": _b64(payload),
                    "payloadType": PAYLOAD_TYPE,
                    "signatures": [{"sig": _b64(signature)}],
                },
            }
        ).encode()

    def _certificate(self, key: ec.EllipticCurvePrivateKey, identity: str, issuer: str) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(named(self.authority.name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.signed_at - timedelta(minutes=1))
            .not_valid_after(self.signed_at + timedelta(minutes=9))
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.authority.key.public_key()), critical=False
            )
            .add_extension(usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.RFC822Name(identity)]), critical=True)
            .add_extension(x509.UnrecognizedExtension(ISSUER_EXTENSION, issuer.encode()), critical=False)
        )
        # RFC 6962, 3.2: the log signs the certificate as it is without the log's own word in it.
        before = builder.sign(self.authority.key, hashes.SHA256()).tbs_certificate_bytes
        moment = struct.pack("!Q", int(self.signed_at.timestamp() * 1000))
        entry = hashlib.sha256(_public(self.authority.key)).digest() + struct.pack("!I", len(before))[1:] + before
        signature = self.certificates.sign(b"\x00\x00" + moment + b"\x00\x01" + entry + b"\x00\x00")
        word = b"\x00" + self.certificates.log_id + moment + b"\x00\x00" + b"\x04\x03" + _sized(signature)
        words = _sized(_sized(word))
        extension = x509.UnrecognizedExtension(SCT_EXTENSION, b"\x04" + _length(len(words)) + words)
        return builder.add_extension(extension, critical=False).sign(self.authority.key, hashes.SHA256())

    def _entry(self, body: bytes) -> dict[str, Any]:
        log, at = self.signatures, int(self.signed_at.astimezone(UTC).timestamp())
        promised = {"body": _b64(body), "integratedTime": at, "logID": log.log_id.hex(), "logIndex": 0}
        root = hashlib.sha256(b"\x00" + body).digest()
        note = f"{ORIGIN}\n1\n{_b64(root)}\n"
        line = f"\u2014 {ORIGIN} {_b64(log.log_id[:4] + log.sign(note.encode()))}\n"
        return {
            "logIndex": "0",
            "logId": {"keyId": _b64(log.log_id)},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": str(at),
            "inclusionPromise": {"signedEntryTimestamp": _b64(log.sign(canonical.encode(promised)))},
            "inclusionProof": {
                "logIndex": "0",
                "rootHash": _b64(root),
                "treeSize": "1",
                "hashes": [],
                "checkpoint": {"envelope": f"{note}\n{line}"},
            },
            "canonicalizedBody": _b64(body),
        }


def _sized(data: bytes) -> bytes:
    """With its length in two bytes before it, as TLS writes it."""
    return struct.pack("!H", len(data)) + data


def _length(size: int) -> bytes:
    """A length in DER."""
    return bytes([size]) if size < 128 else bytes([0x81, size]) if size < 256 else b"\x82" + struct.pack("!H", size)
