"""Reads how far running and interrupted ingests are, from their journals: files that are read and never locked or changed.

A journal (`transfer.journal`) is lines of a checksum and a fact. It does not say what an ingest will still fetch, so what is
told is what has arrived, and when the last fact was written.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from weighbridge.core.errors import StoreError
from weighbridge.core.layout import revision_of

MAX_JOURNALS: Final = 100
MAX_BYTES: Final = 16 * 1024 * 1024
MAX_FILES: Final = 20


@dataclass(frozen=True, slots=True)
class FileProgress:
    """One file: bytes that arrived, and whether it is whole."""

    path: str
    arrived_bytes: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Ingest:
    """One ingest. `reference` is "" until its first file is whole; times are RFC 3339 in UTC.

    `cut` says that the journal is longer than what was read of it.
    """

    identity: str
    reference: str
    started_at: str
    written_at: str
    arrived_bytes: int
    whole_files: int
    files: tuple[FileProgress, ...]
    idle_seconds: int
    cut: bool = False


def ingests(folder: Path | None, *, now: datetime) -> list[Ingest]:
    """All journals of a home, the latest written first.

    Raises:
        StoreError: the folder cannot be read.
    """
    if folder is None or not folder.is_dir():
        return []
    try:
        paths = sorted(folder.glob("*.jsonl"))[:MAX_JOURNALS]
        found = [one for path in paths if (one := _ingest(path, now)) is not None]
    except OSError as error:
        raise StoreError(f"the journals of the home cannot be read: {error.strerror}") from error
    return sorted(found, key=lambda one: one.written_at, reverse=True)


def _ingest(path: Path, now: datetime) -> Ingest | None:
    try:
        with path.open("rb") as journal:
            data = journal.read(MAX_BYTES + 1)
        written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except FileNotFoundError:
        return None
    started, reference = "", ""
    parts: dict[str, dict[int, int]] = {}
    whole: dict[str, int] = {}
    for line in data[:MAX_BYTES].splitlines():
        fact = _fact(line)
        if fact is None:
            break
        name = str(fact.get("path", ""))
        if fact.get("fact") == "plan":
            started = str(fact.get("started_at", ""))
        elif fact.get("fact") in ("begin", "forget"):
            parts.pop(name, None)
            whole.pop(name, None)
        elif fact.get("fact") == "part":
            parts.setdefault(name, {})[_whole(fact.get("number"))] = _whole(fact.get("size_bytes"))
        elif fact.get("fact") == "artifact":
            stored = fact.get("stored")
            key, size = (stored.get("key"), stored.get("size_bytes")) if isinstance(stored, dict) else ("", 0)
            whole[name] = _whole(size)
            reference = reference or _reference(str(key))
    files = [FileProgress(name, sum(sizes.values()), whole=False) for name, sizes in parts.items() if name not in whole]
    files += [FileProgress(name, size, whole=True) for name, size in reversed(whole.items())]
    return Ingest(
        path.stem[:64],
        reference,
        started,
        written.isoformat(timespec="seconds").replace("+00:00", "Z"),
        sum(one.arrived_bytes for one in files),
        len(whole),
        tuple(files[:MAX_FILES]),
        max(0, int((now - written).total_seconds())),
        len(data) > MAX_BYTES,
    )


def _fact(line: bytes) -> dict[str, object] | None:
    checksum, _, body = line.partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(body):
            return None
        fact = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return fact if isinstance(fact, dict) else None


def _reference(key: str) -> str:
    found = revision_of(key)
    return f"{found[0]}@{found[1]}" if found else ""


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
