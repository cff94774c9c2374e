"""Local elliptic-curve keys: one to sign with, and the folder of those that are trusted.

- Keys are on P-256 (the default), P-384 or P-521 and sign with the SHA-2 of that size, as OpenSSF model signatures do.
- A private key is PKCS #8 PEM in a file that only its owner can read; one that others can read is refused, not used.
- A key's id is the SHA-256 of its public PEM as this library writes it, so line endings and comments do not change it.
- Revoked beats trusted: a key found in `revoked/` is refused wherever else it lies.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from weighbridge.core.errors import ConfigError, Revoked, SignatureInvalid

MAX_KEY_FILE_BYTES = 64 * 1024
MAX_KEYS = 1_000
PUBLIC_SUFFIX = ".pub"
REVOKED_FOLDER = "revoked"

_CURVES: Final[Mapping[str, type[ec.EllipticCurve]]] = {
    "P-256": ec.SECP256R1,
    "P-384": ec.SECP384R1,
    "P-521": ec.SECP521R1,
}
_HASHES: Final[Mapping[str, type[hashes.HashAlgorithm]]] = {
    "secp256r1": hashes.SHA256,
    "secp384r1": hashes.SHA384,
    "secp521r1": hashes.SHA512,
}


class LocalKey:
    """A private key in a file; implements `core.ports.Signer`. Never printed, never pickled."""

    __slots__ = ("_algorithm", "_key_id", "_private", "_public_pem")

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        self._private = private
        self._algorithm = _algorithm(private.public_key(), "the private key")
        self._public_pem = _public_pem(private.public_key())
        self._key_id = key_id_of(self._public_pem)

    @classmethod
    def load(cls, path: Path, password: str | None = None) -> LocalKey:
        """Reads a PEM private key.

        Raises:
            ConfigError: there is no such file, others can read it, the password does not fit, or it holds no private
                key on a supported curve.
        """
        data = _read_private(path)
        try:
            private = serialization.load_pem_private_key(data, password.encode("utf-8") if password else None)
        except TypeError as error:
            raise ConfigError(
                f"the password does not fit '{path}': it is {'not encrypted' if password else 'encrypted'}",
                hint="Give a password exactly when the key is encrypted.",
            ) from error
        except (ValueError, UnsupportedAlgorithm) as error:
            raise ConfigError(
                f"'{path}' holds no private key that can be read, or the password is wrong",
                hint="A PEM private key on P-256, P-384 or P-521 is needed.",
            ) from error
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            raise ConfigError(f"'{path}' holds a key that is not an elliptic-curve key", hint="Use P-256.")
        return cls(private)

    @classmethod
    def create(cls, path: Path, *, password: str | None = None, curve: str = "P-256") -> LocalKey:
        """Makes a new key at `path` (mode 0600) and its public half at `<path>.pub`; neither may exist before.

        The private key appears whole or not at all. A public half that is missing because the machine stopped between
        the two can be written again from the private one (`public_pem`).

        Raises:
            ConfigError: a file is in the way, the folder cannot be written to, or the curve is not supported.
        """
        if curve not in _CURVES:
            raise ConfigError(f"'{curve}' is not a supported curve", hint=f"Choose from {', '.join(_CURVES)}.")
        public_path = path.with_name(path.name + PUBLIC_SUFFIX)
        for there in (path, public_path):
            if os.path.lexists(there):
                raise _in_the_way(there)
        private = ec.generate_private_key(_CURVES[curve]())
        key = cls(private)
        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password:
            encryption = serialization.BestAvailableEncryption(password.encode("utf-8"))
        pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        _write_new(path, pem, mode=0o600)
        _write_new(public_path, key.public_pem, mode=0o644)
        return key

    @property
    def public_pem(self) -> bytes:
        """The public half, SubjectPublicKeyInfo in PEM."""
        return self._public_pem

    @property
    def key_id(self) -> str:
        """Lowercase hex SHA-256 of `public_pem`."""
        return self._key_id

    def sign(self, data: bytes) -> bytes:
        """An ECDSA signature over `data`, ASN.1 DER."""
        return self._private.sign(data, ec.ECDSA(self._algorithm))

    def __repr__(self) -> str:
        return f"LocalKey({self._key_id})"

    def __reduce__(self) -> str:
        raise TypeError("a private key is not copied")


class TrustedKeys:
    """The public keys that are trusted and those that were revoked; implements `core.ports.SignatureVerifier`."""

    __slots__ = ("_revoked", "_trusted")

    def __init__(
        self, trusted: Mapping[str, ec.EllipticCurvePublicKey] | None = None, revoked: frozenset[str] = frozenset()
    ) -> None:
        self._trusted = dict(trusted or {})
        self._revoked = revoked

    @classmethod
    def load(cls, folder: Path) -> TrustedKeys:
        """Reads `*.pub` and `*.pem` in `folder` as trusted, those in `folder/revoked` as revoked.

        Raises:
            ConfigError: it is no folder, or one of those files holds no public key on a supported curve. A key that
                cannot be read is never skipped: it might be the revoked one.
        """
        if not folder.is_dir():
            raise ConfigError(f"'{folder}' is not a folder of public keys", hint="Create it and put *.pub files in it.")
        trusted = _load_folder(folder)
        revoked_folder = folder / REVOKED_FOLDER
        revoked = _load_folder(revoked_folder) if revoked_folder.exists() else {}
        return cls(trusted, frozenset(revoked))

    def with_key(self, pem: bytes) -> TrustedKeys:
        """These keys and one more, which a revocation of the same key still overrules.

        Raises:
            ConfigError: `pem` holds no public key on a supported curve.
        """
        public = _parse_public(pem, "the given public key")
        return TrustedKeys({**self._trusted, key_id_of(_public_pem(public)): public}, self._revoked)

    @property
    def key_ids(self) -> frozenset[str]:
        """The ids of the keys whose signatures are accepted."""
        return frozenset(self._trusted) - self._revoked

    @property
    def revoked_ids(self) -> frozenset[str]:
        """The ids of the keys whose signatures are refused as revoked."""
        return self._revoked

    def verify(self, data: bytes, signature: bytes, *, key_id: str) -> None:
        """Returns when the trusted key with that id made `signature` over `data`.

        Raises:
            Revoked: the key was revoked; whether it signed is then of no interest.
            SignatureInvalid: the key is unknown here, or it did not make this signature.
        """
        if key_id in self._revoked:
            raise Revoked(
                f"the signing key {key_id[:16]}… was revoked",
                hint="Have the revision sealed again with a key that is trusted.",
            )
        public = self._trusted.get(key_id)
        if public is None:
            raise SignatureInvalid(
                f"the signing key {key_id[:16]!r}… is not among the {len(self._trusted)} trusted keys",
                hint="If you know whose key it is, put its .pub file into the folder of trusted keys.",
            )
        try:
            public.verify(signature, data, ec.ECDSA(_algorithm(public, "a trusted key")))
        except InvalidSignature as error:
            raise SignatureInvalid(
                f"the signature was not made by key {key_id[:16]}… over these bytes",
                hint="The record was altered after it was signed; restore it, and find out who altered it.",
            ) from error


def key_id_of(public_pem: bytes) -> str:
    """The id of a key: SHA-256 of its public PEM, 64 hex digits."""
    return hashlib.sha256(public_pem).hexdigest()


def _algorithm(public: ec.EllipticCurvePublicKey, what: str) -> hashes.HashAlgorithm:
    algorithm = _HASHES.get(public.curve.name)
    if algorithm is None:
        raise ConfigError(f"{what} is on curve {public.curve.name}", hint=f"Choose from {', '.join(_CURVES)}.")
    return algorithm()


def _public_pem(public: ec.EllipticCurvePublicKey) -> bytes:
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _parse_public(pem: bytes, what: str) -> ec.EllipticCurvePublicKey:
    if b"PRIVATE KEY" in pem:
        raise ConfigError(
            f"{what} holds a private key where only public keys belong",
            hint="Move it out of the folder of trusted keys and consider it exposed if others could read that folder.",
        )
    try:
        public = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{what} holds no public key in PEM", hint="Replace or remove it.") from error
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise ConfigError(f"{what} is not an elliptic-curve key", hint="Replace or remove it.")
    _algorithm(public, what)
    return public


def _load_folder(folder: Path) -> dict[str, ec.EllipticCurvePublicKey]:
    try:
        paths = sorted(p for p in folder.iterdir() if p.suffix in (PUBLIC_SUFFIX, ".pem") and not p.is_dir())
        if len(paths) > MAX_KEYS:
            raise ConfigError(f"'{folder}' holds {len(paths)} keys, more than {MAX_KEYS}")
        keys = {}
        for path in paths:
            with path.open("rb") as stream:
                pem = stream.read(MAX_KEY_FILE_BYTES)
            public = _parse_public(pem, f"'{path}'")
            keys[key_id_of(_public_pem(public))] = public
    except OSError as error:
        raise ConfigError(f"the keys in '{folder}' cannot be read: {error.strerror}") from error
    return keys


def _read_private(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ConfigError(f"'{path}' is not a file")
            if os.name == "posix" and status.st_mode & 0o077:
                raise ConfigError(
                    f"the private key '{path}' can be read by others (mode {stat.S_IMODE(status.st_mode):04o})",
                    hint=f"Run: chmod 600 {path}",
                )
            return stream.read(MAX_KEY_FILE_BYTES)
    except OSError as error:
        raise ConfigError(f"the private key '{path}' cannot be read: {error.strerror}") from error


def _in_the_way(path: Path) -> ConfigError:
    return ConfigError(f"'{path}' exists already; keys are never overwritten", hint="Choose another name.")


def _write_new(path: Path, data: bytes, *, mode: int) -> None:
    """Writes a file that appears whole under its name or not at all, and never in place of another."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            # A link, unlike a rename, fails when the name is taken.
            os.link(temporary, path)
        finally:
            temporary.unlink()
    except FileExistsError as error:
        raise _in_the_way(path) from error
    except OSError as error:
        raise ConfigError(f"'{path}' cannot be written: {error.strerror}") from error
