"""Reads ranges of open files, copies files, and makes what was written to folders last."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from pathlib import Path

from weighbridge.core.errors import Truncated


class FileRange:
    """Bytes `start` to `end` (excluded) of an open file, as a `core.ports.ByteStream`; `name` is for errors.

    Raises:
        Truncated: the file became shorter.
    """

    def __init__(self, descriptor: int, name: str, start: int, end: int) -> None:
        self._descriptor = descriptor
        self._name = name
        self._offset = start
        self._end = end

    def readinto(self, view: memoryview, /) -> int:
        """Fills up to `len(view)` bytes; 0 only at the end of the range."""
        left = self._end - self._offset
        if not left:
            return 0
        count = os.preadv(self._descriptor, [view[:left]], self._offset)
        if not count:
            raise Truncated(f"'{self._name}' became shorter while it was read")
        self._offset += count
        return count


_FICLONE = 0x40049409
"""Linux, linux/fs.h: two files share their blocks until one of them is written to."""
_CANNOT_SHARE = frozenset((errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS))


def copy_file(source: Path, target: Path) -> None:
    """Copies a regular file to a new one and flushes it; never follows a link.

    Raises:
        OSError: the target exists, or it cannot be read or written.
    """
    reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with os.fdopen(reading, "rb") as taken, target.open("xb") as made:
        try:
            fcntl.ioctl(made.fileno(), _FICLONE, taken.fileno())
        except OSError as error:
            if error.errno not in _CANNOT_SHARE:
                raise
            shutil.copyfileobj(taken, made, 16 * 1024 * 1024)
        made.flush()
        os.fsync(made.fileno())


def flush_folder(folder: Path) -> None:
    """Makes names that appeared in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
