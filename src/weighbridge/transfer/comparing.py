"""Compares a revision with another where each of them lies: sealed in a store, or at its source by ranged reads only.

Of a side at its source only what changed is inspected; a sealed side has its inspection. Where one side was brought in by a
selection of files, the same is chosen from the other's source.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from weighbridge.core.config import TransferSettings
from weighbridge.core.finding import Inspection
from weighbridge.core.ports import ObjectStore, Source
from weighbridge.core.snapshot import Entry, Snapshot
from weighbridge.drift.change import Difference
from weighbridge.drift.compare import Options, compare
from weighbridge.drift.files import Pairing, pair
from weighbridge.drift.side import Side
from weighbridge.transfer.fetch import fetch
from weighbridge.vault.patience import Patience
from weighbridge.vault.readers import StoredReader
from weighbridge.vault.records import SealedRevision

Inspect = Callable[[Source, Snapshot, Snapshot], Inspection]
"""Inspects a selection (the last) of a source's whole snapshot."""


@dataclass(frozen=True, slots=True)
class Opened:
    """One side, and what it is inspected from where it is not sealed. `selection` is what a sealed one was brought in by."""

    side: Side
    source: Source | None = None
    snapshot: Snapshot | None = None
    selection: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())


@dataclass(frozen=True, slots=True)
class ComparedSides:
    """What differs, which files did, and both sides with their inspections: of a side at its source, of what changed."""

    difference: Difference
    pairing: Pairing
    before: Opened
    after: Opened


@dataclass(frozen=True, slots=True)
class UpstreamReader:
    """An artifact at its source as a `core.ports.RangeReader`: exactly what is asked for, through cuts."""

    source: Source
    settings: TransferSettings
    stop: threading.Event
    entry: Entry

    @property
    def path(self) -> str:
        """The artifact's path."""
        return self.entry.path

    @property
    def size_bytes(self) -> int:
        """The artifact's announced size."""
        return self.entry.size_bytes

    def read(self, offset: int, length: int) -> bytes:
        """Bytes `offset` to `offset + length`, fewer at the end.

        Raises:
            SourceError, IntegrityError: they cannot be read.
        """
        buffer = bytearray(max(0, min(length, self.size_bytes - offset)))
        patience = Patience(self.settings, self.stop, lambda _reason, _seconds: None)
        fetch(self, self.entry, offset, memoryview(buffer), lambda _view: None, patience, self.stop)
        return bytes(buffer)


def open_stored(store: ObjectStore, revision: SealedRevision, inspection: Inspection) -> Opened:
    """A sealed revision as a side, with its newest inspection."""
    manifest = revision.manifest
    side = Side.of_manifest(
        manifest, lambda path: StoredReader(store, revision.placed[path], path), inspection=inspection
    )
    return Opened(side, selection=(manifest.include, manifest.exclude))


def open_upstream(
    source: Source, settings: TransferSettings, cancelled: threading.Event, notify: Callable[[str], None]
) -> Opened:
    """What a source holds now, pinned, as a side; `notify` is told why it has to wait.

    Raises:
        SourceError: it does not answer.
    """
    snapshot = Patience(settings, cancelled, lambda reason, _seconds: notify(reason)).call(source.pin)
    entries = {entry.path: entry for entry in snapshot.entries}
    source_name = str(snapshot.source)
    name = f"{source_name.partition('@')[0]}@{snapshot.revision}" if snapshot.revision else source_name
    side = Side.of_snapshot(name, snapshot, lambda path: UpstreamReader(source, settings, cancelled, entries[path]))
    return Opened(side, source, snapshot)


def compare_opened(before: Opened, after: Opened, inspect: Inspect, options: Options) -> ComparedSides:
    """All changes from one side to the other; `inspect` is called for sides at their source, of what changed there.

    Raises:
        SourceError, StoreError, IntegrityError: a side could not be read.
        NothingCollected: the selection of the one leaves nothing of the other.
    """
    before, after = _alike(before, after), _alike(after, before)
    pairing = pair(before.side, after.side)
    before = _inspected(before, {*pairing.differing, *pairing.removed}, inspect)
    after = _inspected(after, {*pairing.touched}, inspect)
    return ComparedSides(compare(before.side, after.side, options, pairing=pairing), pairing, before, after)


def _alike(one: Opened, other: Opened) -> Opened:
    """Where the other was brought in by a selection, the same of this one's source."""
    if one.snapshot is None or not any(other.selection):
        return one
    selected = one.snapshot.select(*other.selection)
    files = {entry.path: entry for entry in selected.entries}
    return replace(one, snapshot=selected, side=replace(one.side, files=files))


def _inspected(opened: Opened, paths: set[str], inspect: Inspect) -> Opened:
    """The side with its inspection: the sealed one, or made now of the files that changed."""
    side = opened.side
    if opened.source is None or opened.snapshot is None or not paths:
        return replace(opened, side=replace(side, inspection=side.inspection or Inspection((), "")))
    entries = tuple(entry for entry in opened.snapshot.entries if entry.path in paths)
    found = inspect(opened.source, opened.snapshot, replace(opened.snapshot, entries=entries))
    return replace(opened, side=replace(side, inspection=found))
