"""Who may sign the index: keys as TUF spells them, and the root that names them.

- A TUF key has the same id as everywhere in weighbridge: the SHA-256 of its public PEM. So one key cannot be listed under
  two names to reach a threshold.
- Root keys sign the root and nothing else, and may be several people's; the online keys sign everything else.
- A root is made as a draft, signed by its people one after another, also on machines without a network, and takes effect
  when enough keys of the root before it and of itself have signed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from securesystemslib.signer import Key, SecretsHandler, Signature, SSlibKey
from securesystemslib.signer import Signer as TufSigner
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Role, Root, Snapshot, Targets, Timestamp

from weighbridge.attest.public_keys import SigningKey, key_id_of, parse_public, pem_of
from weighbridge.core import canonical
from weighbridge.core.errors import ConfigError, FormatError, SignatureInvalid

ONLINE: Final = (Timestamp.type, Snapshot.type, Targets.type)
MAX_ROOT_BYTES = 512_000


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long each kind of metadata is good from the moment it is signed."""

    root_days: int = 3_650
    lists_days: int = 365
    timestamp_hours: int = 168

    def root(self, now: datetime) -> datetime:
        """When a root that is made now expires."""
        return whole_second(now + timedelta(days=self.root_days))

    def lists(self, now: datetime) -> datetime:
        """When lists that are signed now expire."""
        return whole_second(now + timedelta(days=self.lists_days))

    def timestamp(self, now: datetime) -> datetime:
        """When a timestamp that is signed now expires."""
        return whole_second(now + timedelta(hours=self.timestamp_hours))


def whole_second(time: datetime) -> datetime:
    """The time as TUF spells it: UTC, without a fraction."""
    return time.astimezone(UTC).replace(microsecond=0)


def tuf_key(public_pem: bytes, *, what: str = "the public key") -> SSlibKey:
    """A public key as TUF spells it.

    Raises:
        ConfigError: it holds no public key on a supported curve.
    """
    public = parse_public(public_pem, what)
    return SSlibKey.from_crypto(public, keyid=key_id_of(pem_of(public)))


class TufSignature(TufSigner):
    """Lends one of our signers to python-tuf, wherever its private half is."""

    def __init__(self, signer: SigningKey) -> None:
        self._signer = signer
        self._public = tuf_key(signer.public_pem)

    @property
    def public_key(self) -> Key:
        """The public half."""
        return self._public

    @classmethod
    def from_priv_key_uri(
        cls, priv_key_uri: str, public_key: Key, secrets_handler: SecretsHandler | None = None
    ) -> TufSigner:
        """There is none: `weighbridge.attest` opens keys."""
        raise ConfigError(f"'{priv_key_uri}' of {public_key.keyid} is not opened by address ({secrets_handler})")

    def sign(self, payload: bytes) -> Signature:
        """The signature over `payload`; ECDSA in ASN.1 DER, as securesystemslib verifies it."""
        return Signature(self._public.keyid, self._signer.sign(payload).hex())


def encoded(metadata: Metadata[Root] | Metadata[Timestamp] | Metadata[Snapshot] | Metadata[Targets]) -> bytes:
    """The one spelling of metadata: canonical JSON, so that every bit of it counts."""
    return canonical.encode(metadata.to_dict())


def is_spelt_once(metadata: Metadata[Root] | Metadata[Timestamp], data: bytes) -> bool:
    """Whether `data` is the one spelling of the metadata that was read from it, signatures in lowercase included."""
    lower = all(signature.signature == signature.signature.lower() for signature in metadata.signatures.values())
    return lower and encoded(metadata) == data


def new_root(root_keys: Sequence[SSlibKey], threshold: int, online: Sequence[SSlibKey], expires: datetime) -> Root:
    """The first root of an index.

    Raises:
        ConfigError: the threshold cannot be reached with these keys, or no key is named.
    """
    root = Root(version=1, expires=expires, consistent_snapshot=True)
    set_keys(root, root_keys, threshold, online)
    return root


def set_keys(root: Root, root_keys: Sequence[SSlibKey], threshold: int, online: Sequence[SSlibKey]) -> None:
    """Names exactly these keys.

    Raises:
        ConfigError: the threshold cannot be reached with these keys, or no key is named.
    """
    people = {key.keyid: key for key in root_keys}
    machines = {key.keyid: key for key in online}
    if not machines or not 1 <= threshold <= len(people):
        raise ConfigError(
            f"{threshold} of {len(people)} different root keys can never sign",
            hint="Name at least as many different root keys as the threshold asks for, and a key that signs the lists.",
        )
    root.keys = {**people, **machines}
    root.roles = {
        Root.type: Role(sorted(people), threshold),
        **{role: Role(sorted(machines), 1) for role in ONLINE},
    }


def sign_draft(draft: bytes, signer: SigningKey) -> bytes:
    """The draft of a root with one more signature.

    Raises:
        ConfigError: the key is not one that this root, or the one before it, may ask for; or these are no root's bytes.
    """
    metadata = read_root(draft)
    metadata.sign(TufSignature(signer), append=True)
    return encoded(metadata)


def read_root(data: bytes) -> Metadata[Root]:
    """A root whose signatures nobody has judged yet.

    Raises:
        SignatureInvalid: the bytes are no root in its one spelling.
    """
    if len(data) > MAX_ROOT_BYTES:
        raise SignatureInvalid(f"a root of {len(data)} bytes is larger than any honest one")
    try:
        canonical.decode_object(data, what="the root")
        metadata = Metadata[Root].from_bytes(data)
        same = metadata.signed.type == Root.type and is_spelt_once(metadata, data)
        named = all(_own_id(key) == key.keyid for key in metadata.signed.keys.values())
    except (FormatError, ConfigError, RepositoryError, ValueError, TypeError) as error:
        raise SignatureInvalid("these bytes are no root of an index") from error
    if not same or not named:
        raise SignatureInvalid("the root is not in its one spelling, or names a key by an id that is not its own")
    return metadata


def _own_id(key: Key) -> str:
    return key_id_of(pem_of(parse_public(str(key.keyval.get("public", "")).encode("utf-8"), "a key of the root")))


def missing_signatures(draft: Metadata[Root], before: Root | None) -> int:
    """How many signatures the draft still lacks, by its own rules and those of the root before it."""
    try:
        own = draft.signed.get_verification_result(Root.type, draft.signed_bytes, draft.signatures)
        lacking = own.missing
        if before is not None:
            lacking = max(
                lacking, before.get_verification_result(Root.type, draft.signed_bytes, draft.signatures).missing
            )
    except (RepositoryError, ValueError) as error:
        raise SignatureInvalid("the draft of the root cannot be read") from error
    return lacking
