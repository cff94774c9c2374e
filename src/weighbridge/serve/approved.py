"""Answers which revisions may be served, from the signed index and the sealed records, and nothing else.

- `main` is the channel `production`; any other word is a channel of that name; 40 hex digits are a revision.
- A revision that a channel points to must have the manifest that the index names. One that is asked for by its commit needs
  a signed summary that policy admitted it: a seal alone also exists in quarantine.
- A revoked revision is refused, by whatever name it is asked for, at most `POLL_SECONDS` and one reading later.
- That a channel points nowhere is said of an index read after the question: what was promoted is served at once.
- What cannot be proven now is refused; an older answer is never given in its place.
- When the trusted keys change, what was proven by the earlier ones is proven again before it is served further.
- Opened revisions are kept, as many as `MAX_KEPT_CHUNKS` chunk digests; the least recently asked for goes first.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from weighbridge.admit.asking import channel_of
from weighbridge.admit.index import Index
from weighbridge.admit.index_reader import IndexReader
from weighbridge.attest.attestations import Kind
from weighbridge.attest.summary import Freshness, open_summary
from weighbridge.core.errors import NothingCollected, ObjectMissing, StatementMismatch, TrustError, WeighbridgeError
from weighbridge.core.layout import record_key
from weighbridge.core.manifest import Manifest
from weighbridge.core.names import ModelName, is_revision
from weighbridge.core.ports import ObjectStore, SignatureVerifier
from weighbridge.vault.records import SealedRevision, is_sealed, open_revision, read_record

POLL_SECONDS: Final = 0.5
"""How old an answer of the index may be; half of the second within which a revocation must be seen."""
MISSED_SECONDS: Final = 0.05
"""For questions whose channel was not found the index is read again, but not sooner than this after the last time."""
MAX_KEPT_CHUNKS: Final = 250_000
"""Some 30 MB of digests: three revisions of the size of DeepSeek-R1, or thousands of small ones."""
MAX_KEPT: Final = 1_024
MAX_SUMMARIES: Final = 64
MAX_PROVEN: Final = 16_384
_PROMOTING = "`weighbridge channels` where models are promoted shows what there is; `weighbridge promote` adds to it."
_Key = tuple[ModelName, str]


@dataclass(frozen=True, slots=True)
class Look:
    """What the index said, and when it was asked."""

    at: float
    index: Index | None
    error: WeighbridgeError | None


class Approved:
    """See above. Thread-safe; its methods block on the store, but for `peek`.

    `keys_now` has the trusted keys of `verifier` read again and returns a number that changes whenever they do; it is asked
    with the index. What it raises refuses everything.
    """

    def __init__(
        self,
        store: ObjectStore,
        reader: IndexReader,
        verifier: SignatureVerifier,
        *,
        keys_now: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store = store
        self._keys_now = keys_now
        self._keys = 0
        self._reader = reader
        self._verifier = verifier
        self._clock = clock
        self._polling = threading.Lock()
        self._seen = Look(float("-inf"), None, None)
        self._proven_at: float | None = None
        self._lock = threading.Lock()
        self._kept: OrderedDict[_Key, SealedRevision] = OrderedDict()
        self._kept_chunks = 0
        self._digests: dict[_Key, str] = {}
        """Of the manifests that are kept: computing one anew costs as much as reading it."""
        self._admitted: set[_Key] = set()
        self._proven: set[_Key] = set()
        """Opened by the keys that are trusted now, and perhaps not kept any more."""
        self._opening: dict[_Key, Future[SealedRevision]] = {}

    # --- what the index says

    def index(self) -> Index:
        """The index, at most `POLL_SECONDS` old.

        Raises:
            NothingCollected: nothing was promoted here yet, so that there is none.
            TrustError, StoreError, ConfigError: it cannot be read or must not be believed now.
        """
        if (index := self._fresh()) is not None:
            return index
        with self._polling:
            return self._fresh() or self._poll()

    def known(self) -> Index | None:
        """As `index`; None when nothing was promoted here yet."""
        try:
            return self.index()
        except NothingCollected:
            return None

    def index_age(self) -> float:
        """Seconds since the index was last proven.

        Raises:
            NothingCollected: it was not, yet.
        """
        if self._proven_at is None:
            raise NothingCollected("the index was not read yet")
        return self._clock() - self._proven_at

    def refresh(self) -> Index:
        """The index as it is now; asked for ahead of time, nobody has to wait for it. Raises as `index`."""
        with self._polling:
            return self._poll()

    def _poll(self) -> Index:
        at = self._clock()
        try:
            self._follow_keys(self._keys_now())
            index = self._reader.current()
        except WeighbridgeError as error:
            self._seen = Look(at, None, error)
            raise
        self._seen = Look(at, index, None)
        self._proven_at = at
        return index

    def _follow_keys(self, keys: int) -> None:
        """Forgets what other keys than those of now have proven."""
        if keys == self._keys:
            return
        with self._lock:
            self._keys = keys
            self._kept.clear()
            self._kept_chunks = 0
            self._digests.clear()
            self._admitted.clear()
            self._proven.clear()
            # Whoever waits for one gets it; whoever comes from now on does not wait with them.
            self._opening.clear()

    def _read_since(self, asked: float) -> Index:
        """The index as it was read at `asked` or later. Raises as `index`."""
        with self._polling:
            if self._seen.at < asked:
                time.sleep(max(0.0, self._seen.at + MISSED_SECONDS - self._clock()))
                return self._poll()
        return self.index()

    def _fresh(self) -> Index | None:
        seen = self._seen
        if self._clock() - seen.at >= POLL_SECONDS:
            return None
        if seen.error is not None:
            raise seen.error.with_traceback(None)
        return seen.index

    def look(self) -> Look | None:
        """The last look at index and keys, the same object until there is another; None when it is not fresh or told nothing."""
        seen = self._seen
        return seen if seen.index is not None and self._clock() - seen.at < POLL_SECONDS else None

    def models(self) -> list[ModelName]:
        """The models that have a channel which may be served, in order of name. Raises as `known`."""
        index = self.known()
        return sorted(model for model in index.entries if _open_channels(index, model)) if index else []

    def channels(self, model_name: ModelName) -> dict[str, str]:
        """Which revision each channel of a model points to, without those that were revoked. Raises as `known`."""
        index = self.known()
        return _open_channels(index, model_name) if index else {}

    def check(self, model_name: ModelName, revision: str) -> None:
        """Returns when the revision is not revoked, and the keys that are trusted now prove it.

        Raises:
            Revoked: it is, or the key that sealed it is; or as `resolve`.
        """
        self.index().check(model_name, revision)
        if (model_name, revision) not in self._proven:
            self._open(model_name, revision, named=True)

    # --- revisions

    def resolve(self, model_name: ModelName, ref: str) -> SealedRevision:
        """The revision that `ref` names, proven.

        Raises:
            NothingCollected: there is no such model or ref here.
            Revoked: it was revoked.
            TrustError, StoreError, FormatError, ConfigError: it cannot be proven now.
        """
        asked = self._clock()
        index = self.known()
        if index is None:
            raise NothingCollected(f"{model_name} is not approved here: nothing is yet", hint=_PROMOTING)
        if _misses(index, model_name, ref):
            index = self._read_since(asked)
        revision, manifest_sha256 = _pointed(index, model_name, ref)
        index.check(model_name, revision)
        sealed = self._open(model_name, revision, named=bool(manifest_sha256))
        if manifest_sha256:
            self._check_named(sealed, manifest_sha256)
        else:
            self._check_admitted(sealed.manifest)
        return sealed

    def peek(self, model_name: ModelName, ref: str) -> SealedRevision | None:
        """As `resolve`, from what is in memory alone; None when something would have to be read. Raises as `resolve`."""
        try:
            index = self._fresh()
        except NothingCollected:
            return None
        if index is None or _misses(index, model_name, ref):
            return None
        revision, manifest_sha256 = _pointed(index, model_name, ref)
        index.check(model_name, revision)
        with self._lock:
            sealed = self._kept.get((model_name, revision))
            if sealed is None:
                return None
            self._kept.move_to_end((model_name, revision))
        if manifest_sha256:
            self._check_named(sealed, manifest_sha256)
        elif (model_name, revision) not in self._admitted:
            return None
        return sealed

    def _check_named(self, sealed: SealedRevision, manifest_sha256: str) -> None:
        manifest = sealed.manifest
        digest = self._digests.get((manifest.model_name, manifest.revision)) or manifest.digest
        if digest != manifest_sha256:
            raise StatementMismatch(
                f"the manifest of {manifest.reference} is not the one that the index names",
                hint="Somebody put another one there. Find out who; then promote the revision again.",
            )

    def _open(self, model_name: ModelName, revision: str, *, named: bool) -> SealedRevision:
        """Opened once however many ask at once."""
        key = (model_name, revision)
        with self._lock:
            if (kept := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
                return kept
            opening = self._opening.get(key)
            mine = opening is None
            if opening is None:
                opening = self._opening[key] = Future()
        if mine:
            self._open_now(key, opening)
        try:
            return opening.result()
        except ObjectMissing as error:
            if named or is_sealed(self.store, model_name, revision):
                raise
            raise NothingCollected(f"{model_name}@{revision} is not approved here", hint=_PROMOTING) from error

    def _open_now(self, key: _Key, opening: Future[SealedRevision]) -> None:
        keys = self._keys
        try:
            sealed = open_revision(self.store, *key, self._verifier)
            with self._lock:
                if keys == self._keys:
                    self._keep(key, sealed)
            opening.set_result(sealed)
        except WeighbridgeError as error:
            opening.set_exception(error)
        except BaseException as error:
            opening.set_exception(error)
            raise
        finally:
            with self._lock:
                if self._opening.get(key) is opening:
                    del self._opening[key]

    def _keep(self, key: _Key, sealed: SealedRevision) -> None:
        if len(self._proven) >= MAX_PROVEN:
            self._proven.clear()
        self._proven.add(key)
        self._kept[key] = sealed
        self._digests[key] = sealed.manifest.digest
        self._kept_chunks += _chunks(sealed)
        while len(self._kept) > 1 and (self._kept_chunks > MAX_KEPT_CHUNKS or len(self._kept) > MAX_KEPT):
            gone, dropped = self._kept.popitem(last=False)
            self._admitted.discard(gone)
            del self._digests[gone]
            self._kept_chunks -= _chunks(dropped)

    def _check_admitted(self, manifest: Manifest) -> None:
        """Returns when a trusted key signed that policy admits the revision."""
        key = (manifest.model_name, manifest.revision)
        if key in self._admitted:
            return
        keys = self._keys
        fresh = Freshness(datetime.now(UTC))
        prefix = record_key(manifest.model_name, manifest.revision, f"attestations/{Kind.SUMMARY.value}.")
        for count, stored in enumerate(self.store.list(prefix)):
            if count >= MAX_SUMMARIES:
                break
            try:
                said = open_summary(read_record(self.store, stored.key), manifest, self._verifier, fresh=fresh)
            except TrustError:
                continue
            if said.passed:
                with self._lock:
                    if keys == self._keys and key in self._kept:
                        self._admitted.add(key)
                return
        raise NothingCollected(f"{manifest.reference} is not approved here", hint=_PROMOTING)


def _misses(index: Index, model_name: ModelName, ref: str) -> bool:
    """Whether a ref names a channel that points nowhere."""
    return not is_revision(ref) and channel_of(ref) not in index.entries.get(model_name, {})


def _pointed(index: Index, model_name: ModelName, ref: str) -> tuple[str, str]:
    """The revision that a ref names, and the digest of its manifest when a channel names that."""
    channels = index.entries.get(model_name, {})
    if is_revision(ref):
        named = next((one.manifest_sha256 for one in channels.values() if one.revision == ref), "")
        return ref, named
    pointed = channels.get(channel_of(ref))
    if pointed is None:
        raise NothingCollected(
            f"{model_name} has no approved revision under {ref!r:.100}",
            hint=_PROMOTING,
        )
    return pointed.revision, pointed.manifest_sha256


def _open_channels(index: Index, model_name: ModelName) -> dict[str, str]:
    return {
        channel: pointed.revision
        for channel, pointed in sorted(index.entries.get(model_name, {}).items())
        if (model_name, pointed.revision) not in index.revoked
    }


def _chunks(sealed: SealedRevision) -> int:
    return sum(len(artifact.chunks) for artifact in sealed.manifest.artifacts)
