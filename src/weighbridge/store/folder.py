"""Keeps objects as files under one folder.

An object appears by a hard link to a finished, flushed file, so that it is whole or absent and never overwritten. Parts of
an unfinished upload are flushed before they are acknowledged: a part that was acknowledged survives a power cut. A folder
records no versions and no checksums of its own; only reading the bytes again can prove them.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from weighbridge.core.errors import (
    AccessRefused,
    ConfigError,
    Conflict,
    IncompleteUpload,
    LengthMismatch,
    ObjectMissing,
    OutOfSpace,
)
from weighbridge.core.names import check_path
from weighbridge.core.ports import (
    Buffer,
    ByteStream,
    ObjectStore,
    PartReceipt,
    StoredObject,
    StoreFeature,
    UnfinishedUpload,
)
from weighbridge.wire.files import FileRange, as_store_errors, copy_file, flush_folder

UPLOADS = ".uploads"
SMALL_WRITE_SECONDS = 60.0
"""No write of one small object takes longer; a file of one that is older was left by a crash."""
_COMPARE_BYTES = 1024 * 1024


class FolderStore:
    """See `core.ports.ObjectStore`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._uploads = root / UPLOADS

    @property
    def address(self) -> str:
        """The folder's absolute path."""
        return str(self._root.absolute())

    @property
    def features(self) -> frozenset[StoreFeature]:
        """Only resumable parts."""
        return frozenset({StoreFeature.RESUMABLE_PARTS})

    def check(self) -> None:
        """Makes sure that the folder is there and can be written to."""
        with _translated(self.address):
            self._uploads.mkdir(parents=True, exist_ok=True)
            probe = self._uploads / f"probe-{uuid.uuid4().hex}"
            probe.touch()
            probe.unlink()

    def _path(self, key: str) -> Path:
        return self._root / check_path(key, of=f"the store {self.address}")

    def head(self, key: str, *, version_id: str = "") -> StoredObject:
        """Size only: a folder knows nothing else."""
        try:
            found = self._path(key).lstat()
        except FileNotFoundError as error:
            raise ObjectMissing(f"'{key}' is not in {self.address}") from error
        except OSError as error:
            raise AccessRefused(f"'{key}' in {self.address} cannot be read: {error.strerror}") from error
        return StoredObject(key, found.st_size)

    @contextmanager
    def open(self, key: str, start: int, end: int, *, version_id: str = "") -> Iterator[ByteStream]:
        """Opens a byte range of the file."""
        try:
            descriptor = os.open(self._path(key), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError as error:
            raise ObjectMissing(f"'{key}' is not in {self.address}") from error
        except OSError as error:
            raise AccessRefused(f"'{key}' in {self.address} cannot be read: {error.strerror}") from error
        try:
            if os.fstat(descriptor).st_size < end:
                raise LengthMismatch(f"'{key}' in {self.address} is shorter than its record says")
            yield FileRange(descriptor, key, start, end)
        finally:
            os.close(descriptor)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """All files under the deepest folder that `prefix` names, in order of key."""
        folder = self._root / prefix.rpartition("/")[0]
        found: list[StoredObject] = []
        for base, folders, files in os.walk(folder):
            if UPLOADS in folders and Path(base) == self._root:
                folders.remove(UPLOADS)
            for name in files:
                path = Path(base) / name
                key = path.relative_to(self._root).as_posix()
                if key.startswith(prefix):
                    described = path.lstat()
                    modified = datetime.fromtimestamp(described.st_ctime, tz=UTC).isoformat()
                    found.append(StoredObject(key, described.st_size, modified_at=modified))
        return iter(sorted(found, key=lambda item: item.key))

    def put(self, key: str, body: Buffer | bytes, *, replace: bool = False) -> StoredObject:
        """Writes, flushes and links a file."""
        target = self._path(key)
        with _translated(f"'{key}' in {self.address}"):
            self._uploads.mkdir(parents=True, exist_ok=True)
            temporary = self._uploads / f"put-{uuid.uuid4().hex}"
            try:
                with temporary.open("wb") as file:
                    file.write(body)
                    file.flush()
                    os.fsync(file.fileno())
                self._appear(temporary, target, key, replace=replace)
            finally:
                temporary.unlink(missing_ok=True)
        return StoredObject(key, len(body))

    def _appear(self, finished: Path, target: Path, key: str, *, replace: bool = False) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        finished.chmod(0o444)
        if replace:
            finished.replace(target)
        else:
            try:
                os.link(finished, target)
            except FileExistsError as error:
                if not _equal(finished, target):
                    raise Conflict(
                        f"'{key}' in {self.address} already holds other bytes",
                        hint="Nothing was overwritten. `weighbridge check` says what the store holds.",
                    ) from error
        flush_folder(target.parent)

    def begin(self, key: str, size_bytes: int) -> str:
        """Makes a folder for the upload. Raises OutOfSpace when the file cannot fit."""
        self._path(key)
        upload_id = uuid.uuid4().hex
        with _translated(f"'{key}' in {self.address}"):
            self._uploads.mkdir(parents=True, exist_ok=True)
            if shutil.disk_usage(self._uploads).free < size_bytes:
                raise OutOfSpace(
                    f"{self.address} has no room for the {size_bytes} bytes of '{key}'",
                    hint="Free space, or choose another store with --to.",
                )
            folder = self._uploads / upload_id
            folder.mkdir()
            (folder / "data").touch()
            (folder / "key").write_text(key, encoding="utf-8")
        return upload_id

    def _upload(self, upload_id: str) -> Path:
        if len(upload_id) != 32 or not upload_id.isalnum():
            raise IncompleteUpload(f"'{upload_id}' is not an upload of {self.address}")
        return self._uploads / upload_id

    def put_part(self, key: str, upload_id: str, number: int, offset: int, body: memoryview) -> PartReceipt:
        """Writes the part at its offset and flushes it."""
        with _translated(f"'{key}' in {self.address}"):
            try:
                descriptor = os.open(self._upload(upload_id) / "data", os.O_WRONLY | os.O_CLOEXEC)
            except FileNotFoundError as error:
                raise IncompleteUpload(f"the upload of '{key}' to {self.address} is gone") from error
            try:
                written = 0
                while written < len(body):
                    written += os.pwrite(descriptor, body[written:], offset + written)
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
        return PartReceipt(number, offset, len(body), etag="")

    def surviving_parts(self, key: str, upload_id: str, receipts: Sequence[PartReceipt]) -> Sequence[PartReceipt]:
        """Receipts whose bytes lie inside the unfinished file."""
        try:
            size = (self._upload(upload_id) / "data").stat().st_size
        except (FileNotFoundError, IncompleteUpload):
            return ()
        return [receipt for receipt in receipts if receipt.offset + receipt.size_bytes <= size]

    def complete(self, key: str, upload_id: str, receipts: Sequence[PartReceipt], *, size_bytes: int) -> StoredObject:
        """Checks that the parts tile the file, then links it into place."""
        reached = 0
        for receipt in sorted(receipts, key=lambda r: r.offset):
            if receipt.offset != reached:
                raise IncompleteUpload(f"the upload of '{key}' to {self.address} lacks bytes from {reached}")
            reached += receipt.size_bytes
        folder = self._upload(upload_id)
        data = folder / "data"
        with _translated(f"'{key}' in {self.address}"):
            if not data.exists() or reached != size_bytes or data.stat().st_size != size_bytes:
                raise IncompleteUpload(f"the upload of '{key}' to {self.address} is not {size_bytes} bytes long")
            descriptor = os.open(data, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            self._appear(data, self._path(key), key)
            shutil.rmtree(folder, ignore_errors=True)
        return StoredObject(key, size_bytes)

    def abort(self, key: str, upload_id: str) -> None:
        """Removes the upload's folder, or the file of an interrupted small write."""
        if re.fullmatch(r"(put|probe)-[0-9a-f]{32}", upload_id):
            (self._uploads / upload_id).unlink(missing_ok=True)
            return
        with suppress(IncompleteUpload):
            shutil.rmtree(self._upload(upload_id), ignore_errors=True)

    def unfinished(self, prefix: str) -> Iterator[UnfinishedUpload]:
        """Upload folders, and files of small writes that were interrupted; younger ones may be at work elsewhere."""
        if not self._uploads.is_dir():
            return
        for item in sorted(self._uploads.iterdir()):
            try:
                described = item.lstat()
            except FileNotFoundError:
                continue  # finished meanwhile
            if stat.S_ISREG(described.st_mode) and time.time() - described.st_mtime < SMALL_WRITE_SECONDS:
                continue
            key = ""
            with suppress(OSError, UnicodeDecodeError):
                key = (item / "key").read_text(encoding="utf-8")
            if key.startswith(prefix):
                started = datetime.fromtimestamp(described.st_mtime, tz=UTC).isoformat()
                yield UnfinishedUpload(key or item.name, item.name, started)

    def copy(self, source_key: str, key: str, *, version_id: str = "") -> StoredObject:
        """A hard link: the same bytes under a second name."""
        source, target = self._path(source_key), self._path(key)
        with _translated(f"'{key}' in {self.address}"):
            if not source.is_file():
                raise ObjectMissing(f"'{source_key}' is not in {self.address}")
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source, target)
            except FileExistsError as error:
                if not source.samefile(target) and not _equal(source, target):
                    raise Conflict(f"'{key}' in {self.address} already holds other bytes") from error
            flush_folder(target.parent)
            return StoredObject(key, target.stat().st_size)

    def take(self, origin: ObjectStore, source_key: str, key: str, *, version_id: str = "") -> StoredObject:
        """A copy that shares no file with its source, so that whoever can write there cannot change it here.

        The kernel copies; where the file system can, the blocks are shared until one side is written to.
        """
        if origin.address == self.address:
            return self.copy(source_key, key, version_id=version_id)
        if not isinstance(origin, FolderStore):
            raise ConfigError(
                f"nothing can be copied from {origin.address} to the folder {self.address} by the service itself",
                hint="Keep both stores in folders, or both in buckets.",
            )
        target, temporary = self._path(key), self._uploads / f"put-{uuid.uuid4().hex}"
        with _translated(f"'{key}' in {self.address}"):
            size = origin.head(source_key).size_bytes
            self._uploads.mkdir(parents=True, exist_ok=True)
            if not target.exists() and shutil.disk_usage(self._uploads).free < size:
                raise OutOfSpace(f"{self.address} has no room for the {size} bytes of '{key}'", hint="Free space.")
            try:
                if not target.exists():
                    copy_file(origin._path(source_key), temporary)
                    self._appear(temporary, target, key)
                elif not _equal(origin._path(source_key), target):
                    raise Conflict(f"'{key}' in {self.address} already holds other bytes")
            finally:
                temporary.unlink(missing_ok=True)
            return StoredObject(key, target.stat().st_size)

    def delete(self, key: str, *, version_id: str = "") -> None:
        """Unlinks the file and the folders it leaves empty."""
        path = self._path(key)
        with _translated(f"'{key}' in {self.address}"):
            path.unlink(missing_ok=True)
            parent = path.parent
            with suppress(OSError):
                while parent != self._root:
                    parent.rmdir()
                    parent = parent.parent

    def close(self) -> None:
        """Nothing is kept open."""


def _translated(what: str) -> AbstractContextManager[None]:
    return as_store_errors(
        what, room="Free space, or choose another store with --to.", access="Check the folder's owner and mode."
    )


def _equal(one: Path, other: Path) -> bool:
    with one.open("rb") as a, other.open("rb") as b:
        while True:
            left, right = a.read(_COMPARE_BYTES), b.read(_COMPARE_BYTES)
            if left != right:
                return False
            if not left:
                return True
