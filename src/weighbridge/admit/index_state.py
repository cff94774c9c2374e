"""Reads the signed index out of a store and believes of it what TUF's rules allow.

The rules are python-tuf's `TrustedMetadataSet`; the shell around them is this module, because python-tuf's own `Updater`
keeps a clock that cannot be set, cannot list the models, and verifies everything again at each look (see
`docs/decisions/0017-the-index-is-tuf.md`). The folder of trust is laid out as `Updater` lays it out.

- Whoever writes to the store is not believed: sizes are bounded before a byte is read, time is bounded, JSON is spelt one
  way where no digest vouches for it, and every failure is a typed error.
- What was believed once is kept in the folder of trust, so that an older state is noticed by the next process as well.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from tuf.api import exceptions
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet
from tuf.ngclient.config import EnvelopeType

from weighbridge.admit.index import STALE_HINT, key_of
from weighbridge.admit.index_keys import MAX_ROOT_BYTES, is_spelt_once, read_root
from weighbridge.core import canonical
from weighbridge.core.errors import (
    AccessRefused,
    Busy,
    ConfigError,
    Expired,
    FormatError,
    LengthMismatch,
    LimitExceeded,
    NothingCollected,
    ObjectMissing,
    RolledBack,
    SignatureInvalid,
    StatementMismatch,
    StoreUnreachable,
    TrustError,
)
from weighbridge.core.ports import ObjectStore, StoredObject
from weighbridge.wire.files import locked_file, replace_file

MAX_TIMESTAMP_BYTES = 16_384
MAX_SNAPSHOT_BYTES = 2_000_000
MAX_TARGETS_BYTES = 5_000_000
MAX_ROOT_ROTATIONS = 256
READ_SECONDS = 30.0
LOCK_SECONDS = 60.0
_REPLACED_TRIES = 8
_FETCH_AHEAD = 4
_FETCHES_AT_ONCE = 16
_STEP_BYTES = 64 * 1024
_STALE = (exceptions.RepositoryError, ValueError, TypeError)
"""What lies in the folder of trust and does not fit any more is not believed, and fetched again."""
ALTERED = "The store shows something else than was signed. Find out who wrote to it; readers refuse it meanwhile."


def trust_folder(base: Path, store: ObjectStore) -> Path:
    """Where what is believed about the index of this store is kept, below a home's `index-trust`."""
    return base / hashlib.sha256(store.address.encode("utf-8")).hexdigest()[:32]


def read_bounded(
    store: ObjectStore, key: str, most: int, *, seconds: float = READ_SECONDS, length: int | None = None
) -> bytes:
    """A whole small object, of at most `most` bytes, within some seconds; of `length` bytes, when that was signed for.

    Raises:
        ObjectMissing: it is not there.
        LimitExceeded, StatementMismatch: it is larger, or has another length.
        StoreUnreachable: it took longer.
        StoreError, IntegrityError: it cannot be read.
    """
    for _ in range(_REPLACED_TRIES):
        described = store.head(key)
        if length is not None and described.size_bytes != length:
            raise StatementMismatch(
                f"'{key}' in {store.address} is {described.size_bytes} bytes, signed were {length}", hint=ALTERED
            )
        with suppress(LengthMismatch):
            data = read_described(store, described, most, seconds=seconds)
            # Without versions, an object may be replaced by a longer one between the two requests.
            if described.version_id or length is not None or store.head(key).size_bytes == described.size_bytes:
                return data
    raise StoreUnreachable(f"'{key}' in {store.address} is being replaced all the time")


def read_described(store: ObjectStore, described: StoredObject, most: int, *, seconds: float = READ_SECONDS) -> bytes:
    """As `read_bounded`, of the object as it was described; also raises LengthMismatch: it is shorter now."""
    key, size = described.key, described.size_bytes
    if size > most:
        raise LimitExceeded(f"'{key}' in {store.address} is {size} bytes, more than {most}", hint=ALTERED)
    deadline = time.monotonic() + seconds
    buffer, filled = bytearray(size), 0
    with store.open(key, 0, size, version_id=described.version_id) as stream:
        while filled < size:
            count = stream.readinto(memoryview(buffer)[filled : filled + _STEP_BYTES])
            if not count:
                raise StoreUnreachable(f"'{key}' in {store.address} ended early")
            filled += count
            if time.monotonic() > deadline:
                raise StoreUnreachable(f"'{key}' in {store.address} comes too slowly: {filled} bytes in {seconds:g} s")
    return bytes(buffer)


class TrustedIndex:
    """What this machine believes of one index, after `load`. Not thread-safe; `locked` keeps other processes away."""

    def __init__(self, store: ObjectStore, folder: Path, *, root: bytes = b"", seconds: float = READ_SECONDS) -> None:
        self.store = store
        self.folder = folder
        self._given_root = root
        self._seconds = seconds
        self._set: TrustedMetadataSet | None = None
        self._fetched: dict[str, bytes] = {}

    # --- what is believed

    @property
    def root(self) -> Root:
        """The newest root that is believed."""
        return self._trusted.root

    @property
    def timestamp(self) -> Timestamp:
        """The newest timestamp that is believed."""
        return self._trusted.timestamp

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot that the timestamp names."""
        return self._trusted.snapshot

    @property
    def targets(self) -> Targets:
        """The top-level targets that the snapshot names."""
        return self._trusted.targets

    @property
    def _trusted(self) -> TrustedMetadataSet:
        if self._set is None:
            raise ConfigError("the index was not loaded")
        return self._set

    @property
    def has_root(self) -> bool:
        """Whether there is a root to begin with."""
        return bool(self._given_root) or (self.folder / "root.json").is_file()

    def trust_root(self, data: bytes) -> None:
        """Believes a root from now on because a person says so.

        Raises:
            SignatureInvalid: it is no root, or not signed as it asks itself.
            ConfigError: another root is believed already, or the folder cannot be written to.
        """
        with translated("the root"):
            version = TrustedMetadataSet(_root(data), EnvelopeType.METADATA).root.version
        if self.has_root and data not in (self._first_root(), self._local(f"root_history/{version}.root")):
            raise ConfigError(
                f"another root of {self.store.address} is trusted here already",
                hint=f"If that is what you want, remove '{self.folder}' first.",
            )
        self._keep(f"root_history/{version}.root.json", data)
        if not self.has_root:
            self._keep("root.json", data)

    def newest_root(self) -> bytes:
        """The bytes of the newest root that is believed here.

        Raises:
            ConfigError: no root is trusted here. NothingCollected: nothing was ever promoted.
        """
        data = self._first_root()
        version = read_root(data).signed.version
        while (kept := self._local(f"root_history/{version + 1}.root")) is not None:
            data, version = kept, version + 1
        return data

    def _first_root(self) -> bytes:
        if self._given_root:
            return self._given_root
        data = self._local("root")
        if data is None:
            if self._has_no_index():
                raise NothingCollected(
                    f"nothing was promoted to {self.store.address} yet",
                    hint="`weighbridge promote org/name --channel production` begins the index of channels.",
                )
            raise ConfigError(
                f"no root of the index in {self.store.address} is trusted here",
                hint="Get root.json from whoever keeps the index, by a way you trust: weighbridge channels trust FILE",
            )
        return data

    def _has_no_index(self) -> bool:
        """Whether the store shows that nobody ever wrote an index to it."""
        for key in (key_of("root", 1), key_of("timestamp")):
            try:
                self.store.head(key)
            except ObjectMissing:
                continue
            except AccessRefused:
                pass
            return False
        return True

    # --- loading

    def load(self, now: datetime) -> bytes:
        """Brings what is believed up to what the store shows, and returns the timestamp's bytes.

        Raises:
            ConfigError: no root is trusted here. NothingCollected: nothing was ever promoted.
            SignatureInvalid, Expired, RolledBack, StatementMismatch: what the store shows must not be believed.
            ObjectMissing, StoreError, LimitExceeded: it cannot be read.
        """
        self._fetched = {}
        self.load_root(now)
        shown = self._load_timestamp()
        self._load_snapshot()
        self._load_targets("targets", "root")
        return shown

    def load_root(self, now: datetime) -> Root:
        """Follows the chain of roots from the one that is trusted to the newest."""
        with translated("the root"):
            trusted = TrustedMetadataSet(_root(self._first_root()), EnvelopeType.METADATA)
        trusted.reference_time = now
        self._set = trusted
        first = trusted.root.version + 1
        for version in range(first, first + MAX_ROOT_ROTATIONS):
            name = f"root_history/{version}.root"
            if (kept := self._local(name)) is not None and _accepts(trusted, kept):
                continue
            try:
                data = self._read(key_of("root", version), MAX_ROOT_BYTES)
            except ObjectMissing:
                break
            with translated(f"root {version}"):
                trusted.update_root(_root(data))
            self._keep(f"{name}.json", data)
        return trusted.root

    def _load_timestamp(self) -> bytes:
        with suppress(*_STALE):
            if (kept := self._local("timestamp")) is not None:
                self._trusted.update_timestamp(kept)
        try:
            data = self._read(key_of("timestamp"), MAX_TIMESTAMP_BYTES)
        except ObjectMissing as error:
            raise ObjectMissing(
                f"there is no index of channels in {self.store.address}",
                hint="Promote a revision to a channel first, or name the right store.",
            ) from error
        with translated("the timestamp"):
            _check_spelling(data, "the timestamp")
            try:
                self._trusted.update_timestamp(data)
            except exceptions.EqualVersionNumberError:
                return data
        self._keep("timestamp.json", data)
        return data

    def _load_snapshot(self) -> None:
        with suppress(*_STALE):
            if (kept := self._local("snapshot")) is not None:
                self._trusted.update_snapshot(kept, trusted=True)
                return
        named = self._trusted.timestamp.snapshot_meta
        data = self._read(key_of("snapshot", named.version), MAX_SNAPSHOT_BYTES, named.length)
        with translated("the snapshot"):
            self._trusted.update_snapshot(data)
        self._keep("snapshot.json", data)

    def bin(self, role: str) -> Targets:
        """The targets of one bin, from here when the same lie here, else from the store. Raises as `load`."""
        return self._load_targets(role, "targets")

    def fetch(self, roles: Sequence[str]) -> None:
        """Reads many bins ahead of `bin`, several at once: over a network each costs a round trip. Raises as `load`."""
        meta = self.snapshot.meta
        named = {role: meta[f"{role}.json"] for role in roles if f"{role}.json" in meta}
        missing = [role for role, listed in named.items() if self.kept(role, listed) is None]
        if len(missing) < _FETCH_AHEAD:
            return

        def read(role: str) -> bytes:
            return self._read(key_of(role, named[role].version), MAX_TARGETS_BYTES, named[role].length)

        with ThreadPoolExecutor(_FETCHES_AT_ONCE) as pool:
            self._fetched = dict(zip(missing, pool.map(read, missing), strict=True))

    def _load_targets(self, role: str, delegator: str) -> Targets:
        trusted = self._trusted
        with suppress(*_STALE):
            if (kept := self._local(role)) is not None:
                return trusted.update_delegated_targets(kept, role, delegator)
        named = trusted.snapshot.meta.get(f"{role}.json")
        if named is None:
            raise StatementMismatch(f"the snapshot of the index does not name '{role}'", hint=ALTERED)
        data = self._fetched.pop(role, None) or self._read(key_of(role, named.version), MAX_TARGETS_BYTES, named.length)
        with translated(f"'{role}'"):
            targets = trusted.update_delegated_targets(data, role, delegator)
        self._keep(f"{role}.json", data)
        return targets

    def kept(self, role: str, named: MetaFile) -> bytes | None:
        """The bytes of a list when exactly those that are named lie here."""
        data = self._local(role)
        with suppress(*_STALE):
            if data is not None:
                named.verify_length_and_hashes(data)
                return data
        return None

    def adopt(self, timestamp: bytes, snapshot: bytes) -> None:
        """Remembers what this machine itself just published, so that nobody can show it an older state."""
        self._keep("snapshot.json", snapshot)
        self._keep("timestamp.json", timestamp)

    def seen_version(self) -> int:
        """The newest version that was ever believed here, judged or not; 0 without one."""
        kept = self._local("timestamp")
        with suppress(*_STALE):
            return Metadata[Timestamp].from_bytes(kept).signed.snapshot_meta.version if kept else 0
        return 0

    # --- bytes

    def _read(self, key: str, most: int, length: int | None = None) -> bytes:
        return read_bounded(self.store, key, most, seconds=self._seconds, length=length)

    def _local(self, name: str) -> bytes | None:
        try:
            with (self.folder / f"{name}.json").open("rb") as file:
                data = file.read(MAX_TARGETS_BYTES + 1)
        except OSError:
            return None
        return data if len(data) <= MAX_TARGETS_BYTES else None

    def _keep(self, name: str, data: bytes) -> None:
        path = self.folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, data)
        except OSError as error:
            raise ConfigError(
                f"what is trusted of the index cannot be kept in '{self.folder}': {error.strerror}",
                hint="Readers need a folder of their own that they may write to; without it a rollback would not show.",
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes of this machine from loading and writing meanwhile.

        Raises:
            Busy: another one takes too long. ConfigError: the folder cannot be written to.
        """
        with ExitStack() as closing:
            try:
                closing.enter_context(locked_file(self.folder / "lock", wait_seconds=LOCK_SECONDS))
            except TimeoutError as error:
                raise Busy(
                    f"another process has been using '{self.folder}' for {LOCK_SECONDS:g} s", hint="Try again."
                ) from error
            except OSError as error:
                raise ConfigError(f"'{self.folder}' cannot be written to: {error.strerror}") from error
            yield


def _root(data: bytes) -> bytes:
    """The bytes themselves, once they are spelt the one way."""
    read_root(data)
    return data


def _accepts(trusted: TrustedMetadataSet, data: bytes) -> bool:
    try:
        trusted.update_root(_root(data))
    except (exceptions.RepositoryError, SignatureInvalid):
        return False
    return True


def _check_spelling(data: bytes, what: str) -> None:
    """No digest vouches for a timestamp's own spelling, so there must be one only."""
    canonical.decode_object(data, what=what)
    metadata = Metadata[Timestamp].from_bytes(data)
    if metadata.signed.type != Timestamp.type or not is_spelt_once(metadata, data):
        raise SignatureInvalid(f"{what} of the index is not in its one spelling", hint=ALTERED)


@contextmanager
def translated(what: str) -> Iterator[None]:
    """python-tuf's errors as ours."""
    try:
        yield
    except exceptions.EqualVersionNumberError:
        raise
    except (exceptions.RepositoryError, FormatError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise trust_error(error, what) from error


_KINDS: tuple[tuple[type[Exception], type[TrustError], str, str], ...] = (
    (exceptions.ExpiredMetadataError, Expired, "has expired", STALE_HINT),
    (exceptions.LengthOrHashMismatchError, StatementMismatch, "is not the one that was signed for", ALTERED),
    (exceptions.BadVersionNumberError, RolledBack, "is older than one that was seen before", ALTERED),
    (
        exceptions.UnsignedMetadataError,
        SignatureInvalid,
        "is not signed by enough of the keys that may sign it",
        ALTERED,
    ),
)


def trust_error(error: Exception, what: str) -> TrustError:
    """Our error for what python-tuf says of `what`."""
    for kind, ours, text, hint in _KINDS:
        if isinstance(error, kind):
            return ours(f"{what} of the index {text} ({error})", hint=hint)
    if isinstance(error, exceptions.RepositoryError) and type(error) is exceptions.RepositoryError:
        return StatementMismatch(f"{what} of the index does not fit the others ({error})", hint=ALTERED)
    return SignatureInvalid(f"{what} of the index cannot be read ({type(error).__name__})", hint=ALTERED)
