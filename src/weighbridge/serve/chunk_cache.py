"""Keeps chunks of a distant store on the local disk, under their BLAKE3 digest; nothing in it is believed.

- Every hit is held against its digest, read whole, or a piece of it against a digest of that piece; what does not fit is
  removed and counts as a miss.
- A file appears whole, by renaming; only regular files of the right size are read, links are not followed.
- The bytes stay under `size_bytes`; what was used least recently goes first. What lies in the folder at the start is taken
  over by size and time of use, at most `MAX_FILES` of it; everything else that is found there is removed.
"""

from __future__ import annotations

import os
import re
import stat
import threading
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Final

from blake3 import blake3

from weighbridge.core.digests import CHUNK_BYTES
from weighbridge.core.errors import ConfigError
from weighbridge.wire.files import replace_file

MAX_FILES: Final = 1_000_000
MIN_BYTES: Final = 4 * CHUNK_BYTES
_NAME = re.compile(r"[0-9a-f]{64}")


class ChunkCache:
    """See above. Thread-safe; one process has the folder at a time, another one may begin while it ends."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        if size_bytes < MIN_BYTES:
            raise ConfigError(f"a chunk cache of {size_bytes} bytes is too small", hint=f"Give at least {MIN_BYTES}.")
        self._folder = folder
        self._most = size_bytes
        self._lock = threading.Lock()
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._total = 0
        self.hits = 0
        self.misses = 0
        self.rejected = 0
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._take_over()
        except OSError as error:
            raise ConfigError(f"the chunk cache '{folder}' cannot be used: {error.strerror}") from error

    @property
    def total_bytes(self) -> int:
        """The bytes that are kept."""
        return self._total

    def read(self, digest: str, view: memoryview) -> bool:
        """Fills `view` with the chunk when it is here, whole and unaltered."""
        with self._lock:
            known = self._sizes.get(digest) == len(view)
        return self._counted(known and self._proven(digest, 0, view, proof=bytes.fromhex(digest)))

    def read_piece(self, digest: str, start: int, view: memoryview, *, proof: bytes) -> bool:
        """Fills `view` with the chunk's bytes from `start` on when it is here, and they have the BLAKE3 digest `proof`."""
        with self._lock:
            known = start + len(view) <= self._sizes.get(digest, -1)
        return self._counted(known and self._proven(digest, start, view, proof=proof))

    def _counted(self, hit: bool) -> bool:
        self.hits += hit
        self.misses += not hit
        return hit

    def _proven(self, digest: str, start: int, view: memoryview, *, proof: bytes) -> bool:
        if not self._read(digest, start, view):
            return False
        if blake3(view).digest() != proof:
            self.rejected += 1
            self._drop(digest)
            return False
        with self._lock:
            if digest in self._sizes:
                self._sizes.move_to_end(digest)
        return True

    def _read(self, digest: str, start: int, view: memoryview) -> bool:
        with self._lock:
            size = self._sizes.get(digest, -1)
        filled = 0
        try:
            descriptor = os.open(self._path(digest), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            self._drop(digest)
            return False
        try:
            found = os.fstat(descriptor)
            if stat.S_ISREG(found.st_mode) and found.st_size == size:
                while filled < len(view) and (count := os.preadv(descriptor, [view[filled:]], start + filled)):
                    filled += count
                os.utime(descriptor)
        except OSError:
            filled = 0
        finally:
            os.close(descriptor)
        if filled != len(view):
            self._drop(digest)
        return filled == len(view)

    def write(self, digest: str, view: memoryview) -> None:
        """Keeps a proven chunk; a full or failing disk keeps nothing and is no error."""
        with self._lock:
            if digest in self._sizes:
                return
        path = self._path(digest)
        try:
            path.parent.mkdir(exist_ok=True, mode=0o700)
            replace_file(path, view, mode=0o600, flush=False)
        except OSError:
            return
        self._added(digest, len(view))

    def _added(self, digest: str, size: int) -> None:
        gone = []
        with self._lock:
            self._total += size - self._sizes.pop(digest, 0)
            self._sizes[digest] = size
            while self._total > self._most and len(self._sizes) > 1:
                oldest, freed = self._sizes.popitem(last=False)
                self._total -= freed
                gone.append(oldest)
        for one in gone:
            self._unlink(one)

    def _drop(self, digest: str) -> None:
        with self._lock:
            self._total -= self._sizes.pop(digest, 0)
        self._unlink(digest)

    def _unlink(self, digest: str) -> None:
        with suppress(OSError):
            self._path(digest).unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / digest

    def _take_over(self) -> None:
        found: list[tuple[float, str, int]] = []
        for item in self._folder.iterdir():
            if item.is_symlink() or not item.is_dir() or len(item.name) != 2:
                # What another process is writing, or wrote when it was killed.
                if item.name.startswith(".") and item.name.endswith(".new"):
                    item.unlink(missing_ok=True)
                continue
            found.extend(_files(item, MAX_FILES - len(found)))
        for _, name, size in sorted(found):
            self._added(name, size)


def _files(folder: Path, most: int) -> list[tuple[float, str, int]]:
    found: list[tuple[float, str, int]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            described = entry.stat(follow_symlinks=False)
            fits = stat.S_ISREG(described.st_mode) and described.st_size <= CHUNK_BYTES
            if fits and len(found) < most and _NAME.fullmatch(entry.name) and entry.name.startswith(folder.name):
                found.append((described.st_mtime, entry.name, described.st_size))
            elif not stat.S_ISDIR(described.st_mode):
                Path(entry.path).unlink(missing_ok=True)
    return found
