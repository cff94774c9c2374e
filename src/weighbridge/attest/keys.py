"""A local elliptic-curve key to sign with, in a file.

A private key is PKCS #8 PEM in a file that only its owner can read; one that others can read is refused, not used. What
is trusted is `attest.trust`'s, keys that lie elsewhere are opened by `attest.signers`.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from weighbridge.attest.key_files import PUBLIC_SUFFIX, in_the_way, write_new
from weighbridge.attest.public_keys import CURVES, hash_of, key_id_of, pem_of
from weighbridge.attest.trust import TrustedKeys
from weighbridge.core.errors import ConfigError
from weighbridge.wire.files import MAX_SMALL_BYTES

__all__ = ["LocalKey", "TrustedKeys", "key_id_of"]


class LocalKey:
    """A private key in a file; implements `core.ports.Signer`. Never printed, never pickled."""

    __slots__ = ("_algorithm", "_key_id", "_place", "_private", "_public_pem")

    def __init__(self, private: ec.EllipticCurvePrivateKey, place: str = "memory") -> None:
        self._private = private
        self._place = place
        self._algorithm = hash_of(private.public_key(), "the private key")
        self._public_pem = pem_of(private.public_key())
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
        return cls(private, str(path))

    @classmethod
    def create(cls, path: Path, *, password: str | None = None, curve: str = "P-256") -> LocalKey:
        """Makes a new key at `path` (mode 0600) and its public half at `<path>.pub`; neither may exist before.

        The private key appears whole or not at all. A public half that is missing because the machine stopped between
        the two can be written again from the private one (`public_pem`).

        Raises:
            ConfigError: a file is in the way, the folder cannot be written to, or the curve is not supported.
        """
        if curve not in CURVES:
            raise ConfigError(f"'{curve}' is not a supported curve", hint=f"Choose from {', '.join(CURVES)}.")
        public_path = path.with_name(path.name + PUBLIC_SUFFIX)
        for there in (path, public_path):
            if os.path.lexists(there):
                raise in_the_way(there)
        private = ec.generate_private_key(CURVES[curve]())
        key = cls(private, str(path))
        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password:
            encryption = serialization.BestAvailableEncryption(password.encode("utf-8"))
        pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        write_new(path, pem, mode=0o600)
        write_new(public_path, key.public_pem, mode=0o644)
        return key

    @property
    def public_pem(self) -> bytes:
        """The public half, SubjectPublicKeyInfo in PEM."""
        return self._public_pem

    @property
    def key_id(self) -> str:
        """Lowercase hex SHA-256 of `public_pem`."""
        return self._key_id

    @property
    def place(self) -> str:
        """The path of its file."""
        return self._place

    def sign(self, data: bytes) -> bytes:
        """An ECDSA signature over `data`, ASN.1 DER."""
        return self._private.sign(data, ec.ECDSA(self._algorithm))

    def __repr__(self) -> str:
        return f"LocalKey({self._key_id})"

    def __reduce__(self) -> str:
        raise TypeError("a private key is not copied")


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
            return stream.read(MAX_SMALL_BYTES)
    except OSError as error:
        raise ConfigError(f"the private key '{path}' cannot be read: {error.strerror}") from error
