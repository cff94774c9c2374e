"""The trust file: all that an inference node believes beforehand, in one JSON document that holds no secret.

It names the approved store, the root of its signed index, the public keys whose seals count and the ids of those that were
revoked. `index_version` is the index's version when the file was written: a node that remembers nothing refuses anything
older than that. The file's digest is to be pinned by whoever deploys: who can change the file decides what is believed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from weighbridge.admit.index_keys import MAX_ROOT_BYTES, read_root
from weighbridge.attest.public_keys import key_id_of, parse_public, pem_of
from weighbridge.attest.trust import MAX_KEYS, TrustedKeys
from weighbridge.core import canonical
from weighbridge.core.canonical import Fields, JsonValue
from weighbridge.core.digests import is_sha256
from weighbridge.core.errors import ConfigError, FormatError, SignatureInvalid, StatementMismatch

FORMAT: Final = "weighbridge.trust/1"
MAX_BYTES: Final = MAX_ROOT_BYTES + 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Trust:
    """What a node believes. `store` is an address; `root` the bytes of the index's root; `keys` are PEM, in order of id."""

    store: str
    root: bytes
    keys: tuple[bytes, ...]
    revoked: tuple[str, ...] = field(default=())
    index_version: int = 0
    s3_endpoint: str = ""
    s3_region: str = ""

    @classmethod
    def of(
        cls, trusted: TrustedKeys, root: bytes, store: str, *, index_version: int, endpoint: str = "", region: str = ""
    ) -> Trust:
        """The trust that others put into keys and a root."""
        keys = tuple(pem_of(trusted.public_key(key_id)) for key_id in sorted(trusted.key_ids))
        revoked = tuple(sorted(trusted.revoked_ids))
        return cls(store, root, keys, revoked, index_version, endpoint, region)

    @property
    def verifier(self) -> TrustedKeys:
        """Verifies seals by these keys and no others.

        Raises:
            ConfigError: a key cannot be read.
        """
        public = [parse_public(pem, "a key of the trust file") for pem in self.keys]
        return TrustedKeys({key_id_of(pem_of(one)): one for one in public}, frozenset(self.revoked))

    @property
    def digest(self) -> str:
        """SHA-256 of the document, 64 hex digits: what is pinned."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """The document, in its one spelling."""
        record: dict[str, JsonValue] = {
            "format": FORMAT,
            "store": self.store,
            "s3_endpoint": self.s3_endpoint,
            "s3_region": self.s3_region,
            "index_version": self.index_version,
            "root": self.root.decode("utf-8"),
            "keys": [pem.decode("ascii") for pem in self.keys],
            "revoked_keys": list(self.revoked),
        }
        return canonical.encode(record)

    @classmethod
    def from_bytes(cls, data: bytes, what: str = "the trust file") -> Trust:
        """Reads the document; `what` names it in errors.

        Raises:
            ConfigError: it is none, or a part of it cannot be read.
        """
        try:
            trust = cls._read(Fields(canonical.decode_object(data, what=what), what=what))
            read_root(trust.root)
        except (FormatError, SignatureInvalid, UnicodeError) as error:
            raise ConfigError(
                f"{what} is no trust file: {error}", hint="weighbridge trust export FILE makes one."
            ) from error
        if trust.to_bytes() != data.rstrip(b"\r\n"):
            raise ConfigError(f"{what} is not in its one spelling", hint="Get it again from whoever exported it.")
        return trust

    @classmethod
    def _read(cls, fields: Fields) -> Trust:
        if fields.text("format") != FORMAT:
            raise ConfigError("the trust file has a format that this version does not read")
        trust = cls(
            store=fields.text("store"),
            root=fields.text("root").encode("utf-8"),
            keys=tuple(pem.encode("ascii") for pem in fields.texts("keys")),
            revoked=fields.texts("revoked_keys"),
            index_version=fields.integer("index_version"),
            s3_endpoint=fields.text("s3_endpoint"),
            s3_region=fields.text("s3_region"),
        )
        fields.done()
        if len(trust.keys) + len(trust.revoked) > MAX_KEYS or not all(is_sha256(one) for one in trust.revoked):
            raise ConfigError("the trust file's keys are too many, or not well-formed")
        if trust.verifier.key_ids or not trust.keys:
            return trust
        raise ConfigError("the trust file trusts no key that was not revoked")


def read_trust(path: Path, *, pinned: str = "") -> Trust:
    """Reads a trust file; `pinned` is the SHA-256 it must have.

    Raises:
        ConfigError: it cannot be read, or is none.
        StatementMismatch: it is not the pinned one.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"the trust file '{path}' cannot be read: {error.strerror}",
            hint="Make one where models are promoted: weighbridge trust export FILE",
        ) from error
    if len(data) > MAX_BYTES:
        raise ConfigError(f"'{path}' is too large for a trust file")
    found = hashlib.sha256(data.rstrip(b"\r\n")).hexdigest()
    if pinned and found != pinned.lower().removeprefix("sha256:"):
        raise StatementMismatch(
            f"the trust file '{path}' has the digest {found}, not the pinned one",
            hint="Somebody changed it, or the pin is of an older export. Compare with whoever exported it.",
        )
    return Trust.from_bytes(data, f"'{path}'")
