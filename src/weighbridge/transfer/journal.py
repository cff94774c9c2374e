"""Remembers on disk how far an ingest came, so that a killed one goes on where it stopped.

One line per fact, each with a checksum, appended with a single write: a line that was acknowledged survives a SIGKILL, a
torn last line is ignored. The journal holds receipts, digests and hash states, never model bytes. It is deleted once the
revision is sealed.
"""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from weighbridge.core.canonical import Fields, JsonObject, JsonValue, decode_object, encode
from weighbridge.core.closing import Closing
from weighbridge.core.errors import Busy, ConfigError, FormatError, Malformed, OutOfSpace, StoreError
from weighbridge.core.manifest import Artifact
from weighbridge.core.ports import PartReceipt, StoredObject
from weighbridge.wire.files import hold_file


@dataclass(slots=True)
class Progress:
    """What the journal knows of one artifact: an upload and its parts, or the finished artifact."""

    validator: str = ""
    upload_id: str = ""
    receipts: dict[int, PartReceipt] = field(default_factory=dict)
    chunks: dict[int, tuple[str, ...]] = field(default_factory=dict)
    states: dict[int, str] = field(default_factory=dict)
    artifact: Artifact | None = None
    stored: StoredObject | None = None


class Journal(Closing):
    """The journal of one ingest, held by one process at a time. Thread-safe.

    Raises:
        Busy: another process runs the same ingest.
    """

    def __init__(self, folder: Path, identity: str, *, started_at: str, part_bytes: int) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ConfigError(f"'{folder}' cannot be made: {error.strerror}") from error
        self.identity = identity
        self.started_at = started_at
        self.part_bytes = part_bytes
        self.progress: dict[str, Progress] = {}
        self._path = folder / f"{identity}.jsonl"
        self._lock = threading.Lock()
        self._held = _hold(folder / f"{identity}.lock")
        self.resumed = self._read()
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        if not self.resumed:
            self._write({"fact": "plan", "started_at": started_at, "part_bytes": part_bytes})

    def _read(self) -> bool:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return False
        whole = 0
        for line in data.splitlines(keepends=True):
            fact = _parse(line)
            if fact is None:
                break
            try:
                self._apply(fact)
            except (Malformed, KeyError):
                break
            whole += len(line)
        if whole < len(data):
            os.truncate(self._path, whole)
        return whole > 0

    def _apply(self, fact: dict[str, JsonValue]) -> None:
        fields = Fields(fact, what="a line of the journal")
        kind = fields.text("fact")
        if kind == "plan":
            self.started_at = fields.text("started_at")
            self.part_bytes = fields.integer("part_bytes")
            return
        progress = self.progress.setdefault(fields.text("path"), Progress())
        if kind == "begin":
            self.progress[fields.text("path")] = Progress(fields.text("validator"), fields.text("upload_id"))
        elif kind == "part":
            receipt = PartReceipt(
                fields.integer("number"),
                fields.integer("offset"),
                fields.integer("size_bytes"),
                fields.text("etag"),
                fields.text("crc64nvme"),
            )
            progress.receipts[receipt.number] = receipt
            progress.chunks[receipt.number] = fields.texts("chunks")
            progress.states[receipt.number] = fields.text("state")
        elif kind == "artifact":
            progress.validator = fields.text("validator")
            progress.artifact = Artifact.from_json(fact["artifact"])
            stored = fields.fields("stored")
            progress.stored = StoredObject(
                stored.text("key"),
                stored.integer("size_bytes"),
                stored.text("version_id"),
                stored.text("etag"),
                stored.text("crc64nvme"),
            )
        elif kind == "forget":
            self.progress.pop(fields.text("path"), None)

    def _write(self, fact: JsonObject) -> None:
        body = encode(fact)
        line = b"%08x %s\n" % (zlib.crc32(body), body)
        with self._lock:
            end = os.fstat(self._descriptor).st_size
            try:
                written = os.write(self._descriptor, line)
            except OSError as error:
                raise StoreError(f"the journal '{self._path}' cannot be written: {error.strerror}") from error
            if written < len(line):
                os.ftruncate(self._descriptor, end)
                raise OutOfSpace(f"there is no room for the journal '{self._path}'", hint="Free space in the home.")

    def of(self, path: str, validator: str) -> Progress:
        """What is known of an artifact, when the source still shows it with the same validator."""
        known = self.progress.get(path)
        return known if known and known.validator == validator else Progress(validator)

    def begin(self, path: str, validator: str, upload_id: str) -> None:
        """An upload was begun."""
        self._write({"fact": "begin", "path": path, "validator": validator, "upload_id": upload_id})

    def part(self, path: str, receipt: PartReceipt, chunks: tuple[str, ...], state: str | None) -> None:
        """A part is stored; `state` is the artifact's SHA-256 after it."""
        self._write({"fact": "part", "path": path, "chunks": list(chunks), "state": state or "", **asdict(receipt)})

    def artifact(self, validator: str, artifact: Artifact, stored: StoredObject) -> None:
        """An artifact is in place, whole and proven."""
        self._write(
            {
                "fact": "artifact",
                "path": artifact.path,
                "validator": validator,
                "artifact": artifact.to_json(),
                "stored": asdict(stored),
            }
        )

    def forget(self, path: str) -> None:
        """An artifact must be begun anew."""
        self.progress.pop(path, None)
        self._write({"fact": "forget", "path": path})

    def finish(self) -> None:
        """Removes the journal: there is nothing left to resume."""
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Lets another process take up the ingest."""
        os.close(self._descriptor)
        os.close(self._held)


def _hold(path: Path) -> int:
    try:
        return hold_file(path)
    except BlockingIOError as error:
        raise Busy(
            "the same ingest is already running", hint="Wait for it, or stop it; it can be taken up again."
        ) from error
    except OSError as error:
        raise ConfigError(f"'{path}' cannot be written: {error.strerror}") from error


def _parse(line: bytes) -> dict[str, JsonValue] | None:
    if not line.endswith(b"\n") or line[8:9] != b" ":
        return None
    body = line[9:-1]
    if line[:8] != b"%08x" % zlib.crc32(body):
        return None
    try:
        return decode_object(body, what="a line of the journal")
    except FormatError:
        return None


def running(folder: Path) -> Iterator[str]:
    """Identities of ingests that a process holds right now."""
    for path in sorted(folder.glob("*.lock")):
        try:
            os.close(_hold(path))
        except Busy:
            yield path.stem


def waiting(folder: Path) -> Iterator[str]:
    """Identities of ingests that were interrupted and can be resumed."""
    held = set(running(folder))
    yield from (path.stem for path in sorted(folder.glob("*.jsonl")) if path.stem not in held)
