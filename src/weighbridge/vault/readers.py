"""Gives inspectors random access to a stored artifact, from its captured beginning where that is enough."""

from __future__ import annotations

from weighbridge.core.errors import LimitExceeded
from weighbridge.core.ports import ObjectStore, StoredObject
from weighbridge.vault.reading import read_range

MAX_READ_BYTES = 128 * 1024 * 1024
"""No inspector may ask for more at once (the largest honest header, safetensors', is 100 MB)."""


class StoredReader:
    """See `core.ports.RangeReader`; reads the exact version that was stored."""

    def __init__(self, store: ObjectStore, stored: StoredObject, path: str, head: bytes = b"") -> None:
        self._store = store
        self._stored = stored
        self._head = head
        self._path = path

    @property
    def path(self) -> str:
        """The artifact's path."""
        return self._path

    @property
    def size_bytes(self) -> int:
        """The artifact's size."""
        return self._stored.size_bytes

    def read(self, offset: int, length: int) -> bytes:
        """Bytes `offset` to `offset + length`, fewer at the end.

        Raises:
            LimitExceeded: more than `MAX_READ_BYTES` were asked for.
        """
        if length > MAX_READ_BYTES:
            raise LimitExceeded(f"{length} bytes of '{self._path}' were asked for at once")
        end = min(offset + length, self.size_bytes)
        if end <= offset:
            return b""
        if end <= len(self._head):
            return self._head[offset:end]
        return read_range(self._store, self._stored.key, offset, end, version_id=self._stored.version_id)
