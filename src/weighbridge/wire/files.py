"""Reads ranges of open files, copies files, makes what was written to folders last, and locks among processes."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
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


_POLL_SECONDS = 0.002


@contextmanager
def locked_file(path: Path, *, wait_seconds: float) -> Iterator[None]:
    """Holds an exclusive lock on a file, which is created where it is missing, among the processes of this machine.

    Raises:
        TimeoutError: another process held it for so long. OSError: the file cannot be created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        deadline = time.monotonic() + wait_seconds
        while not _try_lock(descriptor):
            if time.monotonic() >= deadline:
                raise TimeoutError(f"'{path}' is locked")
            time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
