"""Opens the signing key that the settings name, wherever its private half is.

`signing.key` is a path (PEM), `pkcs11:…` (an HSM, see `attest.pkcs11`) or `awskms://…` (AWS KMS, see `attest.kms`). With
`signing.certificate_chain` the key comes with its certificates (`attest.certificate`). Secrets come from files alone.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from weighbridge.attest.key_files import PUBLIC_SUFFIX, write_new
from weighbridge.attest.public_keys import SigningKey
from weighbridge.core.errors import ConfigError
from weighbridge.wire.files import read_small

PKCS11 = "pkcs11:"
AWS_KMS = "awskms://"
KEYLESS = "sigstore"


def is_elsewhere(key: str) -> bool:
    """Whether the setting names a key that is not in a file."""
    return key.startswith((PKCS11, AWS_KMS))


def open_signer(
    key: str, *, password: str | None = None, certificate_chain: str = "", now: datetime | None = None
) -> SigningKey:
    """The signing key. `certificate_chain` is a path, `now` what its certificate's validity is held against.

    Raises:
        ConfigError: the key cannot be opened, or is not the certificate's.
        TrustError: a certificate does not hold, or what holds the key does not answer.
    """
    opened = _open(key, password)
    if not certificate_chain:
        return opened
    from weighbridge.attest.certificate import CertifiedKey, Chain

    return CertifiedKey(opened, Chain.load(Path(certificate_chain).expanduser()), now=now or datetime.now(UTC))


def remember(key: SigningKey, path: Path) -> None:
    """Keeps the public half of a key that is in no file at `<path>.pub`, so that verifying does not have to ask for it.

    Raises:
        ConfigError: another key answered to this name before.
    """
    if not is_elsewhere(key.place):
        return
    kept = path.with_name(path.name + PUBLIC_SUFFIX)
    if not kept.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            write_new(kept, key.public_pem, mode=0o644)
        except ConfigError:
            # Another process was first; what it wrote is looked at like what was there before.
            if not kept.exists():
                raise
    if read_small(kept, f"'{kept}'") != key.public_pem:
        raise ConfigError(
            f"'{key.place}' is another key than before: {key.key_id[:16]}…",
            hint="If you exchanged it, say so with `weighbridge keys rotate`. If you did not, find out who did.",
        )


def _open(key: str, password: str | None) -> SigningKey:
    if key.startswith(PKCS11):
        from weighbridge.attest.pkcs11 import Pkcs11Key

        return Pkcs11Key(key, password)
    if key.startswith(AWS_KMS):
        from weighbridge.attest.kms import KmsKey

        return KmsKey(key)
    if key.startswith(KEYLESS + ":") or "://" in key:
        raise ConfigError(
            f"'{key.partition(':')[0]}:' is no kind of signing key",
            hint="Use a path, pkcs11:... or awskms://...; keyless signing is `weighbridge attest --keyless`.",
        )
    from weighbridge.attest.keys import LocalKey

    return LocalKey.load(Path(key).expanduser(), password)


def read_password(path: str) -> str | None:
    """The password or PIN in a file, without its line end; None without a path.

    Raises:
        ConfigError: it cannot be read.
    """
    if not path:
        return None
    try:
        return read_small(Path(path).expanduser(), "the key's password file").decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise ConfigError("the key's password file is not UTF-8") from error
