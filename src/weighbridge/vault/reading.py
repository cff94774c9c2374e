"""Reads ranges of stored objects into memory, through cuts."""

from __future__ import annotations

from weighbridge.core.errors import Truncated, WeighbridgeError
from weighbridge.core.ports import ObjectStore
from weighbridge.vault.patience import brief_patience


def read_range(store: ObjectStore, key: str, start: int, end: int, *, version_id: str = "") -> bytes:
    """Exactly bytes `start` to `end` (excluded); a cut connection is taken up where it broke.

    Raises:
        ObjectMissing, LengthMismatch, StoreError: they cannot be read.
        Truncated: the object ended early, also after a few more tries.
    """
    buffer = bytearray(end - start)
    view, filled, patience = memoryview(buffer), 0, brief_patience()
    while filled < len(view):
        try:
            with store.open(key, start + filled, end, version_id=version_id) as stream:
                while filled < len(view):
                    count = stream.readinto(view[filled:])
                    if not count:
                        raise Truncated(f"'{key}' in {store.address} ended early")
                    filled += count
                    patience.moved(count)
        except WeighbridgeError as error:
            patience.failed(error)
    return bytes(buffer)
