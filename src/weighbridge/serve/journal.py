"""The journal of downloads: lines on disk before an answer begins, taken from there into the ledger.

Rules:

- a line that `begin` was awaited for is on the disk (fsync); many that come at once share one fsync;
- a journal is a row of segments, `<gateway>-<number>.jsonl`, in a folder that several gateways may share; each gateway holds
  a lock on `<gateway>.lock` while it lives, so that what a dead one left can be told from what a living one writes;
- when a segment is closed, downloads that still run are written into the next one first: a download whose end is not in
  its segment is in the next segment, or was never ended;
- a last line that was cut by a crash was never awaited for to the end. It is left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import queue
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from weighbridge.core import canonical
from weighbridge.core.canonical import Fields
from weighbridge.core.errors import Busy, FormatError, OutOfSpace, StoreError
from weighbridge.wire.files import hold_file

SEGMENT_BYTES: Final = 1024 * 1024
BACKLOG_BYTES: Final = 256 * 1024 * 1024
"""While the ledger takes nothing, this much waits; then no download begins any more."""
_SEGMENT = re.compile(r"([0-9a-f]{16})-(\d{8})\.jsonl")
_TICK_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Download:
    """One download. `at` is RFC 3339; `sent_bytes` -1 while it runs, or when the gateway died before it ended."""

    number: int
    at: str
    who: str
    address: str
    model: str
    revision: str
    path: str
    status: int
    sent_bytes: int = -1
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment on disk, and whose it is."""

    path: Path
    gateway: str
    number: int

    @property
    def name(self) -> str:
        """Names the segment for ever."""
        return f"{self.gateway}-{self.number:08d}"


def segments_in(folder: Path) -> list[Segment]:
    """All segments of a folder, by gateway and age."""
    found = [(_SEGMENT.fullmatch(path.name), path) for path in folder.iterdir()]
    return sorted(
        (Segment(path, match[1], int(match[2])) for match, path in found if match is not None),
        key=lambda one: (one.gateway, one.number),
    )


def read_segment(path: Path) -> tuple[list[Download], list[Download], int]:
    """The downloads that ended, those that did not, and how many lines could not be read (a cut last line is none)."""
    begun: dict[int, Download] = {}
    ended: list[Download] = []
    damaged = 0
    *lines, _cut = path.read_bytes().split(b"\n")
    for line in filter(None, lines):
        try:
            record = canonical.decode_object(line, what="a line of the journal")
            fields = Fields(record, what="a line of the journal")
            number = fields.integer("number")
            if "sent_bytes" not in record:
                begun[number] = _begun(number, fields)
            elif number in begun:
                whole = fields.boolean("whole")
                ended.append(replace(begun.pop(number), sent_bytes=fields.integer("sent_bytes"), whole=whole))
        except FormatError:
            damaged += 1
    return ended, list(begun.values()), damaged


def _begun(number: int, fields: Fields) -> Download:
    at, who, address, model, revision, path = (
        fields.text(name) for name in ("at", "who", "address", "model", "revision", "path")
    )
    return Download(number, at, who, address, model, revision, path, fields.integer("status"))


def _begun_line(one: Download) -> bytes:
    names = ("number", "at", "who", "address", "model", "revision", "path", "status")
    return canonical.encode({name: getattr(one, name) for name in names}) + b"\n"


class GatewayLock:
    """The lock that tells that a gateway lives. A context manager."""

    def __init__(self, folder: Path, gateway: str) -> None:
        self._path = folder / f"{gateway}.lock"
        try:
            self._descriptor = hold_file(self._path)
        except BlockingIOError as error:
            raise Busy(f"another process holds '{self._path.name}'") from error

    def release(self, *, remove: bool) -> None:
        """Lets go; `remove` when nothing of the gateway is left."""
        if remove:
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


@dataclass(slots=True)
class _Order:
    """A line to write: that a download begins, and whom to tell when that is on the disk; or that it ended."""

    number: int
    line: bytes
    begins: Download | None = None
    told: Callable[[StoreError | None], None] | None = None


class Journal:
    """One gateway's journal, written by a thread of its own.

    `closed` is called in that thread with each segment that is complete.

    Raises:
        StoreError: the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        *,
        closed: Callable[[Segment], None],
        segment_seconds: float,
        segment_bytes: int = SEGMENT_BYTES,
        backlog_bytes: int = BACKLOG_BYTES,
    ) -> None:
        self.gateway = secrets.token_hex(8)
        self.folder = folder
        self._closed = closed
        self._segment_seconds = segment_seconds
        self._segment_bytes = segment_bytes
        self._backlog_bytes = backlog_bytes
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._numbers = itertools.count(1)
        self._running: dict[int, Download] = {}
        """What the present segment says that it runs; the writing thread's alone."""
        self._torn = False
        with _as_store_error(folder):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._held = GatewayLock(folder, self.gateway)
            self._segment = Segment(folder / f"{self.gateway}-{0:08d}.jsonl", self.gateway, 0)
            self._descriptor = self._create(self._segment)
        self._begin_segment(carried=0)
        self._thread = threading.Thread(target=self._write, name="journal", daemon=True)
        self._thread.start()

    # --- for whoever serves

    async def begin(self, download: Download) -> int:
        """Writes that a download begins, and returns its number once that is on the disk.

        Raises:
            StoreError: it could not be written; the download must not begin.
        """
        if not self._thread.is_alive():
            raise StoreError("the journal of downloads has ended")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def tell(error: StoreError | None) -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, error)

        def settle(error: StoreError | None) -> None:
            if not future.done():
                future.set_exception(error) if error is not None else future.set_result(None)

        numbered = replace(download, number=next(self._numbers))
        self._orders.put(_Order(numbered.number, _begun_line(numbered), numbered, tell))
        try:
            await future
        except asyncio.CancelledError:
            self.end(numbered.number, sent_bytes=0, whole=False)
            raise
        return numbered.number

    def end(self, number: int, *, sent_bytes: int, whole: bool) -> None:
        """Writes that a download ended; does not wait for the disk."""
        record = {"number": number, "sent_bytes": sent_bytes, "whole": whole}
        self._orders.put(_Order(number, canonical.encode(record) + b"\n"))

    def close(self) -> None:
        """Writes what waits and closes the last segment. What still runs is left as never ended."""
        self._orders.put(None)
        self._thread.join()
        os.close(self._descriptor)
        self._closed(self._segment)

    def release(self, *, remove: bool) -> None:
        """Lets others take what is left."""
        self._held.release(remove=remove)

    # --- the thread that writes

    def _create(self, segment: Segment) -> int:
        descriptor = os.open(segment.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return descriptor

    def _begin_segment(self, *, carried: int) -> None:
        self._carried_bytes = self._bytes = carried
        self._since = time.monotonic()
        self._waiting_bytes = _size_of(self.folder)

    def _write(self) -> None:
        going = True
        while going:
            orders, going = self._orders_now()
            error = self._written(orders)
            for order in orders:
                if order.told is not None:
                    order.told(error)
            if going and self._is_due():
                self._next_segment()

    def _orders_now(self) -> tuple[list[_Order], bool]:
        """What waits, and whether more may come."""
        found: list[_Order] = []
        try:
            order = self._orders.get(timeout=_TICK_SECONDS)
            while order is not None:
                found.append(order)
                order = self._orders.get_nowait()
        except queue.Empty:
            return found, True
        return found, False

    def _written(self, orders: list[_Order]) -> StoreError | None:
        if not orders:
            return None
        begins = any(order.begins for order in orders)
        try:
            if begins and self._is_full():
                orders = [order for order in orders if order.begins is None]
                self._append(orders)
                return OutOfSpace("too many downloads wait for the ledger, which takes none")
            self._append(orders)
            if begins:
                os.fsync(self._descriptor)
        except OSError as error:
            self._torn = True
            for order in orders:
                if order.begins is not None:
                    self._running.pop(order.number, None)
            return StoreError(f"the journal of downloads cannot be written: {error.strerror}")
        return None

    def _append(self, orders: list[_Order]) -> None:
        # A write that failed may have left half a line: a line break keeps the next one whole.
        data = b"\n" * self._torn + b"".join(order.line for order in orders)
        _write_all(self._descriptor, data)
        self._torn = False
        self._bytes += len(data)
        for order in orders:
            if order.begins is not None:
                self._running[order.number] = order.begins
            else:
                self._running.pop(order.number, None)

    def _is_full(self) -> bool:
        """Whether too much waits; measured with each segment, and while it is too much with each download."""
        if self._waiting_bytes > self._backlog_bytes:
            self._waiting_bytes = _size_of(self.folder)
        return self._waiting_bytes > self._backlog_bytes

    def _is_due(self) -> bool:
        new = self._bytes - self._carried_bytes
        return new > 0 and (new >= self._segment_bytes or time.monotonic() - self._since >= self._segment_seconds)

    def _next_segment(self) -> None:
        """Carries what runs into a new segment, on the disk, and hands the old one on. When it cannot, the old one goes on."""
        number = self._segment.number + 1
        segment = Segment(self.folder / f"{self.gateway}-{number:08d}.jsonl", self.gateway, number)
        carried = b"".join(map(_begun_line, self._running.values()))
        try:
            os.fsync(self._descriptor)
            descriptor = self._create(segment)
        except OSError:
            self._since = time.monotonic()
            return
        try:
            _write_all(descriptor, carried)
            os.fsync(descriptor)
        except OSError:
            os.close(descriptor)
            segment.path.unlink(missing_ok=True)
            self._since = time.monotonic()
            return
        with contextlib.suppress(OSError):  # synced already; this thread must not end
            os.close(self._descriptor)
        old, self._segment, self._descriptor, self._torn = self._segment, segment, descriptor, False
        self._begin_segment(carried=len(carried))
        self._closed(old)


def _size_of(folder: Path) -> int:
    size = 0
    with contextlib.suppress(OSError):
        for one in segments_in(folder):
            with contextlib.suppress(OSError):  # recorded and removed meanwhile
                size += one.path.stat().st_size
    return size


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


@contextlib.contextmanager
def _as_store_error(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"'{folder}' cannot hold the journal of downloads: {error.strerror}") from error
