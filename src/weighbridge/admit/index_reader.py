"""Answers which revision a channel points to, from the signed index and one root alone.

`IndexReader.current` is made to be called often: while nothing changed it reads one small object (on S3 only that
object's ETag), so that a reader that asks each second sees a revocation within a second. When something changed, only the
bins that changed are read and verified. The chain of roots is followed whenever anything changed, and each minute.

A reader gives an answer or raises; it never falls back to an older answer. What cannot be read for a moment is tried
again for a moment: a writer may just have replaced it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from weighbridge.admit.index import Index, ModelEntry, key_of, moment, role_of
from weighbridge.admit.index_lists import bits_of, entries_of, mark_of, roles_of
from weighbridge.admit.index_state import MAX_TIMESTAMP_BYTES, READ_SECONDS, TrustedIndex, read_described
from weighbridge.core.errors import (
    LengthMismatch,
    ObjectMissing,
    RolledBack,
    SignatureInvalid,
    StatementMismatch,
    WeighbridgeError,
)
from weighbridge.core.names import ModelName
from weighbridge.core.ports import ObjectStore
from weighbridge.store.ledger import now_rfc3339

ROOT_SECONDS = 60.0
"""How often the chain of roots is followed although nothing else changed."""
TRIES = 4
_Bin = tuple[str, tuple[ModelEntry, ...], datetime]
"""A bin's digest, its models, and when it expires."""
_NO_BIN: _Bin = ("", (), datetime.min.replace(tzinfo=UTC))
TRY_SECONDS = 0.1


class IndexReader:
    """See above. Thread-safe. `trust` is a folder of this reader's own; `root` is the root it was given, if not kept there.

    `clock` gives the present time (RFC 3339); `tries` is how often something that does not fit is looked at again.
    """

    def __init__(
        self,
        store: ObjectStore,
        trust: Path,
        clock: Callable[[], str] = now_rfc3339,
        *,
        root: bytes = b"",
        tries: int = TRIES,
        seconds: float = READ_SECONDS,
    ) -> None:
        self.trusted = TrustedIndex(store, trust, root=root, seconds=seconds)
        self._store = store
        self._clock = clock
        self._tries = tries
        self._seconds = seconds
        self._lock = threading.Lock()
        self._index: Index | None = None
        self._shown = b""
        self._tag: tuple[str, str] = ("", "")
        self._root_at = float("-inf")
        self._bins: dict[str, _Bin] = {}

    def current(self) -> Index:
        """The index as it is now.

        Raises:
            ConfigError: no root is trusted here. NothingCollected: nothing was ever promoted.
            SignatureInvalid, Expired, RolledBack, StatementMismatch: what the store shows must not be believed.
            ObjectMissing: there is no index, or part of it is missing.
            StoreError, LimitExceeded, Busy: it cannot be read.
        """
        with self._lock:
            if self._index is None or time.monotonic() > self._root_at + ROOT_SECONDS or not self._unchanged():
                self._index = None
                self._index = self._patiently()
            self._index.check_fresh(self._clock())
            return self._index

    def find(self, model_name: ModelName) -> ModelEntry:
        """What the index says of one model, reading its bin only; an empty entry when it says nothing.

        Raises:
            As `current`.
        """
        with self._lock, self.trusted.locked():
            self.trusted.load(moment(self._clock()))
            bits = bits_of(self.trusted.targets)
            role = role_of(str(model_name), bits)
            targets = self.trusted.bin(role) if bits else self.trusted.targets
            found = {entry.model_name: entry for entry in entries_of(targets, role, bits)}
            return found.get(model_name, ModelEntry(model_name))

    def _unchanged(self) -> bool:
        described = self._store.head(key_of("timestamp"))
        tag = (described.version_id, described.etag)
        if any(tag) and tag == self._tag:
            return True
        try:
            data = read_described(self._store, described, MAX_TIMESTAMP_BYTES, seconds=self._seconds)
        except LengthMismatch:
            return False
        if data != self._shown:
            return False
        self._tag = tag
        return True

    def _patiently(self) -> Index:
        left = self._tries
        while True:
            try:
                return self._load()
            except (SignatureInvalid, StatementMismatch, RolledBack, ObjectMissing) as error:
                left -= 1
                if left <= 0 or not self._may_pass(error):
                    raise
                time.sleep(TRY_SECONDS)

    def _may_pass(self, error: WeighbridgeError) -> bool:
        """An index that never was is not waited for."""
        return not isinstance(error, ObjectMissing) or self.trusted.seen_version() > 0

    def _load(self) -> Index:
        trusted = self.trusted
        with trusted.locked():
            shown = trusted.load(moment(self._clock()))
            bins = dict(self._read_bins())
            entries = [entry for _, found, _ in bins.values() for entry in found]
            expiries = [
                trusted.root.expires,
                trusted.timestamp.expires,
                trusted.snapshot.expires,
                trusted.targets.expires,
            ]
            index = _index(trusted, entries, min([*expiries, *(expires for _, _, expires in bins.values())]))
        self._bins, self._shown, self._tag, self._root_at = bins, shown, ("", ""), time.monotonic()
        return index

    def _read_bins(self) -> Iterator[tuple[str, _Bin]]:
        targets, meta = self.trusted.targets, self.trusted.snapshot.meta
        bits = bits_of(targets)
        # The delegating targets are part of it: they say which keys the bin must be signed with.
        digests = {
            role: f"{meta['targets.json'].hashes} {meta[f'{role}.json'].hashes}" if f"{role}.json" in meta else ""
            for role in roles_of(bits)
        }
        changed = [role for role, digest in digests.items() if not digest or self._bins.get(role, _NO_BIN)[0] != digest]
        if bits:
            self.trusted.fetch(changed)
        for role, digest in digests.items():
            if role not in changed:
                yield role, self._bins[role]
                continue
            found = self.trusted.bin(role) if bits else targets
            yield role, (digest, tuple(entries_of(found, role, bits)), found.expires)


def _index(trusted: TrustedIndex, entries: list[ModelEntry], expires: datetime) -> Index:
    revocations = {
        (entry.model_name, revision): revocation for entry in entries for revision, revocation in entry.revoked.items()
    }
    return Index(
        entries={entry.model_name: entry.channels for entry in entries if entry.channels},
        revoked=frozenset(revocations),
        revocations=revocations,
        version=trusted.snapshot.version,
        root_version=trusted.root.version,
        expires=expires.isoformat().replace("+00:00", "Z"),
        root_expires=trusted.root.expires.isoformat().replace("+00:00", "Z"),
        mark=mark_of(trusted.snapshot)[0],
    )
