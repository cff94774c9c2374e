"""A sealed revision as a source, so that what is stored can be inspected like what lies upstream."""

from __future__ import annotations

from contextlib import AbstractContextManager

from weighbridge.core.names import Address
from weighbridge.core.ports import ByteStream, ObjectStore
from weighbridge.core.snapshot import Entry, Snapshot
from weighbridge.vault.records import SealedRevision


class StoredSource:
    """See `core.ports.Source`; reads the exact objects that the revision's placement names."""

    def __init__(self, store: ObjectStore, revision: SealedRevision) -> None:
        self._store = store
        self._revision = revision

    def pin(self) -> Snapshot:
        """The revision's manifest as a snapshot."""
        manifest = self._revision.manifest
        return Snapshot(
            model_name=manifest.model_name,
            source=Address("folder", f"{manifest.model_name}@{manifest.revision}"),
            origin=manifest.origin,
            entries=tuple(
                Entry(artifact.path, artifact.size_bytes, artifact.sha256, artifact.git_sha1)
                for artifact in manifest.artifacts
            ),
            revision=manifest.revision,
        )

    def open(self, entry: Entry, start: int, end: int) -> AbstractContextManager[ByteStream]:
        """Opens a range of a stored artifact.

        Raises:
            StoreError, IntegrityError: it is not there any more, or not that long.
        """
        placed = self._revision.placed[entry.path]
        return self._store.open(placed.key, start, end, version_id=placed.version_id)

    def close(self) -> None:
        """The store is somebody else's to close."""
