"""Reads ranges of open files and small files whole, writes files that appear whole, copies, and locks among processes."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from weighbridge.core.errors import AccessRefused, ConfigError, OutOfSpace, StoreError, Truncated

MAX_SMALL_BYTES = 64 * 1024
"""No key, password or secret is larger."""


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
            import shutil

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


def read_small(path: Path, what: str, *, limit: int = MAX_SMALL_BYTES) -> bytes:
    """The bytes of a small file that a person named; `what` names it in errors.

    Raises:
        ConfigError: it cannot be read, or is larger than any such file is.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise ConfigError(f"{what} cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise ConfigError(f"{what} is larger than {limit} bytes")
    return data


def replace_file(path: Path, data: bytes | memoryview, *, mode: int = 0o666, flush: bool = True) -> None:
    """Writes a file that appears whole under its name or not at all, in place of what was there.

    `mode` is narrowed by the process's umask. Without `flush` a power cut may leave an empty file.

    Raises:
        OSError: it cannot be written; nothing changed, and nothing is left behind.
    """
    staged = path.with_name(f".{os.urandom(8).hex()}.new")
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if flush:
                file.flush()
                os.fsync(file.fileno())
        staged.replace(path)
    except BaseException:
        with suppress(OSError):
            staged.unlink(missing_ok=True)
        raise


@contextmanager
def as_store_errors(what: str, *, room: str, access: str = "") -> Iterator[None]:
    """The system's errors within the block as ours; `room` and `access` say what to do where there is none.

    Raises:
        OutOfSpace, AccessRefused, StoreError: in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutOfSpace(f"{what}: there is no room left", hint=room) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise AccessRefused(f"{what}: {error.strerror}", hint=access) from error
        raise StoreError(f"{what}: {error.strerror or error}") from error


_POLL_SECONDS = 0.002


@contextmanager
def locked_file(path: Path, *, wait_seconds: float) -> Iterator[None]:
    """Holds an exclusive lock on a file, which is created where it is missing, among the processes of this machine.

    Raises:
        TimeoutError: another process held it for so long. OSError: the file cannot be created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            descriptor = hold_file(path)
            break
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise TimeoutError(f"'{path}' is locked") from None
            time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        os.close(descriptor)


def hold_file(path: Path) -> int:
    """Locks a file, which is created where it is missing, until the descriptor that this returns is closed.

    Raises:
        BlockingIOError: another process holds it. OSError: it cannot be created.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
