"""Whose signatures count: the public keys that are trusted, and those that were revoked, with the reason.

- A folder of trusted keys holds `*.pub` and `*.pem`; `revoked/` below it holds those that were revoked, and for each that
  was revoked by `keys revoke` a record `<key id>.json` of when, by whom and why.
- Revoked beats trusted: a key found in `revoked/` is refused wherever else it lies. A record without its key revokes too.
- A key that cannot be read is never skipped: it might be the revoked one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from weighbridge.attest.key_files import PUBLIC_SUFFIX, write_new
from weighbridge.attest.public_keys import check_signature, key_id_of, parse_public, pem_of
from weighbridge.core import canonical
from weighbridge.core.canonical import Fields, JsonValue
from weighbridge.core.digests import is_sha256
from weighbridge.core.errors import ConfigError, FormatError, Revoked, SignatureInvalid
from weighbridge.wire.files import MAX_SMALL_BYTES, read_small

MAX_KEYS = 1_000
REVOKED_FOLDER = "revoked"
REVOCATION_FORMAT = "weighbridge.revocation/1"
RESEAL = "Whatever it sealed before can be sealed again: weighbridge keys reseal MODEL@REV."


@dataclass(frozen=True, slots=True)
class Revocation:
    """That a key is trusted no longer: since `revoked_at` (RFC 3339), by whose word, and why."""

    key_id: str
    reason: str = ""
    revoked_at: str = ""
    revoked_by: str = ""

    def to_bytes(self) -> bytes:
        """The canonical bytes of the record."""
        record: dict[str, JsonValue] = {
            "format": REVOCATION_FORMAT,
            "key_id": self.key_id,
            "reason": self.reason,
            "revoked_at": self.revoked_at,
            "revoked_by": self.revoked_by,
        }
        return canonical.encode(record)

    @classmethod
    def from_bytes(cls, data: bytes, what: str) -> Revocation:
        """Reads a record; `what` names it in errors.

        Raises:
            ConfigError: it is not what `to_bytes` writes.
        """
        try:
            fields = Fields(canonical.decode_object(data, what=what), what=what)
            found = cls(
                fields.text("key_id"), fields.text("reason"), fields.text("revoked_at"), fields.text("revoked_by")
            )
            if fields.text("format") != REVOCATION_FORMAT or not is_sha256(found.key_id):
                raise ConfigError(f"{what} is no record of a revocation")
            fields.done()
        except FormatError as error:
            raise ConfigError(f"{what} is no record of a revocation: {error.message}") from error
        return found


class TrustedKeys:
    """The public keys that are trusted and those that were revoked; implements `core.ports.SignatureVerifier`."""

    __slots__ = ("_revocations", "_revoked", "_trusted")

    def __init__(
        self,
        trusted: Mapping[str, ec.EllipticCurvePublicKey] | None = None,
        revoked: frozenset[str] = frozenset(),
        revocations: Mapping[str, Revocation] | None = None,
    ) -> None:
        self._trusted = dict(trusted or {})
        self._revocations = dict(revocations or {})
        self._revoked = revoked | frozenset(self._revocations)

    @classmethod
    def load(cls, folder: Path) -> TrustedKeys:
        """Reads `*.pub` and `*.pem` in `folder` as trusted, what is in `folder/revoked` as revoked.

        Raises:
            ConfigError: it is no folder, or one of those files holds no public key on a supported curve. A key that
                cannot be read is never skipped: it might be the revoked one.
        """
        if not folder.is_dir():
            raise ConfigError(f"'{folder}' is not a folder of public keys", hint="Create it and put *.pub files in it.")
        trusted = load_public(folder)
        revoked_folder = folder / REVOKED_FOLDER
        if not revoked_folder.exists():
            return cls(trusted)
        return cls(trusted, frozenset(load_public(revoked_folder)), load_revocations(revoked_folder))

    def with_key(self, pem: bytes) -> TrustedKeys:
        """These keys and one more, which a revocation of the same key still overrules.

        Raises:
            ConfigError: `pem` holds no public key on a supported curve.
        """
        public = parse_public(pem, "the given public key")
        return TrustedKeys({**self._trusted, key_id_of(pem_of(public)): public}, self._revoked, self._revocations)

    def without(self, revocations: Iterable[Revocation]) -> TrustedKeys:
        """These keys with more of them revoked."""
        more = {one.key_id: one for one in revocations}
        return TrustedKeys(self._trusted, self._revoked, {**more, **self._revocations})

    def despite_revocation(self, folder: Path) -> TrustedKeys:
        """These keys with the revoked ones of `folder` trusted again, to read what is proven by other means.

        Raises:
            ConfigError: a key of the folder cannot be read.
        """
        revoked_folder = folder / REVOKED_FOLDER
        return TrustedKeys({**(load_public(revoked_folder) if revoked_folder.exists() else {}), **self._trusted})

    @property
    def key_ids(self) -> frozenset[str]:
        """The ids of the keys whose signatures are accepted."""
        return frozenset(self._trusted) - self._revoked

    @property
    def revoked_ids(self) -> frozenset[str]:
        """The ids of the keys whose signatures are refused as revoked."""
        return self._revoked

    def public_key(self, key_id: str) -> ec.EllipticCurvePublicKey:
        """The trusted key with that id.

        Raises:
            Revoked: it was revoked.
            SignatureInvalid: it is unknown here.
        """
        if key_id in self._revoked:
            raise Revoked(f"the signing key {key_id[:16]}… was revoked{self._why(key_id)}", hint=RESEAL)
        public = self._trusted.get(key_id)
        if public is None:
            raise SignatureInvalid(
                f"the signing key {key_id[:16]!r}… is not among the {len(self._trusted)} trusted keys",
                hint="If you know whose key it is, put its .pub file into the folder of trusted keys.",
            )
        return public

    def verify(self, data: bytes, signature: bytes, *, key_id: str) -> None:
        """Returns when the trusted key with that id made `signature` over `data`.

        Raises:
            Revoked: the key was revoked; whether it signed is then of no interest.
            SignatureInvalid: the key is unknown here, or it did not make this signature.
        """
        check_signature(self.public_key(key_id), data, signature)

    def _why(self, key_id: str) -> str:
        known = self._revocations.get(key_id)
        if known is None:
            return ""
        return f" on {known.revoked_at[:10]} by {known.revoked_by}: {known.reason}"


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key of the folder; `revocation` is None while it is trusted."""

    key_id: str
    public_pem: bytes
    revocation: Revocation | None = None


class TrustFolder:
    """The folder of trusted keys, to be changed: each change is one file that appears whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def _revoked(self) -> Path:
        return self.folder / REVOKED_FOLDER

    def keys(self) -> tuple[KnownKey, ...]:
        """All keys in the folder, trusted ones first, in order of id.

        Raises:
            ConfigError: one cannot be read.
        """
        if not self.folder.is_dir():
            return ()
        trusted = load_public(self.folder)
        revoked, why = {}, {}
        if self._revoked.is_dir():
            revoked, why = load_public(self._revoked), load_revocations(self._revoked)
        gone = set(revoked) | set(why)
        known = [KnownKey(key_id, pem_of(public)) for key_id, public in sorted(trusted.items()) if key_id not in gone]
        for key_id in sorted(gone):
            public = revoked.get(key_id) or trusted.get(key_id)
            known.append(KnownKey(key_id, pem_of(public) if public else b"", why.get(key_id, Revocation(key_id))))
        return tuple(known)

    def trust(self, pem: bytes) -> tuple[str, bool]:
        """Trusts a public key; its id, and whether it was not trusted before.

        Raises:
            ConfigError: `pem` holds no public key on a supported curve, or the folder cannot be written to.
            Revoked: the key was revoked, which is for good.
        """
        public_pem = pem_of(parse_public(pem, "the given public key"))
        key_id = key_id_of(public_pem)
        for known in self.keys():
            if known.key_id == key_id:
                if known.revocation is not None:
                    raise Revoked(
                        f"the key {key_id[:16]}… was revoked {known.revocation.revoked_at[:10]}".rstrip(),
                        hint="A revoked key is not trusted again. Sign with a new one.",
                    )
                return key_id, False
        _make(self.folder)
        write_new(self.folder / f"{key_id[:16]}{PUBLIC_SUFFIX}", public_pem, mode=0o644)
        return key_id, True

    def revoke(self, public_pem: bytes, revocation: Revocation) -> bool:
        """Revokes a key, for good; whether it was not revoked before.

        Raises:
            ConfigError: the folder cannot be written to.
        """
        known = {key.key_id: key for key in self.keys()}.get(revocation.key_id)
        if known is not None and known.revocation is not None and known.revocation.reason:
            return False
        _make(self._revoked)
        # The record alone revokes; the key beside it lets what it signed be read again for resealing.
        record = self._revoked / f"{revocation.key_id}.json"
        if not record.exists():
            write_new(record, revocation.to_bytes(), mode=0o644)
        key_file = self._revoked / f"{revocation.key_id[:16]}{PUBLIC_SUFFIX}"
        if public_pem and not key_file.exists():
            write_new(key_file, public_pem, mode=0o644)
        return True


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError(f"'{folder}' cannot be made: {error.strerror}") from error


def load_public(folder: Path) -> dict[str, ec.EllipticCurvePublicKey]:
    """The public keys in a folder, by id.

    Raises:
        ConfigError: one of its files holds none, or there are too many.
    """
    try:
        paths = sorted(p for p in folder.iterdir() if p.suffix in (PUBLIC_SUFFIX, ".pem") and not p.is_dir())
        if len(paths) > MAX_KEYS:
            raise ConfigError(f"'{folder}' holds {len(paths)} keys, more than {MAX_KEYS}")
        keys = {}
        for path in paths:
            with path.open("rb") as stream:
                pem = stream.read(MAX_SMALL_BYTES)
            public = parse_public(pem, f"'{path}'")
            keys[key_id_of(pem_of(public))] = public
    except OSError as error:
        raise ConfigError(f"the keys in '{folder}' cannot be read: {error.strerror}") from error
    return keys


def load_revocations(folder: Path) -> dict[str, Revocation]:
    """The records of revocations in a folder, by key id.

    Raises:
        ConfigError: one cannot be read, or there are too many.
    """
    paths = sorted(path for path in folder.glob("*.json") if not path.is_dir())
    if len(paths) > MAX_KEYS:
        raise ConfigError(f"'{folder}' holds {len(paths)} revocations, more than {MAX_KEYS}")
    found = [Revocation.from_bytes(read_small(path, f"'{path}'"), f"'{path}'") for path in paths]
    return {one.key_id: one for one in found}
