"""The whole journey: pin, stream once, prove, inspect, seal, and write it into the ledger.

The order of writing decides what a crash leaves behind, and each of it is harmless:

1. artifacts appear one by one, whole and proven; without records they are orphans that the next run keeps or `gc` removes;
2. records are written, the seal last; a revision without its seal does not exist;
3. the ledger gets its event; a sealed revision without one is entered by the next run, or by `rebuild`;
4. the journal is removed.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from weighbridge.core import canonical
from weighbridge.core.config import TransferSettings
from weighbridge.core.errors import (
    AccessRefused,
    Conflict,
    DigestMismatch,
    IntegrityError,
    Interrupted,
    StoreError,
    WeighbridgeError,
)
from weighbridge.core.layout import INCOMING, model_prefix, revision_of
from weighbridge.core.manifest import Artifact, Manifest, content_revision
from weighbridge.core.ports import (
    ObjectStore,
    Observer,
    SignatureVerifier,
    Signer,
    Source,
    StoredObject,
    StoreFeature,
)
from weighbridge.core.snapshot import Entry, Snapshot
from weighbridge.store.ledger import Ledger
from weighbridge.transfer.inspecting import Inspecting, Session
from weighbridge.transfer.journal import Journal
from weighbridge.transfer.preflight import Preflight
from weighbridge.transfer.shards import MAX_INDEX_BYTES, check_index, is_index
from weighbridge.transfer.stream import Bridge, Crossed, Pass, part_size
from weighbridge.vault.chunks import prove_object
from weighbridge.vault.events import record_ingested
from weighbridge.vault.patience import Patience
from weighbridge.vault.readers import StoredReader
from weighbridge.vault.recorded import check_recorded
from weighbridge.vault.records import SealedRevision, is_sealed, open_revision, read_record, seal_revision


@dataclass(frozen=True, slots=True)
class Yard:
    """What an ingest needs besides its source."""

    store: ObjectStore
    ledger: Ledger
    signer: Signer
    verifier: SignatureVerifier
    settings: TransferSettings
    observer: Observer
    cancelled: threading.Event
    journals: Path
    actor: str
    clock: Callable[[], str]
    inspecting: Inspecting
    preflight: Preflight | None = None
    """The look ahead; None: what comes is stored first and judged then."""


@dataclass(frozen=True, slots=True)
class Ingested:
    """The outcome. `streamed_bytes` came over the network in this run; `how` counts artifacts by `streamed`, `copied`, `kept`."""

    revision: SealedRevision
    how: Mapping[str, int]
    streamed_bytes: int
    resumed: bool


def ingest(source: Source, yard: Yard, *, include: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> Ingested:
    """Brings one revision into the store.

    Raises:
        SourceError, IntegrityError: upstream would not hand over what it announced.
        StoreError, LedgerError, TrustError: our own side could not keep or sign it.
        Conflict: the revision is there already with another selection of files.
        Interrupted: cancelled; the next run goes on.
    """
    yard.store.check()
    snapshot = _patience(yard).call(source.pin)
    whole = snapshot
    snapshot = snapshot.select(include, exclude)
    if snapshot.revision and is_sealed(yard.store, snapshot.model_name, snapshot.revision):
        return _already_here(snapshot, yard)
    with Journal(
        yard.journals,
        _identity(snapshot, yard.store.address),
        started_at=yard.clock(),
        part_bytes=part_size(snapshot.entries, yard.settings.part_bytes),
    ) as journal:
        if yard.preflight is not None and not journal.resumed:
            yard.preflight.check(source, whole, snapshot)
        with yard.inspecting.session() as session:
            outcome = _Ingest(source, snapshot, yard, journal, session).run(whole)
        journal.finish()
        return outcome


def _identity(snapshot: Snapshot, store: str) -> str:
    """The same ingest has the same identity, so that a second run finds the first one's journal."""
    return canonical.digest(
        {
            "source": str(replace(snapshot.source, ref="")),
            "endpoint": snapshot.origin.endpoint,
            "model": str(snapshot.model_name),
            "revision": snapshot.revision,
            "store": store,
            "include": list(snapshot.include),
            "exclude": list(snapshot.exclude),
        }
    )[:32]


def _patience(yard: Yard) -> Patience:
    return Patience(yard.settings, yard.cancelled, lambda why, wait: yard.observer.retrying("", why, wait))


def _already_here(snapshot: Snapshot, yard: Yard) -> Ingested:
    """A sealed revision is not touched again; only the ledger may still lack it after a crash."""
    revision = open_revision(yard.store, snapshot.model_name, snapshot.revision, yard.verifier)
    manifest = revision.manifest
    if (manifest.include, manifest.exclude) != (snapshot.include, snapshot.exclude):
        raise Conflict(
            f"{manifest.reference} is already in {yard.store.address} with another selection of files",
            hint="A revision is sealed once. Ingest the other selection under another name with --as org/name.",
        )
    problems = check_recorded(yard.store, revision)
    if problems:
        raise IntegrityError(
            f"{manifest.reference} is in {yard.store.address}, but no longer as it was sealed: {problems[0].message}",
            hint=f"`weighbridge verify {manifest.reference}` lists all differences; restore the objects it names.",
        )
    record_ingested(yard.ledger, yard.store, revision, actor=yard.actor)
    return Ingested(revision, {"kept": len(manifest.artifacts)}, 0, resumed=False)


class _Ingest:
    """One run of one ingest."""

    def __init__(self, source: Source, snapshot: Snapshot, yard: Yard, journal: Journal, session: Session) -> None:
        self._source = source
        self._session = session
        self._snapshot = snapshot
        self._yard = yard
        self._journal = journal
        self._staged = not snapshot.revision
        self._prefix = (
            f"{INCOMING}{journal.identity}/" if self._staged else model_prefix(snapshot.model_name, snapshot.revision)
        )
        self._lock = threading.Lock()
        self._artifacts: dict[str, Artifact] = {}
        self._placed: dict[str, StoredObject] = {}
        self._sizes: dict[str, int] = {}
        self._how = {"streamed": 0, "copied": 0, "kept": 0}
        self._streamed_bytes = 0
        self._incoming: dict[str, StoredObject] = {}
        self._donors: dict[str, SealedRevision | None] = {}

    def run(self, whole: Snapshot) -> Ingested:
        """All steps after the pin; `whole` is what the source has, the selection included."""
        self._sizes = {entry.path: entry.size_bytes for entry in whole.entries}
        observer, snapshot = self._yard.observer, self._snapshot
        observer.planned(len(snapshot.entries), snapshot.total_bytes, 0)
        ahead = [entry for entry in snapshot.entries if not self._spared(entry)]
        indexes = [entry for entry in ahead if is_index(entry.path)]
        self._stream(indexes)
        self._check_indexes(frozenset(self._sizes))
        others = [entry for entry in ahead if not is_index(entry.path)]
        self._stream(sorted(others, key=lambda entry: (entry.size_bytes > self._journal.part_bytes, entry.path)))
        return self._seal()

    def _stream(self, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        yard = self._yard
        bridge = Bridge(self._source, yard.store, self._journal, yard.settings, yard.observer, yard.cancelled)
        Pass(bridge, prefix=self._prefix, done=self._landed).run(entries)

    def _landed(self, crossed: Crossed) -> None:
        self._take(crossed.artifact, crossed.stored, "streamed", head=crossed.head)
        with self._lock:
            self._streamed_bytes += crossed.artifact.size_bytes

    def _take(self, artifact: Artifact, stored: StoredObject, how: str, *, head: bytes = b"") -> None:
        self._session.inspect(StoredReader(self._yard.store, stored, artifact.path, head))
        with self._lock:
            self._artifacts[artifact.path] = artifact
            self._placed[artifact.path] = stored
            self._how[how] += 1

    def _spared(self, entry: Entry) -> bool:
        """Whether an artifact need not be read from the source."""
        if self._yard.cancelled.is_set():
            raise Interrupted("the ingest was stopped", hint="Run the same command again; it goes on where it stopped.")
        return self._kept(entry) or self._copied(entry)

    def _kept(self, entry: Entry) -> bool:
        """Takes an artifact that an earlier run brought in, if the store still shows it as it was."""
        known = self._journal.of(entry.path, entry.validator)
        if known.artifact is None or known.stored is None:
            return False
        try:
            self._prove_kept(known.artifact, known.stored)
        except (IntegrityError, StoreError):
            self._journal.forget(entry.path)
            return False
        self._arrive(entry, known.artifact, known.stored, "kept")
        return True

    def _prove_kept(self, artifact: Artifact, stored: StoredObject) -> None:
        """By the store's own checksum where it records one, else by reading the bytes back."""
        store = self._yard.store
        found = store.head(stored.key, version_id=stored.version_id)
        if found.size_bytes != stored.size_bytes or found.crc64nvme != stored.crc64nvme:
            raise DigestMismatch(f"'{stored.key}' changed since it was stored")
        if StoreFeature.RECORDED_CHECKSUMS not in store.features or not found.crc64nvme:
            prove_object(store, stored, artifact)

    def _copied(self, entry: Entry) -> bool:
        """Copies an artifact that the store already holds in a sealed revision, instead of fetching it."""
        if not (entry.sha256 or entry.git_sha1) or not entry.size_bytes:
            return False
        yard = self._yard
        twin = yard.ledger.catalog().find_artifact(
            store=yard.store.address, size_bytes=entry.size_bytes, sha256=entry.sha256, git_sha1=entry.git_sha1
        )
        donor = self._donor(twin.key) if twin else None
        if twin is None or donor is None:
            return False
        path = twin.key.split("/", 4)[4]
        original, placed = donor.manifest.artifact(path), donor.placed.get(path)
        if original is None or placed is None or entry.sha256 not in ("", original.sha256):
            return False
        if entry.git_sha1 not in ("", original.git_sha1):
            return False
        try:
            stored = yard.store.copy(placed.key, f"{self._prefix}{entry.path}", version_id=placed.version_id)
        except WeighbridgeError:
            return False
        proven = "sha256" if entry.sha256 else "git-sha1"
        artifact = replace(original, path=entry.path, git_sha1=entry.git_sha1, proven=proven)
        self._journal.artifact(entry.validator, artifact, stored)
        self._arrive(entry, artifact, stored, "copied")
        return True

    def _arrive(self, entry: Entry, artifact: Artifact, stored: StoredObject, how: str) -> None:
        self._take(artifact, stored, how)
        self._yard.observer.advanced(entry.path, entry.size_bytes, entry.size_bytes)
        self._yard.observer.finished(entry.path, how)

    def _donor(self, key: str) -> SealedRevision | None:
        """The verified revision that a key belongs to; one that does not verify gives nothing away."""
        found = revision_of(key)
        if found is None:
            return None
        name = f"{found[0]}@{found[1]}"
        if name not in self._donors:
            try:
                self._donors[name] = open_revision(self._yard.store, found[0], found[1], self._yard.verifier)
            except WeighbridgeError:
                self._donors[name] = None
        return self._donors[name]

    def _check_indexes(self, known_paths: frozenset[str]) -> None:
        for path in sorted(self._artifacts):
            if is_index(path) and self._artifacts[path].size_bytes <= MAX_INDEX_BYTES:
                data = read_record(self._yard.store, self._placed[path].key)
                if hashlib.sha256(data).hexdigest() == self._artifacts[path].sha256:
                    check_index(path, data, known_paths, of=str(self._snapshot.model_name))

    def _seal(self) -> Ingested:
        yard, snapshot = self._yard, self._snapshot
        artifacts = tuple(self._artifacts[path] for path in sorted(self._artifacts))
        manifest = Manifest(
            model_name=snapshot.model_name,
            revision=snapshot.revision or content_revision(artifacts),
            origin=snapshot.origin,
            artifacts=artifacts,
            include=snapshot.include,
            exclude=snapshot.exclude,
            created_at=self._journal.started_at,
        )
        inspection = self._session.finish(self._sizes)
        self._incoming = dict(self._placed) if self._staged else {}
        if not (self._staged and is_sealed(yard.store, manifest.model_name, manifest.revision)):
            self._settle(manifest)
            seal_revision(yard.store, manifest, self._placed, inspection, yard.signer, sealed_at=yard.clock())
        revision = open_revision(yard.store, manifest.model_name, manifest.revision, yard.verifier)
        record_ingested(yard.ledger, yard.store, revision, actor=yard.actor)
        self._clear_staging()
        return Ingested(revision, self._how, self._streamed_bytes, resumed=self._journal.resumed)

    def _settle(self, manifest: Manifest) -> None:
        """Moves staged artifacts under the revision that their bytes turned out to be."""
        if not self._staged:
            return
        prefix = model_prefix(manifest.model_name, manifest.revision)
        for artifact in manifest.artifacts:
            self._placed[artifact.path] = self._copy(self._incoming[artifact.path], f"{prefix}{artifact.path}")

    def _copy(self, staged: StoredObject, key: str) -> StoredObject:
        store = self._yard.store
        return _patience(self._yard).call(lambda: store.copy(staged.key, key, version_id=staged.version_id))

    def _clear_staging(self) -> None:
        for staged in self._incoming.values():
            # A bucket whose default retention locks everything keeps staged objects until `gc` may remove them.
            with suppress(AccessRefused):
                self._yard.store.delete(staged.key, version_id=staged.version_id)
