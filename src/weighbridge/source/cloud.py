"""Reads a model from a prefix of a Google Cloud Storage bucket (`gs://`) or an Azure container (`az://`).

What is listed is pinned by each object's ETag (obstore lists no versions), which every read demands with `If-Match`: an
object that changes while it is read is an error. The revision is known only once the bytes are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from weighbridge.core.errors import (
    Conflict,
    ContentChanged,
    SourceError,
)
from weighbridge.core.names import Address, ModelName
from weighbridge.core.ports import ByteStream
from weighbridge.core.snapshot import Entry, Snapshot
from weighbridge.source.prefix import MAX_ENTRIES, as_source_error, snapshot_of
from weighbridge.wire.cloud import CloudBucket, Nothing


class CloudSource:
    """See `core.ports.Source`.

    Raises:
        ConfigError: the extra `cloud` is not installed, or the environment does not say which account.
    """

    def __init__(self, address: Address, *, as_name: ModelName | None = None) -> None:
        self._address = address
        self._as_name = as_name
        self._prefix = f"{address.prefix}/" if address.prefix else ""
        self._bucket = CloudBucket(address)

    def pin(self) -> Snapshot:
        """Lists the objects under the prefix with their ETags.

        Raises:
            NotFound: there are none. Gated, Unreachable, SourceError: the service's answer.
            UnsafePath: a key that must not be stored.
        """
        with as_source_error():
            entries, newest = self._list()
        return snapshot_of(self._address, entries, newest=newest, as_name=self._as_name)

    def _list(self) -> tuple[list[Entry], str]:
        entries: list[Entry] = []
        newest = ""
        for item in self._bucket.list(self._prefix, what=f"listing {self._address}"):
            path = item.path[len(self._prefix) :]
            if not item.etag:
                raise SourceError(f"'{path}' in {self._address} has no ETag, so it cannot be pinned")
            entries.append(Entry(path, item.size_bytes, validator=f"{item.version_id}/{item.etag}"))
            newest = max(newest, item.modified_at)
            if len(entries) > MAX_ENTRIES:
                raise SourceError(f"{self._address} holds more than {MAX_ENTRIES} objects")
        return _without_markers(entries), newest

    @contextmanager
    def open(self, entry: Entry, start: int, end: int) -> Iterator[ByteStream]:
        """Opens bytes `start` to `end` (excluded), as long as the object still has the pinned ETag."""
        if start >= end:
            yield Nothing()
            return
        version, _, etag = entry.validator.partition("/")
        what = f"reading '{entry.path}' in {self._address}"
        with as_source_error():
            try:
                body = self._bucket.get(
                    f"{self._prefix}{entry.path}", (start, end), version_id=version, if_match=etag, what=what
                )
            except Conflict as error:
                raise ContentChanged(f"'{entry.path}' in {self._address} changed while it was read") from error
            yield body

    def close(self) -> None:
        """Nothing to do: obstore keeps its own pool of connections."""


def _without_markers(entries: list[Entry]) -> list[Entry]:
    """Without the empty objects that stand for folders in consoles (`sub/`, which obstore lists as `sub`)."""
    folders = {entry.path[:end] for entry in entries for end, letter in enumerate(entry.path) if letter == "/"}
    return [entry for entry in entries if entry.size_bytes or entry.path not in folders]
