"""Public elliptic-curve keys: how they are read, named and asked whether they made a signature.

Keys are on P-256, P-384 or P-521 and sign with the SHA-2 of that size, as OpenSSF model signatures do. A key's id is the
SHA-256 of its public PEM as this library writes it, so line endings and comments do not change it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final, Protocol, runtime_checkable

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from weighbridge.core.errors import ConfigError, SignatureInvalid
from weighbridge.core.ports import Signer

CURVES: Final[Mapping[str, type[ec.EllipticCurve]]] = {
    "P-256": ec.SECP256R1,
    "P-384": ec.SECP384R1,
    "P-521": ec.SECP521R1,
}
_HASHES: Final[Mapping[str, type[hashes.HashAlgorithm]]] = {
    "secp256r1": hashes.SHA256,
    "secp384r1": hashes.SHA384,
    "secp521r1": hashes.SHA512,
}


class SigningKey(Signer, Protocol):
    """A signer whose public half can be handed to others, wherever its private half is."""

    @property
    def public_pem(self) -> bytes:
        """The public half, SubjectPublicKeyInfo in PEM."""
        ...

    @property
    def place(self) -> str:
        """Where the private half is, without secrets."""
        ...


@runtime_checkable
class Certified(Protocol):
    """A signer that has certificates; see `attest.certificate`."""

    @property
    def certificates(self) -> tuple[bytes, ...]:
        """The chain from the signing certificate on, each in DER."""
        ...


class KeyElsewhere:
    """What is known here of a key whose private half lies elsewhere: its public half, read once, and where it lies."""

    def __init__(self, public: ec.EllipticCurvePublicKey, place: str) -> None:
        self._public = public
        self._hash = hash_of(public, f"the key '{place}'")
        self._public_pem = pem_of(public)
        self._place = place

    @property
    def public_pem(self) -> bytes:
        """The public half, SubjectPublicKeyInfo in PEM."""
        return self._public_pem

    @property
    def key_id(self) -> str:
        """Lowercase hex SHA-256 of `public_pem`."""
        return key_id_of(self._public_pem)

    @property
    def place(self) -> str:
        """Where the private half lies, without secrets."""
        return self._place


def key_id_of(public_pem: bytes) -> str:
    """The id of a key: SHA-256 of its public PEM, 64 hex digits."""
    return hashlib.sha256(public_pem).hexdigest()


def hash_of(public: ec.EllipticCurvePublicKey, what: str) -> hashes.HashAlgorithm:
    """The hash that a key signs with.

    Raises:
        ConfigError: the key is on another curve; `what` names it.
    """
    algorithm = _HASHES.get(public.curve.name)
    if algorithm is None:
        raise ConfigError(f"{what} is on curve {public.curve.name}", hint=f"Choose from {', '.join(CURVES)}.")
    return algorithm()


def pem_of(public: ec.EllipticCurvePublicKey) -> bytes:
    """The one PEM spelling of a public key."""
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def parse_public(pem: bytes, what: str) -> ec.EllipticCurvePublicKey:
    """Reads a public key in PEM; `what` names it in errors.

    Raises:
        ConfigError: it holds none on a supported curve, or a private key.
    """
    if b"PRIVATE KEY" in pem:
        raise ConfigError(
            f"{what} holds a private key where only public keys belong",
            hint="Move it out of the folder of trusted keys and consider it exposed if others could read that folder.",
        )
    try:
        public = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{what} holds no public key in PEM", hint="Replace or remove it.") from error
    return elliptic(public, what)


def elliptic(public: object, what: str) -> ec.EllipticCurvePublicKey:
    """The key itself when it is on a supported curve.

    Raises:
        ConfigError: it is another kind of key.
    """
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise ConfigError(f"{what} is not an elliptic-curve key", hint="Replace or remove it.")
    hash_of(public, what)
    return public


def check_signature(public: ec.EllipticCurvePublicKey, data: bytes, signature: bytes) -> None:
    """Returns when the key made `signature` (ECDSA, DER) over `data`.

    Raises:
        SignatureInvalid: it did not.
    """
    try:
        public.verify(signature, data, ec.ECDSA(hash_of(public, "a key")))
    except InvalidSignature as error:
        raise SignatureInvalid(
            f"the signature was not made by key {key_id_of(pem_of(public))[:16]}… over these bytes",
            hint="The record was altered after it was signed; restore it, and find out who altered it.",
        ) from error


def check_own(public: ec.EllipticCurvePublicKey, data: bytes, signature: bytes, *, place: str) -> bytes:
    """The signature that a key elsewhere just returned, once it is known to be that key's.

    Raises:
        SignatureInvalid: another key made it, or it is over other bytes.
    """
    try:
        public.verify(signature, data, ec.ECDSA(hash_of(public, place)))
    except InvalidSignature as error:
        raise SignatureInvalid(
            f"what '{place}' returned is no signature by its key {key_id_of(pem_of(public))[:16]}…",
            hint="Nothing was signed. Somebody answers in that key's place, or the key behind that name was exchanged.",
        ) from error
    return signature
