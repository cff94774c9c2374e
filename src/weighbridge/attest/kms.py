"""A signing key that stays in AWS KMS: named by an `awskms://` address, asked for each signature.

- `awskms:///alias/name`, `awskms:///<key id>`, `awskms:///<ARN>`; `awskms://host/…` asks another endpoint. The form is
  cosign's. Credentials, region and endpoint come from botocore's standard places; an ARN's region wins.
- Only the digest travels (`MessageType=DIGEST`), so that what is signed may be of any size and is nobody else's business.
- An alias is resolved once: every signature of one run is by one key, and is checked with that key's public half before
  it is believed. Needs `kms:GetPublicKey` and `kms:Sign`, and the extra `aws`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization

from weighbridge.attest.public_keys import KeyElsewhere, check_own, elliptic
from weighbridge.core.errors import ConfigError, SignerUnavailable

SCHEME = "awskms://"
_ADDRESS = re.compile(
    r"awskms://(?P<host>[A-Za-z0-9.-]+(?::\d{1,5})?)?/"
    r"(?P<key>alias/[A-Za-z0-9/_-]{1,250}|[A-Za-z0-9-]{1,80}"
    r"|arn:aws[a-z-]*:kms:(?P<region>[a-z0-9-]{1,40}):\d{12}:(?:key/[A-Za-z0-9-]{1,80}|alias/[A-Za-z0-9/_-]{1,250}))"
)
_ALGORITHMS: Final[Mapping[str, str]] = {
    "sha256": "ECDSA_SHA_256",
    "sha384": "ECDSA_SHA_384",
    "sha512": "ECDSA_SHA_512",
}
_REFUSED = frozenset(
    {"AccessDeniedException", "NotFoundException", "DisabledException", "KMSInvalidStateException"}
    | {
        "InvalidKeyUsageException",
        "UnsupportedOperationException",
        "UnrecognizedClientException",
        "InvalidSignatureException",
        "ExpiredTokenException",
    }
)


class KmsKey(KeyElsewhere):
    """A private key in AWS KMS; implements `core.ports.Signer`. Thread-safe."""

    def __init__(self, address: str) -> None:
        """Finds the key and reads its public half.

        Raises:
            ConfigError: the address is of another form, the extra or credentials are missing, or KMS knows no such
                signing key for them.
            SignerUnavailable: KMS does not answer.
        """
        found = _ADDRESS.fullmatch(address)
        if found is None:
            raise ConfigError(
                f"'{address[:120]}' names no key in AWS KMS",
                hint="Write awskms:///alias/name, awskms:///<key id> or awskms:///arn:aws:kms:...",
            )
        self._client = _client(found["host"] or "", found["region"] or "")
        with _translated(address):
            answer = self._client.get_public_key(KeyId=found["key"])
        if answer.get("KeyUsage") != "SIGN_VERIFY":
            raise ConfigError(f"'{address}' is a key for {answer.get('KeyUsage')}, not for SIGN_VERIFY")
        try:
            public = serialization.load_der_public_key(answer["PublicKey"])
        except (ValueError, UnsupportedAlgorithm) as error:
            raise ConfigError(f"'{address}' has no public key that can be read") from error
        super().__init__(elliptic(public, f"'{address}'"), address)
        self._name = str(answer["KeyId"])

    def sign(self, data: bytes) -> bytes:
        """An ECDSA signature over `data`, ASN.1 DER.

        Raises:
            ConfigError: KMS refuses. SignerUnavailable: it does not answer.
            SignatureInvalid: what it returned is no signature by this key.
        """
        hasher = hashes.Hash(self._hash)
        hasher.update(data)
        with _translated(self._place):
            answer = self._client.sign(
                KeyId=self._name,
                Message=hasher.finalize(),
                MessageType="DIGEST",
                SigningAlgorithm=_ALGORITHMS[self._hash.name],
            )
        return check_own(self._public, data, bytes(answer["Signature"]), place=self._place)

    def __repr__(self) -> str:
        return f"KmsKey({self.key_id})"


def _client(host: str, region: str) -> Any:
    try:
        import botocore.config
        import botocore.session
    except ImportError as error:
        raise ConfigError(
            "keys in AWS KMS need the 'aws' extra, which is not installed", hint="pip install 'weighbridge[aws]'"
        ) from error
    session = botocore.session.get_session()
    config = botocore.config.Config(
        region_name=region or session.get_config_variable("region") or "us-east-1",
        retries={"mode": "standard", "max_attempts": 3},
        connect_timeout=10,
        read_timeout=30,
    )
    return session.create_client("kms", config=config, endpoint_url=f"https://{host}" if host else None)


@contextmanager
def _translated(place: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "an unknown error"))
        if code in _REFUSED:
            raise ConfigError(
                f"AWS KMS refuses '{place}': {code}",
                hint="Check the key's state, its policy (kms:GetPublicKey, kms:Sign), the region and the credentials.",
            ) from error
        raise SignerUnavailable(
            f"AWS KMS could not sign with '{place}': {code}", hint="Nothing was signed; try again."
        ) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise ConfigError(
            f"no AWS credentials were found for '{place}'",
            hint="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or run where a role is attached.",
        ) from error
    except BotoCoreError as error:
        raise SignerUnavailable(
            f"AWS KMS does not answer for '{place}' ({type(error).__name__})", hint="Nothing was signed; try again."
        ) from error
