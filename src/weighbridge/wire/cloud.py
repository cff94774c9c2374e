"""Speaks to one Google Cloud Storage bucket or Azure container through obstore, and names its failures as ours.

Credentials and endpoints come from obstore's own environment variables (`GOOGLE_*`, `AZURE_*`). Plain HTTP, which only
emulators need, is spoken when `AZURE_ALLOW_HTTP`, `GOOGLE_ALLOW_HTTP` or `AZURE_STORAGE_USE_EMULATOR` is `true`. obstore's
errors quote whole requests and answers; of those only the status and the service's error code reach our messages.
"""

from __future__ import annotations

import os
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from weighbridge.core.errors import (
    AccessRefused,
    ConfigError,
    Conflict,
    IncompleteUpload,
    LengthMismatch,
    ObjectMissing,
    OutOfSpace,
    StoreError,
    StoreUnreachable,
    Truncated,
    WeighbridgeError,
)
from weighbridge.core.names import Address

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult, ObjectMeta, PutMode
    from obstore.store import AzureStore, ClientConfig, GCSStore

READ_BYTES = 1024 * 1024
LIST_PAGE = 1_000
EARLY_PARTS = 4
"""How many parts that overtook an earlier one are kept in memory for each upload."""
EARLY_WAIT_SECONDS = 300.0
"""How long a part waits for the ones before it once that many are kept; only a caller that lost one gets there."""
_RETRIES = 4
_CODE = re.compile(r"<Code>([A-Za-z]{1,64})</Code>")
_CAUSE = re.compile(r"^\s*source: (TokenRequest|InvalidRangeRequest|BadScheme|Missing[A-Za-z]+)\b", re.MULTILINE)
_STATUS = re.compile(r"non-2xx status code: (\d{3})")
_UNSET = ("MissingAccount", "MissingBucketName", "MissingContainerName")
_BY_STATUS: Mapping[int, type[WeighbridgeError]] = {
    401: AccessRefused,
    403: AccessRefused,
    404: ObjectMissing,
    409: Conflict,
    412: Conflict,
    416: LengthMismatch,
    429: StoreUnreachable,
    408: StoreUnreachable,
    507: OutOfSpace,
}
_HINTS: Mapping[type[WeighbridgeError], str] = {
    AccessRefused: "Check the credentials, the bucket's policy and the clock; `weighbridge doctor` tries each.",
    ObjectMissing: "Check the name of the bucket or container as well.",
    OutOfSpace: "Free space in the store, or choose another with --to.",
}
_CREDENTIALS: Mapping[str, str] = {
    "gs": "Set GOOGLE_APPLICATION_CREDENTIALS or GOOGLE_SERVICE_ACCOUNT, or run where a service account is attached.",
    "az": "Set AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN or "
    "AZURE_CLIENT_ID/_SECRET/_TENANT_ID, or run where an identity is attached.",
}


@dataclass(frozen=True, slots=True)
class CloudObject:
    """An object as the service describes it; `etag` without quotes, `modified_at` as RFC 3339."""

    path: str
    size_bytes: int
    etag: str
    version_id: str
    modified_at: str


class CloudBucket:
    """One bucket or container. Thread-safe. Paths are whole: the address's prefix is the caller's to put in front.

    Raises:
        ConfigError: the extra `cloud` is not installed, or the environment does not say enough to reach the bucket.
    """

    def __init__(self, address: Address) -> None:
        try:
            import obstore  # noqa: F401 (what is imported later is missing at once)
        except ImportError as error:
            raise ConfigError(
                f"{address.scheme}:// needs the 'cloud' extra, which is not installed",
                hint="pip install 'weighbridge[cloud]'",
            ) from error
        self.scheme = address.scheme
        self.place = f"{address.scheme}://{address.bucket}"
        with self.translated(f"the settings of {self.place}"):
            self._store = _construct(address)

    def meta(self, path: str, *, version_id: str = "", what: str) -> CloudObject:
        """Describes an object. Raises ObjectMissing."""
        import obstore

        with self.translated(what):
            if not version_id:
                return _described(obstore.head(self._store, path))
            return _described(
                obstore.get(self._store, path, options={"version": version_id, "head": True}).meta, version_id
            )

    def get(self, path: str, span: tuple[int, int], *, version_id: str = "", if_match: str = "", what: str) -> Body:
        """Opens bytes `span` (end excluded, not empty), of one version and only with one ETag where those are given.

        Raises:
            ObjectMissing, Conflict: no such object or version; another ETag.
            LengthMismatch: the object ends before the range does.
        """
        import obstore

        options: GetOptions = {"range": span}
        if version_id:
            options["version"] = version_id
        if if_match:
            options["if_match"] = f'"{if_match}"'
        with self.translated(what):
            result = obstore.get(self._store, path, options=options)
            if tuple(result.range) != span:
                raise LengthMismatch(f"{what}: the object ends before byte {span[1]}")
            return Body(self, result, what=what, size_bytes=span[1] - span[0])

    def list(self, prefix: str, *, what: str) -> Iterator[CloudObject]:
        """All current objects below the folder that `prefix` lies in and whose path starts with it, as they come."""
        import obstore

        folder = prefix.rpartition("/")[0]
        with self.translated(what):
            for page in obstore.list(self._store, folder or None, chunk_size=LIST_PAGE):
                for item in page:
                    if item["path"].startswith(prefix):
                        yield _described(item)

    def put(self, path: str, body: bytes, *, replace: bool, what: str) -> tuple[str, str]:
        """Stores an object in one request; its ETag and version. Raises Conflict if it exists and may not be replaced."""
        import obstore

        mode: PutMode = "overwrite" if replace else "create"
        with self.translated(what):
            put = obstore.put(self._store, path, body, mode=mode, use_multipart=False)
            return (put["e_tag"] or "").strip('"'), put["version"] or ""

    def put_stream(self, path: str, pieces: Iterator[bytes], *, piece_bytes: int, uploads: int, what: str) -> None:
        """Stores what the iterator yields, in blocks of `piece_bytes`; replaces what is there.

        What the iterator raises comes out again, after obstore has dropped what it had uploaded.
        """
        import obstore

        with self.translated(what):
            obstore.put(self._store, path, pieces, use_multipart=True, chunk_size=piece_bytes, max_concurrency=uploads)

    def copy(self, source: str, target: str, *, what: str) -> None:
        """Copies within the bucket where `target` does not exist. Raises Conflict, ObjectMissing."""
        import obstore

        with self.translated(what):
            obstore.copy(self._store, source, target, overwrite=False)

    def delete(self, path: str, *, what: str) -> None:
        """Deletes the current object. Raises ObjectMissing."""
        import obstore

        with self.translated(what):
            obstore.delete(self._store, path)

    @contextmanager
    def translated(self, what: str) -> Iterator[None]:
        """Turns obstore's errors inside the `with` block into ours; `what` was tried."""
        from obstore.exceptions import BaseError

        try:
            yield
        except FileNotFoundError as error:
            raise ObjectMissing(f"{what} failed: it is not there", hint=_HINTS[ObjectMissing]) from error
        except (BaseError, ValueError, OSError) as error:
            raise self._error(error, what) from error

    def _error(self, error: Exception, what: str) -> WeighbridgeError:
        from obstore import exceptions

        text = str(error)
        code = _CODE.search(text)
        status = _STATUS.search(text)
        cause = _CAUSE.search(text)
        why = cause[1] if cause else ""
        number = int(status[1]) if status else 0
        said = " ".join(found[1] for found in (status, code) if found) or type(error).__name__
        if why == "TokenRequest" and number < 500:
            return ConfigError(f"{what} failed: no usable credentials were found", hint=_CREDENTIALS[self.scheme])
        if why == "InvalidRangeRequest":
            return LengthMismatch(f"{what}: the object ends before the range begins")
        if why == "BadScheme":
            return ConfigError(
                f"{what} failed: the endpoint is plain HTTP, which is not allowed",
                hint="For an emulator set AZURE_ALLOW_HTTP=true or GOOGLE_ALLOW_HTTP=true.",
            )
        if isinstance(error, exceptions.AlreadyExistsError | exceptions.PreconditionError):
            return Conflict(f"{what} failed: {said}")
        if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError):
            return AccessRefused(f"{what} failed: {said}", hint=_HINTS[AccessRefused])
        if isinstance(error, exceptions.UnknownConfigurationKeyError) or why in _UNSET:
            return ConfigError(
                f"{what} failed: the environment does not say which account", hint=_CREDENTIALS[self.scheme]
            )
        if isinstance(error, exceptions.GenericError):
            kind = _BY_STATUS.get(number, StoreError if 300 <= number < 500 else StoreUnreachable)
            return kind(f"{what} failed: {said}", hint=_HINTS.get(kind, ""))
        return StoreError(f"{what} failed: {said}")


class Body:
    """The bytes of one range, as a `core.ports.ByteStream`."""

    def __init__(self, bucket: CloudBucket, result: GetResult, *, what: str, size_bytes: int) -> None:
        self._bucket = bucket
        self._what = what
        self._left = size_bytes
        self._chunks = iter(result.stream(min_chunk_size=READ_BYTES))
        self._rest = memoryview(b"")

    def readinto(self, view: memoryview, /) -> int:
        """Fills up to `len(view)` bytes; 0 only at the end of the range. Raises Truncated, StoreUnreachable."""
        if not self._left:
            return 0
        while not self._rest:
            with self._bucket.translated(self._what):
                chunk = next(self._chunks, None)
            if chunk is None:
                raise Truncated(f"{self._what}: the body ended {self._left} bytes early")
            self._rest = memoryview(bytes(chunk))
        count = min(len(view), len(self._rest), self._left)
        view[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        self._left -= count
        return count


class Nothing:
    """The bytes of an empty range."""

    def readinto(self, view: memoryview, /) -> int:
        """0, the end."""
        return 0


class _Cancelled(Exception):
    """Ends the feeding iterator, so that obstore aborts."""


class OrderedUpload:
    """One streamed put that takes its parts from several threads and in any order, and sends them in theirs.

    `send` runs in a thread of its own and is handed the pieces, each at most `piece_bytes`. A part that is next in order
    waits until there is room; one that overtook others is kept, at most `EARLY_PARTS` of them, and further ones wait. The
    part that is next never waits for another, so threads cannot block each other as long as every earlier part is already
    with a thread of its own, or fewer than `EARLY_PARTS` overtake it; a caller that breaks this gets IncompleteUpload.
    """

    def __init__(self, send: Callable[[Iterator[bytes]], None], *, piece_bytes: int, name: str) -> None:
        self._send = send
        self._piece_bytes = piece_bytes
        self._name = name
        self._changed = threading.Condition()
        self._ready: deque[bytes] = deque()
        self._early: dict[int, bytes] = {}
        self._reached = 0
        self._ended = False
        self._cancelled = False
        self._over = False
        self._stored = False
        self._failure: WeighbridgeError | None = None
        self._thread = threading.Thread(target=self._run, name="weighbridge-upload", daemon=True)
        self._thread.start()

    def add(self, offset: int, body: memoryview) -> None:
        """Takes a copy of a part; one that was taken before is not taken again.

        Raises:
            IncompleteUpload: the upload broke or was aborted, or parts before this one never came.
            StoreError: why the store would not take the bytes.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._over or self._admits(offset), EARLY_WAIT_SECONDS):
                raise IncompleteUpload(f"{self._name} lacks bytes from {self._reached}")
            self._check()
            if offset < self._reached or offset in self._early:
                return
            self._early[offset] = bytes(body)
            if offset != self._reached:
                return
            while self._reached in self._early:
                part = self._early.pop(self._reached)
                self._reached += len(part)
                self._ready.append(part)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._over or len(self._ready) <= 1)
            self._check()

    def _admits(self, offset: int) -> bool:
        return offset <= self._reached or offset in self._early or len(self._early) < EARLY_PARTS

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._cancelled or (self._over and not self._stored):
            raise IncompleteUpload(f"{self._name} is gone", hint="Run the command again; it begins this file anew.")

    def finish(self, size_bytes: int) -> None:
        """Ends the stream and returns when everything is stored; may be called again.

        Raises:
            IncompleteUpload: parts are missing, or the upload broke. StoreError: see `add`.
        """
        with self._changed:
            self._check()
            if self._reached != size_bytes:
                raise IncompleteUpload(f"{self._name} has {self._reached} of {size_bytes} bytes")
            self._ended = True
            self._changed.notify_all()
        self._thread.join()
        with self._changed:
            self._check()

    def cancel(self) -> None:
        """Stops the thread; what it had sent is dropped by the service."""
        with self._changed:
            self._cancelled = True
            self._changed.notify_all()
        self._thread.join()

    def _pieces(self) -> Iterator[bytes]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ready or self._ended or self._cancelled)
                if self._cancelled:
                    raise _Cancelled
                if not self._ready:
                    return
                part = self._ready.popleft()
                self._changed.notify_all()
            for start in range(0, len(part), self._piece_bytes):
                if self._cancelled:
                    raise _Cancelled
                yield part[start : start + self._piece_bytes]

    def _run(self) -> None:
        stored = False
        failure: WeighbridgeError | None = None
        try:
            self._send(self._pieces())
            stored = True
        except _Cancelled:
            pass
        except StoreUnreachable as error:
            # The bytes that were sent are lost with the connection: trying this part again cannot help.
            failure = IncompleteUpload(error.message, hint="Run the command again; it begins this file anew.")
            failure.__cause__ = error
        except WeighbridgeError as error:
            failure = error
        finally:
            with self._changed:
                self._stored, self._failure, self._over = stored, failure, True
                self._ready.clear()
                self._early.clear()
                self._changed.notify_all()


def _described(meta: ObjectMeta, version_id: str = "") -> CloudObject:
    modified: datetime = meta["last_modified"]
    return CloudObject(
        meta["path"],
        meta["size"],
        (meta["e_tag"] or "").strip('"'),
        meta["version"] or version_id,
        modified.astimezone(UTC).isoformat(),
    )


def _construct(address: Address) -> GCSStore | AzureStore:
    from datetime import timedelta

    from obstore.store import AzureStore, GCSStore

    # The limit on a whole request must not cut a long download; a stalled one is cut by the read timeout.
    options: ClientConfig = {"connect_timeout": "10s", "read_timeout": "60s", "timeout": "12h"}
    names = ("GOOGLE_ALLOW_HTTP",) if address.scheme == "gs" else ("AZURE_ALLOW_HTTP", "AZURE_STORAGE_USE_EMULATOR")
    if any(os.environ.get(name, "").lower() in ("1", "true") for name in names):
        options["allow_http"] = True
    backend = GCSStore if address.scheme == "gs" else AzureStore
    return backend(
        address.bucket,
        client_options=options,
        retry_config={"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=60)},
    )
