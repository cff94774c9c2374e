"""Keeps objects in Google Cloud Storage (`gs://`) or Azure Blob Storage (`az://`), through obstore.

What obstore gives decides what this store can promise:

1. `put` is one conditional request (`x-goog-if-generation-match: 0`, `If-None-Match: *`): it never overwrites.
2. obstore has no conditional multipart upload: with `mode="create"` it gathers the whole object in memory and sends one
   request. So an upload in parts streams to `.uploads/<id>/<key>` and is then copied, within the service, to its key on
   the condition that nothing is there; that holds atomically on both services. The staged object is removed afterwards.
   Where a retention policy forbids that, it stays, and `unfinished` names it.
3. obstore does not control single parts. They are sent in order through one stream; parts that arrive early wait. Nothing
   of an upload survives its process: `surviving_parts` is always empty and the artifact begins anew.
4. Aborting makes obstore abort its multipart upload. What a killed process sent is invisible and not listed by obstore:
   Azure drops uncommitted blocks after a week; a GCS bucket needs the lifecycle rule AbortIncompleteMultipartUpload.
5. obstore reports no checksums, so only reading the bytes again can prove them.
6. On GCS every object has a version (its generation), on Azure where the account keeps versions. A version can be read as
   long as the service keeps it, but obstore copies and deletes only the current one.
"""

from __future__ import annotations

import atexit
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from weighbridge.core.errors import (
    ConfigError,
    Conflict,
    IncompleteUpload,
    LengthMismatch,
    ObjectMissing,
    StoreError,
    StoreUnreachable,
)
from weighbridge.core.names import Address, check_path
from weighbridge.core.ports import (
    Buffer,
    ByteStream,
    ObjectStore,
    PartReceipt,
    StoredObject,
    StoreFeature,
    UnfinishedUpload,
)
from weighbridge.wire.cloud import CloudBucket, CloudObject, Nothing, OrderedUpload

UPLOADS = ".uploads/"
PIECE_BYTES = 8 * 1024 * 1024
"""Size of a block or multipart part, raised where an object would need more than `MAX_PIECES`."""
MAX_PIECES = 10_000
"""GCS takes so many parts (XML API, multipart uploads); Azure takes 50,000 blocks."""
PIECES_AT_ONCE = 4
COPY_WAIT_SECONDS = 600.0
_COMPARE_BYTES = 8 * 1024 * 1024
_POLL_SECONDS = 0.5


class CloudStore:
    """See `core.ports.ObjectStore`.

    Memory: for each upload at once up to `EARLY_PARTS` + 2 parts and `PIECES_AT_ONCE` + 1 pieces.

    Raises:
        ConfigError: the extra is not installed, or the environment does not say which account.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._prefix = f"{address.prefix}/" if address.prefix else ""
        self._bucket = CloudBucket(address)
        self._lock = threading.Lock()
        self._uploads: dict[str, tuple[str, OrderedUpload]] = {}
        # A thread that still waits for parts must not be met by the end of the interpreter.
        atexit.register(self.close)

    @property
    def address(self) -> str:
        """`gs://bucket/prefix` or `az://container/prefix`."""
        return str(self._address)

    @property
    def features(self) -> frozenset[StoreFeature]:
        """Versions on GCS; nothing on Azure, where it depends on the account."""
        return frozenset({StoreFeature.VERSIONS} if self._address.scheme == "gs" else ())

    def check(self) -> None:
        """Lists the store's beginning. obstore cannot ask whether the bucket keeps old versions."""
        for _ in self._bucket.list(self._prefix, what=f"listing {self.address}"):
            return

    def _path(self, key: str) -> str:
        return f"{self._prefix}{check_path(key, of=f'the store {self.address}')}"

    def _named(self, key: str) -> str:
        return f"'{key}' in {self.address}"

    def head(self, key: str, *, version_id: str = "") -> StoredObject:
        """Size, version and ETag."""
        return _stored(key, self._meta(key, version_id))

    def _meta(self, key: str, version_id: str = "") -> CloudObject:
        return self._bucket.meta(self._path(key), version_id=version_id, what=f"looking up {self._named(key)}")

    @contextmanager
    def open(self, key: str, start: int, end: int, *, version_id: str = "") -> Iterator[ByteStream]:
        """Opens a byte range of the object, of that version where one is given."""
        if start < end:
            what = f"reading {self._named(key)}"
            yield self._bucket.get(self._path(key), (start, end), version_id=version_id, what=what)
            return
        if self._meta(key, version_id).size_bytes < end:
            raise LengthMismatch(f"{self._named(key)} is shorter than its record says")
        yield Nothing()

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """All current objects under the prefix, in order of key; gathered first, for not every account lists in order."""
        found: list[StoredObject] = []
        for item in self._bucket.list(f"{self._prefix}{prefix}", what=f"listing {self.address}"):
            key = item.path[len(self._prefix) :]
            if not key.startswith(UPLOADS):
                found.append(_stored(key, item, modified_at=item.modified_at))
        return iter(sorted(found, key=lambda item: item.key))

    def put(self, key: str, body: Buffer | bytes, *, replace: bool = False) -> StoredObject:
        """One request. A key that already holds the same bytes is no conflict."""
        data = bytes(body)
        try:
            etag, version_id = self._bucket.put(
                self._path(key), data, replace=replace, what=f"storing {self._named(key)}"
            )
        except Conflict as error:
            found = self._meta(key)
            if found.size_bytes != len(data) or not self._holds(found, data):
                raise self._conflict(key) from error
            return _stored(key, found)
        return StoredObject(key, len(data), version_id, etag)

    def _conflict(self, key: str) -> Conflict:
        return Conflict(
            f"{self._named(key)} already holds other bytes",
            hint="Nothing was overwritten. `weighbridge check` says what the store holds.",
        )

    def _holds(self, found: CloudObject, data: bytes) -> bool:
        return all(data[start : start + len(piece)] == piece for start, piece in self._pieces(found))

    def _pieces(self, found: CloudObject) -> Iterator[tuple[int, bytes]]:
        """The object's bytes in pieces, all of the same ETag."""
        for start in range(0, found.size_bytes, _COMPARE_BYTES):
            end = min(start + _COMPARE_BYTES, found.size_bytes)
            buffer = bytearray(end - start)
            view, filled = memoryview(buffer), 0
            body = self._bucket.get(
                found.path, (start, end), if_match=found.etag, what=f"comparing '{found.path}' in {self.address}"
            )
            while filled < len(buffer):
                filled += body.readinto(view[filled:])
            yield start, bytes(buffer)

    def _equal(self, one: CloudObject, other: CloudObject) -> bool:
        if one.size_bytes != other.size_bytes:
            return False
        return all(a == b for a, b in zip(self._pieces(one), self._pieces(other), strict=True))

    def begin(self, key: str, size_bytes: int) -> str:
        """Starts the thread that sends the parts."""
        upload_id = uuid.uuid4().hex
        path = self._staged(key, upload_id)
        piece_bytes = max(PIECE_BYTES, -(-size_bytes // MAX_PIECES))

        def send(pieces: Iterator[bytes]) -> None:
            self._bucket.put_stream(
                path,
                pieces,
                piece_bytes=piece_bytes,
                uploads=PIECES_AT_ONCE,
                what=f"uploading {self._named(key)}",
            )

        upload = OrderedUpload(send, piece_bytes=piece_bytes, name=f"the upload of '{key}' to {self.address}")
        with self._lock:
            self._uploads[upload_id] = (key, upload)
        return upload_id

    def _upload(self, key: str, upload_id: str) -> OrderedUpload:
        with self._lock:
            begun_for, upload = self._uploads.get(upload_id, ("", None))
        if upload is None or begun_for != key:
            raise IncompleteUpload(
                f"the upload of '{key}' to {self.address} is gone",
                hint="Run the command again; it begins this file anew.",
            )
        return upload

    def put_part(self, key: str, upload_id: str, number: int, offset: int, body: memoryview) -> PartReceipt:
        """Hands the part on in order; the receipt says that it was taken, only `complete` that it is stored.

        Raises:
            IncompleteUpload: the upload broke, or too many parts overtook one that never came.
        """
        self._upload(key, upload_id).add(offset, body)
        return PartReceipt(number, offset, len(body), etag="")

    def surviving_parts(self, key: str, upload_id: str, receipts: Sequence[PartReceipt]) -> Sequence[PartReceipt]:
        """Always empty: an upload does not survive its process."""
        return ()

    def complete(self, key: str, upload_id: str, receipts: Sequence[PartReceipt], *, size_bytes: int) -> StoredObject:
        """Ends the stream, and copies the staged object to its key if nothing is there. May be called again."""
        reached = 0
        for receipt in sorted(receipts, key=lambda r: r.offset):
            if receipt.offset != reached:
                raise IncompleteUpload(f"the upload of '{key}' to {self.address} lacks bytes from {reached}")
            reached += receipt.size_bytes
        if reached != size_bytes:
            raise IncompleteUpload(f"the upload of '{key}' to {self.address} has {reached} of {size_bytes} bytes")
        self._upload(key, upload_id).finish(size_bytes)
        staged = self._staged(key, upload_id)
        found = self._bucket.meta(staged, what=f"looking up the upload of {self._named(key)}")
        if found.size_bytes != size_bytes:
            raise IncompleteUpload(f"the upload of '{key}' arrived with {found.size_bytes} of {size_bytes} bytes")
        try:
            stored = self._place(found, key)
        except Conflict:
            self.abort(key, upload_id)
            raise
        with self._lock:
            self._uploads.pop(upload_id, None)
        with suppress(StoreError):  # what stays behind is listed by `unfinished`
            self._bucket.delete(staged, what=f"removing the upload of {self._named(key)}")
        return stored

    def _staged(self, key: str, upload_id: str) -> str:
        if len(upload_id) != 32 or not upload_id.isalnum():
            raise IncompleteUpload(f"'{upload_id}' is not an upload of {self.address}")
        return self._path(f"{UPLOADS}{upload_id}/{key}")

    def _place(self, source: CloudObject, key: str) -> StoredObject:
        """A conditional copy within the service; equal bytes at the target are no conflict."""
        what = f"copying to {self._named(key)}"
        try:
            self._bucket.copy(source.path, self._path(key), what=what)
        except Conflict as error:
            found = self._meta(key)
            if not self._equal(source, found):
                raise self._conflict(key) from error
            return _stored(key, found)
        return self._settled(source, key, what=what)

    def _settled(self, source: CloudObject, key: str, *, what: str) -> StoredObject:
        """Waits until the copy is whole: Azure may promise a copy before it has made it."""
        deadline = time.monotonic() + COPY_WAIT_SECONDS
        while True:
            found = self._meta(key)
            if found.size_bytes == source.size_bytes and self._readable(found):
                return _stored(key, found)
            if time.monotonic() > deadline:
                raise StoreError(f"{what} did not end: it has {found.size_bytes} of {source.size_bytes} bytes")
            time.sleep(_POLL_SECONDS)

    def _readable(self, found: CloudObject) -> bool:
        if not found.size_bytes:
            return True
        span = (found.size_bytes - 1, found.size_bytes)
        try:
            body = self._bucket.get(found.path, span, what=f"reading '{found.path}' in {self.address}")
            return body.readinto(memoryview(bytearray(1))) == 1
        except (Conflict, LengthMismatch, StoreUnreachable):
            return False

    def abort(self, key: str, upload_id: str) -> None:
        """Stops the stream, so that obstore drops its parts, and removes what was staged."""
        with self._lock:
            _, upload = self._uploads.pop(upload_id, ("", None))
        if upload is not None:
            upload.cancel()
        with suppress(IncompleteUpload, ObjectMissing):
            self._bucket.delete(self._staged(key, upload_id), what=f"removing the upload of {self._named(key)}")

    def unfinished(self, prefix: str) -> Iterator[UnfinishedUpload]:
        """Staged objects that were stored whole but neither copied to their key nor removed.

        Uploads that were killed earlier are not listed: obstore does not list them, and the services drop them by
        themselves (see rule 4 above).
        """
        for item in self._bucket.list(f"{self._prefix}{UPLOADS}", what=f"listing {self.address}"):
            upload_id, _, key = item.path[len(self._prefix) + len(UPLOADS) :].partition("/")
            if key.startswith(prefix):
                yield UnfinishedUpload(key, upload_id, item.modified_at)

    def copy(self, source_key: str, key: str, *, version_id: str = "") -> StoredObject:
        """A copy within the service on condition that the target is absent; only of the current version."""
        return self.take(self, source_key, key, version_id=version_id)

    def take(self, origin: ObjectStore, source_key: str, key: str, *, version_id: str = "") -> StoredObject:
        """A copy within the bucket or container, which both stores must share: obstore copies no further."""
        if (
            not isinstance(origin, CloudStore)
            or origin._address.scheme != self._address.scheme
            or origin._address.bucket != self._address.bucket
        ):
            raise ConfigError(
                f"nothing can be copied from {origin.address} to {self.address} by the service itself",
                hint="Give both stores a prefix of their own in one bucket.",
            )
        source = origin._current(source_key, version_id)
        copied = self._place(source, key)
        if origin._meta(source_key).etag != source.etag:
            raise StoreError(f"{origin._named(source_key)} changed while it was copied to '{key}'")
        return copied

    def _current(self, key: str, version_id: str) -> CloudObject:
        found = self._meta(key)
        if version_id and found.version_id != version_id:
            raise ObjectMissing(
                f"{self._named(key)} is no longer at version {version_id}",
                hint="Only the current version can be copied or deleted here.",
            )
        return found

    def delete(self, key: str, *, version_id: str = "") -> None:
        """Deletes the current object; a version that is not current cannot be deleted here and raises StoreError.

        What the bucket keeps of deleted objects (versions, soft delete) follows its own lifecycle rules.
        """
        with suppress(ObjectMissing):
            if version_id and self._meta(key).version_id != version_id:
                raise StoreError(
                    f"version {version_id} of {self._named(key)} is not the current one and was not deleted",
                    hint="Remove it with the cloud's own tools, or leave it to a lifecycle rule.",
                )
            self._bucket.delete(self._path(key), what=f"deleting {self._named(key)}")

    def close(self) -> None:
        """Ends uploads that are still open."""
        atexit.unregister(self.close)
        with self._lock:
            open_uploads = [upload for _, upload in self._uploads.values()]
            self._uploads.clear()
        for upload in open_uploads:
            upload.cancel()


def _stored(key: str, found: CloudObject, *, modified_at: str = "") -> StoredObject:
    return StoredObject(key, found.size_bytes, version_id=found.version_id, etag=found.etag, modified_at=modified_at)
