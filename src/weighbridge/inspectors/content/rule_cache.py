"""Keeps compiled malware rules between runs: compiling them takes longer than a small scan.

What is kept is found by a digest of everything that went into it (the rules' texts, the engine's own file), and is used
only when it is what was written: the file and its folder belong to this user, nobody else can write to them, and the bytes
have their digest. Whoever can get around that is this user, and could change the program itself. Anything else, and any
failure, means that the rules are compiled as if nothing were kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from weighbridge.core.folders import cache_folder

_FORMAT: Final = b"weighbridge compiled rules 1"
_SUFFIX: Final = ".rules"
_DIGEST_BYTES: Final = 32
MAX_BYTES: Final = 64 * 1024 * 1024
MAX_FILES: Final = 8
_OTHERS_MAY_WRITE: Final = 0o022


def folder() -> Path:
    """Where compiled rules are kept; it need not exist."""
    return Path(cache_folder()) / "rules"


def key_of(parts: Iterable[str], engine: Path) -> str:
    """The name of what these texts compile to with this engine; "" when the engine cannot be told apart from others."""
    try:
        found = engine.stat()
    except OSError:
        return ""
    digest = hashlib.sha256(_FORMAT)
    for part in (str(engine), str(found.st_size), str(found.st_mtime_ns), *parts):
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def recall(key: str) -> bytes | None:
    """What was kept under a key; None when there is nothing, or nothing to be trusted."""
    place = folder()
    try:
        if not key or not _is_ours(os.lstat(place), stat.S_ISDIR):
            return None
        descriptor = os.open(place / f"{key}{_SUFFIX}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not _is_ours(found, stat.S_ISREG) or found.st_nlink != 1 or found.st_size > MAX_BYTES:
            return None
        try:
            kept = file.read(MAX_BYTES)
        except OSError:
            return None
    digest, data = kept[:_DIGEST_BYTES], kept[_DIGEST_BYTES:]
    return data if digest == _digest(key, data) else None


def keep(key: str, data: bytes) -> None:
    """Keeps bytes under a key, if that can be done safely; the oldest others make room."""
    place = folder()
    # Without a home there is no absolute place.
    if not key or len(data) > MAX_BYTES - _DIGEST_BYTES or not place.is_absolute():
        return
    from weighbridge.wire.files import replace_file

    with contextlib.suppress(OSError):
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not _is_ours(os.lstat(place), stat.S_ISDIR):
            return
        replace_file(place / f"{key}{_SUFFIX}", _digest(key, data) + data, mode=0o600, flush=False)
        _make_room(place)


def _make_room(place: Path) -> None:
    kept = sorted(place.glob(f"*{_SUFFIX}"), key=lambda path: path.lstat().st_mtime, reverse=True)
    for path in kept[MAX_FILES:]:
        path.unlink(missing_ok=True)


def _is_ours(found: os.stat_result, of_sort: Callable[[int], bool]) -> bool:
    return of_sort(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & _OTHERS_MAY_WRITE


def _digest(key: str, data: bytes) -> bytes:
    return hashlib.sha256(key.encode("ascii") + data).digest()
