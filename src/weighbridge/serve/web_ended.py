"""Keeps which of the catalog's sessions were ended, in a file, so that a logout holds in every process and after a restart.

- One line for each: a digest of the session's random id, and when it began; a session that is too old to be taken is left
  out when the file is written again. Processes of one home append to the file, and read on when it has grown.
- At most `MAX_ENDED`: beyond that the older half is forgotten and every session that began before the newest of them is
  ended with it. Nothing that was ended is ever taken again.
- While the file cannot be read nobody is known to be logged in.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import threading
from pathlib import Path
from typing import Final

from weighbridge.core.errors import StoreUnreachable
from weighbridge.wire.files import locked_file, replace_file

MAX_ENDED: Final = 50_000
MAX_FILE_BYTES: Final = 8 * 1024 * 1024
_LINE = re.compile(rb"^([0-9a-f]{32}|-) (\d{1,12})\n", re.MULTILINE)
BEFORE: Final = "-"
"""In place of a digest: every session that began at this time or before is ended."""


def _digest(sid: str) -> str:
    return hashlib.sha256(sid.encode("utf-8")).hexdigest()[:32]


class EndedSessions:
    """See above. Thread-safe, and safe among processes. Without a path it is this process's own memory.

    `lifetime_seconds` is how long a session can be taken after it began.
    """

    def __init__(self, path: Path | None = None, *, lifetime_seconds: int, most: int = MAX_ENDED) -> None:
        self._path = path
        self._lifetime = lifetime_seconds
        self._most = most
        self._lock = threading.Lock()
        self._ended: dict[str, int] = {}
        self._before = 0
        self._read: tuple[int, int] = (0, 0)
        """Inode of the file, and how much of it was read."""

    def has(self, sid: str, began: int, *, now: int) -> bool:
        """Whether the session was ended; `began` and `now` are in seconds since 1970.

        Raises:
            StoreUnreachable: the file cannot be read, so that nobody knows.
        """
        with self._lock:
            self._read_on(now)
            return began <= self._before or _digest(sid) in self._ended

    def end(self, sid: str, began: int, *, now: int) -> None:
        """Ends a session; when this returns it is ended in every process.

        Raises:
            StoreUnreachable: it cannot be written down; it is ended in this process alone.
        """
        with self._lock:
            self._take(_digest(sid), began)
            if self._path is None:
                self._shrink(now)
                return
            try:
                self._append(f"{_digest(sid)} {began}\n".encode("ascii"), now)
            except OSError as error:
                raise StoreUnreachable(
                    f"the logout cannot be written down: '{self._path}': {error.strerror}",
                    hint="It holds here until the gateway starts again. Free or repair the disk, then log out again.",
                ) from error

    def _take(self, digest: str, began: int) -> None:
        if digest == BEFORE:
            self._before = max(self._before, began)
        else:
            self._ended[digest] = began

    def _shrink(self, now: int) -> None:
        """Forgets sessions that are too old to be taken; of too many others the older half, and ends all as old as those."""
        self._ended = {digest: began for digest, began in self._ended.items() if began + self._lifetime >= now}
        if len(self._ended) > self._most:
            oldest_first = sorted(self._ended.items(), key=lambda one: one[1])
            self._before = max(self._before, oldest_first[self._most // 2][1])
            self._ended = {digest: began for digest, began in self._ended.items() if began > self._before}

    # --- the file

    def _read_on(self, now: int) -> None:
        if self._path is None:
            return
        try:
            status = self._path.stat()
            inode, done = self._read
            if (status.st_ino, status.st_size) == self._read:
                return
            if status.st_ino != inode or status.st_size < done:
                done = 0
                self._shrink(now)
            if status.st_size - done > MAX_FILE_BYTES:
                raise StoreUnreachable(f"'{self._path}' is too large for a list of ended sessions")
            with self._path.open("rb") as file:
                file.seek(done)
                data = file.read(MAX_FILE_BYTES)
        except FileNotFoundError:
            # What was read before stays ended.
            self._read = (0, 0)
            return
        except OSError as error:
            raise StoreUnreachable(f"'{self._path}' cannot be read: {error.strerror}") from error
        # A line that is being written is read when it is whole.
        whole = data[: data.rfind(b"\n") + 1]
        for digest, began in _LINE.findall(whole):
            self._take(digest.decode("ascii"), int(began))
        self._read = (status.st_ino, done + len(whole))

    def _append(self, line: bytes, now: int) -> None:
        assert self._path is not None
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = self._path.with_name(f"{self._path.name}.lock")
        with locked_file(lock, wait_seconds=math.inf):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "ab") as file:
                # What a kill left of a line must not swallow this one.
                file.write(line if _ends_whole(self._path) else b"\n" + line)
                file.flush()
                os.fsync(file.fileno())
                size = file.tell()
            if size > 2 * self._most * len(line):
                self._write_again(now)

    def _write_again(self, now: int) -> None:
        assert self._path is not None
        self._read_on(now)
        self._shrink(now)
        lines = [f"{digest} {began}\n" for digest, began in self._ended.items()]
        text = "".join([f"{BEFORE} {self._before}\n", *lines])
        replace_file(self._path, text.encode("ascii"), mode=0o600)


def _ends_whole(path: Path) -> bool:
    size = path.stat().st_size
    if not size:
        return True
    with path.open("rb") as file:
        file.seek(size - 1)
        return file.read(1) == b"\n"
