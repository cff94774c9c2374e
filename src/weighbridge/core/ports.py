"""The seams: what a source, a store, a reader and an observer must offer, so that rooms need not know each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from enum import Enum
from typing import Protocol, runtime_checkable

from weighbridge.core.dataclass import dataclass
from weighbridge.core.snapshot import Entry, Snapshot

Buffer = bytearray | memoryview


class ByteStream(Protocol):
    """Bytes on their way, exactly as many as were asked for."""

    def readinto(self, view: memoryview, /) -> int:
        """Fills up to `len(view)` bytes and returns how many; 0 only at the end of the requested range.

        Raises:
            Unreachable, Truncated: the connection failed (both transient).
        """
        ...


class Source(Protocol):
    """One model at one place. Thread-safe after `pin`."""

    def pin(self) -> Snapshot:
        """Resolves the requested ref once.

        Raises:
            SourceError: of the kind that fits.
        """
        ...

    def open(self, entry: Entry, start: int, end: int) -> AbstractContextManager[ByteStream]:
        """Opens bytes `start` (included) to `end` (excluded) of a pinned entry.

        Raises:
            SourceError, IntegrityError: the answer is not exactly that range of exactly that revision.
        """
        ...

    def close(self) -> None:
        """Lets go of connections."""
        ...


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as the store itself describes it; fields it does not record are empty.

    `crc64nvme` is base64 as in S3's `x-amz-checksum-crc64nvme`, of the full object.
    """

    key: str
    size_bytes: int
    version_id: str = ""
    etag: str = ""
    crc64nvme: str = ""
    modified_at: str = ""
    """RFC 3339; only in listings."""


@dataclass(frozen=True, slots=True)
class PartReceipt:
    """What the store answered for one part; `number` counts from 1."""

    number: int
    offset: int
    size_bytes: int
    etag: str
    crc64nvme: str = ""


@dataclass(frozen=True, slots=True)
class UnfinishedUpload:
    """An upload that was begun and neither completed nor aborted."""

    key: str
    upload_id: str
    started_at: str = ""


class StoreFeature(Enum):
    """What a store can do beyond keeping bytes."""

    VERSIONS = "versions"
    RECORDED_CHECKSUMS = "recorded-checksums"
    RESUMABLE_PARTS = "resumable-parts"


class ObjectStore(Protocol):
    """A place for objects under `/`-separated keys. Thread-safe. Objects appear whole or not at all."""

    @property
    def address(self) -> str:
        """Where it is, without secrets."""
        ...

    @property
    def features(self) -> frozenset[StoreFeature]:
        """What it can do."""
        ...

    def check(self) -> None:
        """Raises a StoreError or ConfigError when the store must not be written to as it is."""
        ...

    def head(self, key: str, *, version_id: str = "") -> StoredObject:
        """Describes an object without reading it. Raises ObjectMissing."""
        ...

    def open(self, key: str, start: int, end: int, *, version_id: str = "") -> AbstractContextManager[ByteStream]:
        """Opens a byte range. Raises ObjectMissing, LengthMismatch (the object is shorter)."""
        ...

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """All current objects whose key starts with `prefix`, in order of key."""
        ...

    def put(self, key: str, body: Buffer | bytes, *, replace: bool = False) -> StoredObject:
        """Stores a small object at once. Raises Conflict if it exists and `replace` is false."""
        ...

    def begin(self, key: str, size_bytes: int) -> str:
        """Begins an upload in parts and returns its id."""
        ...

    def put_part(self, key: str, upload_id: str, number: int, offset: int, body: memoryview) -> PartReceipt:
        """Stores one part; parts may arrive in any order and from several threads."""
        ...

    def surviving_parts(self, key: str, upload_id: str, receipts: Sequence[PartReceipt]) -> Sequence[PartReceipt]:
        """Those receipts whose parts the store still holds; empty when the upload is gone."""
        ...

    def complete(self, key: str, upload_id: str, receipts: Sequence[PartReceipt], *, size_bytes: int) -> StoredObject:
        """Makes the object appear, whole. Raises Conflict if the key exists, IncompleteUpload if parts are missing."""
        ...

    def abort(self, key: str, upload_id: str) -> None:
        """Drops an upload and its parts; unknown uploads are no error."""
        ...

    def unfinished(self, prefix: str) -> Iterator[UnfinishedUpload]:
        """Uploads begun under `prefix` and neither completed nor aborted."""
        ...

    def copy(self, source_key: str, key: str, *, version_id: str = "") -> StoredObject:
        """Copies within the store without moving bytes through here. Raises Conflict, ObjectMissing."""
        ...

    def take(self, origin: ObjectStore, source_key: str, key: str, *, version_id: str = "") -> StoredObject:
        """Copies an object of another store of the same service without moving bytes through here.

        Raises:
            ConfigError: the two are not of one service, so that no such copy exists.
            Conflict: other bytes lie under `key`. ObjectMissing: there is no such object, or no such version.
        """
        ...

    def delete(self, key: str, *, version_id: str = "") -> None:
        """Removes an object, or one version of it for good; a missing key is no error."""
        ...

    def close(self) -> None:
        """Lets go of connections."""
        ...


@runtime_checkable
class Presigning(Protocol):
    """What a store offers besides that can hand out short-lived addresses of single versions of its objects."""

    @property
    def presign_origin(self) -> str:
        """`scheme://host[:port]`, with which every such address begins."""
        ...

    def presign(
        self, key: str, *, version_id: str, seconds: int, content_type: str = "", content_disposition: str = ""
    ) -> str:
        """An address that GETs this version, and no other, without further authentication, for at most `seconds`.

        It ends earlier where the credentials that sign it do. Whoever has it can read the object: it must not be logged.
        The last two are the headers that the store's answer shall have.

        Raises:
            ObjectMissing: `version_id` is empty: the address would name whatever lies there later.
            StoreError, ConfigError: there are no credentials that live long enough now; `seconds` is not 1 to 3600.
        """
        ...


class RangeReader(Protocol):
    """Random access to one artifact, for inspectors: bounded reads, no whole files."""

    @property
    def path(self) -> str:
        """The artifact's path in its model."""
        ...

    @property
    def size_bytes(self) -> int:
        """The artifact's size."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`, fewer only at the end of the artifact."""
        ...


class Observer(Protocol):
    """Watches a transfer. Called from several threads; must return at once and never raise."""

    def planned(self, artifacts: int, total_bytes: int, done_bytes: int) -> None:
        """The work ahead is known; `done_bytes` were already there from an earlier run."""
        ...

    def advanced(self, path: str, size_bytes: int, total_bytes: int) -> None:
        """`size_bytes` more of the artifact's `total_bytes` were read."""
        ...

    def retrying(self, path: str, reason: str, wait_seconds: float) -> None:
        """A request failed and will be tried again."""
        ...

    def finished(self, path: str, how: str) -> None:
        """An artifact is in place: `streamed`, `copied` or `kept`."""
        ...


class Signer(Protocol):
    """Holds a private key and signs with it."""

    @property
    def key_id(self) -> str:
        """Lowercase hex SHA-256 of the public key's PEM (SubjectPublicKeyInfo), as OpenSSF model signatures hint it."""
        ...

    def sign(self, data: bytes) -> bytes:
        """An ECDSA signature (ASN.1 DER) over `data`, with the hash that fits the curve."""
        ...


class SignatureVerifier(Protocol):
    """Knows which keys are trusted."""

    def verify(self, data: bytes, signature: bytes, *, key_id: str) -> None:
        """Returns when the trusted key with that id made `signature` over `data`.

        Raises:
            SignatureInvalid: it did not, or the key is unknown here.
            Revoked: the key was revoked.
        """
        ...
