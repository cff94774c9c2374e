"""What content inspectors set aside to be searched once, at the end of a scan: one temporary file and where each part is from.

A search engine that is a process of its own costs more to start than a small artifact costs to search. So the worker
that reads artifacts appends what is worth searching to a spool, and its parent runs the engine once over all of it.

The file has no name (it is unlinked before anything is written), is readable by its owner only, and never grows beyond
its bound: what does not fit is not searched, and its label says so. The index (which bytes of the spool are from where)
stays in memory and crosses to the parent as JSON.
"""

from __future__ import annotations

import binascii
import bisect
import os
import tempfile
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import field, replace
from typing import Final, TypeAlias, cast

from weighbridge.core.canonical import Fields, JsonValue
from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import Malformed

SEPARATOR: Final = b"\n\n"
DEFAULT_MAX_BYTES: Final = 512 * 1024 * 1024
MAX_EXACT_MARKS: Final = 100_000
COARSE_STEP: Final = 4096
"""Beyond `MAX_EXACT_MARKS` places, a place is kept only for every so many bytes, and offsets are that exact."""

UNBROKEN_BYTES: Final = 8 * 1024
"""The engine reads 100,000 bytes and up to 25,000 more until it finds a blank line; else it cuts in the middle."""

_READ_BYTES: Final = 1024 * 1024
_WRITE_BYTES: Final = 256 * 1024


@dataclass(slots=True)
class Label:
    """One subject's part of the spool: bytes `start` to `end`, beginning at line `line` (from 1).

    `wanted_bytes` are the subject's bytes that should be searched, `looked_bytes` those that were spooled.
    """

    path: str
    wanted_bytes: int
    start: int
    line: int
    end: int
    looked_bytes: int = 0
    verbatim: bool = True
    """Whether the spool holds the subject's own lines, so that line numbers mean something."""
    inserted: array[int] = field(default_factory=lambda: array("Q"))
    """Lines of the spool that were put between the subject's own."""

    spooled: array[int] = field(default_factory=lambda: array("Q"))
    origin: array[int] = field(default_factory=lambda: array("Q"))

    def origin_of(self, position: int) -> int:
        """The offset in the subject that a position in the spool is from."""
        at = bisect.bisect_right(self.spooled, position) - 1
        return self.origin[at] + position - self.spooled[at] if at >= 0 else 0

    def line_of(self, line: int) -> int:
        """The subject's line that a line of the spool is from, 0 where the subject has no lines."""
        return line - self.line + 1 - bisect.bisect_left(self.inserted, line) if self.verbatim else 0

    def moved(self, size_bytes: int, lines: int) -> Label:
        """The same part where so many bytes and line ends lie before its spool."""
        return replace(
            self,
            start=self.start + size_bytes,
            end=self.end + size_bytes,
            line=self.line + lines,
            inserted=array("Q", (line + lines for line in self.inserted)),
            spooled=array("Q", (position + size_bytes for position in self.spooled)),
        )

    def to_json(self) -> list[JsonValue]:
        """What `from_json` reads: a list, for there are as many as artifacts."""
        return [
            *(self.path, self.wanted_bytes, self.start, self.line, self.end, self.looked_bytes, self.verbatim),
            *(_packed(self.inserted), _packed(self.spooled), _packed(self.origin)),
        ]

    @classmethod
    def from_json(cls, value: JsonValue) -> Label:
        """Reads one label.

        Raises:
            Malformed: it is not what `to_json` writes.
        """
        items = value if isinstance(value, list) else []
        if tuple(map(type, items)) != _LABEL_TYPES:
            raise Malformed("a label of the spool is no list of what it is made of")
        path, wanted, start, line, end, looked, verbatim, *packed = cast("_AS_LISTED", items)
        if not all(0 <= count < 1 << 53 for count in (wanted, start, line, end, looked)):
            raise Malformed("a label of the spool counts in non-negative integers")
        inserted, spooled, origin = map(_unpacked, packed)
        return cls(path, wanted, start, line, end, looked, verbatim, inserted, spooled, origin)


_AS_LISTED: TypeAlias = "tuple[str, int, int, int, int, int, bool, str, str, str]"
_LABEL_TYPES: Final = (str, int, int, int, int, int, bool, str, str, str)


def _packed(numbers: array[int]) -> str:
    """As text: there are many, and a list of them would cost more than the search."""
    return binascii.b2a_base64(numbers.tobytes(), newline=False).decode("ascii") if numbers else ""


def _unpacked(text: str) -> array[int]:
    numbers = array("Q")
    if not text:
        return numbers
    try:
        numbers.frombytes(binascii.a2b_base64(text, strict_mode=True))
    except ValueError as error:
        raise Malformed("a label's places are no numbers") from error
    return numbers


@dataclass(slots=True)
class Spool:
    """An append-only file without a name, shared by its descriptor. Written by one process, read by its parent after."""

    descriptor: int
    max_bytes: int = DEFAULT_MAX_BYTES
    labels: list[Label] = field(default_factory=list)
    size_bytes: int = 0
    lines: int = 0
    """Line ends written so far."""

    broken: bool = False
    unbroken: bytearray = field(default_factory=bytearray)
    """What was appended since the last blank line."""

    pending: bytearray = field(default_factory=bytearray)

    @classmethod
    def create(cls, folder: str | None = None, max_bytes: int = DEFAULT_MAX_BYTES) -> Spool:
        """A new empty one, in `folder` or where temporary files go.

        Raises:
            OSError: no file can be made there.
        """
        with tempfile.TemporaryFile(dir=folder, prefix="weighbridge-", buffering=0) as file:
            return cls(os.dup(file.fileno()), max_bytes)

    def begin(self, path: str, wanted_bytes: int) -> int:
        """Starts a label for a subject of which so many bytes are to be searched; what is appended from now on is its.

        Returns the label's number.
        """
        if self.labels:
            self._write(SEPARATOR)
        self.unbroken.clear()
        self.labels.append(Label(path, wanted_bytes, self.size_bytes, self.lines + 1, self.size_bytes))
        return len(self.labels) - 1

    def append(self, data: bytes, origin: int, starts: Sequence[int] = (), origins: Sequence[int] = ()) -> bool:
        """Adds bytes that begin at `origin` in the subject. False when they did not fit: then nothing was written.

        Where they are from several places, `starts` and `origins` say which part is from where.
        """
        label = self.labels[-1]
        if self.broken or self.size_bytes + len(data) + len(SEPARATOR) > self.max_bytes:
            return False
        if starts:
            self._mark_each(label, starts, origins)
        else:
            self._mark(label, self.size_bytes, origin)
        self._write(data)
        label.end = self.size_bytes
        return True

    def append_lines(self, data: bytes, origin: int, starts: Sequence[int] = (), origins: Sequence[int] = ()) -> bool:
        """As `append`, for whole lines of at most `UNBROKEN_BYTES` or one longer line.

        Puts a blank line in wherever there was none for `UNBROKEN_BYTES`, though not into a private key: the engine reads
        in pieces and cuts at a blank line, if it finds one soon enough.
        """
        if len(self.unbroken) + len(data) > UNBROKEN_BYTES and not self._in_key():
            label = self.labels[-1]
            if self.size_bytes < self.max_bytes and self.unbroken:
                label.inserted.append(self.lines + 1)
                self._write(b"\n")
            self.unbroken.clear()
        blank = data.rfind(SEPARATOR)
        if blank >= 0:
            self.unbroken.clear()
        self.unbroken += data[max(0, blank) :]
        return self.append(data, origin, starts, origins)

    def _in_key(self) -> bool:
        return len(self.unbroken) < 2 * UNBROKEN_BYTES and self.unbroken.rfind(b"-----BEGIN") > self.unbroken.rfind(
            b"-----END"
        )

    def _mark(self, label: Label, position: int, origin: int) -> None:
        dense = len(label.spooled) < MAX_EXACT_MARKS
        if dense or origin - label.origin[-1] >= COARSE_STEP:
            label.spooled.append(position)
            label.origin.append(origin)

    def _mark_each(self, label: Label, starts: Sequence[int], origins: Sequence[int]) -> None:
        if len(label.spooled) + len(starts) <= MAX_EXACT_MARKS:
            base = self.size_bytes
            label.spooled.extend([base + start for start in starts])
            label.origin.extend(origins)
            return
        for start, origin in zip(starts, origins, strict=True):
            self._mark(label, self.size_bytes + start, origin)

    def _write(self, data: bytes) -> None:
        self.pending += data
        self.size_bytes += len(data)
        self.lines += data.count(b"\n")
        if len(self.pending) >= _WRITE_BYTES:
            self.flush()

    def flush(self) -> None:
        """Writes what is held back. A spool that cannot be written is `broken`: no answer can be had from it."""
        view = memoryview(bytes(self.pending))
        self.pending.clear()
        try:
            while view and not self.broken:
                view = view[os.write(self.descriptor, view) :]
        except OSError:
            self.broken = True

    def label_at(self, position: int) -> int | None:
        """The number of the label that a position in the spool belongs to."""
        at = bisect.bisect_right(self.labels, position, key=lambda label: label.start) - 1
        return at if at >= 0 and position < max(self.labels[at].end, self.labels[at].start + 1) else None

    def read(self, start: int, end: int) -> bytes:
        """The bytes of the spool from `start` to `end`, fewer at its end."""
        self.flush()
        parts, position = [], start
        while position < end and (part := os.pread(self.descriptor, min(end - position, _READ_BYTES), position)):
            parts.append(part)
            position += len(part)
        return b"".join(parts)

    def chunks(self) -> Iterator[tuple[int, bytes]]:
        """The whole spool in order, as position and bytes."""
        self.flush()
        position = 0
        while part := os.pread(self.descriptor, _READ_BYTES, position):
            yield position, part
            position += len(part)

    def positions_of_lines(self, lines: set[int]) -> dict[int, int]:
        """Where each of these lines (from 1) begins."""
        wanted, found = iter(sorted(lines)), dict[int, int]()
        line, current = next(wanted, None), 1
        for position, part in self.chunks():
            at, ends = 0, part.count(b"\n")
            last = current + ends
            while line is not None and line <= last:
                for _ in range(line - current):
                    at = part.index(b"\n", at) + 1
                found.setdefault(line, position + at)
                current, line = line, next(wanted, None)
            current = last
            if line is None:
                break
        return found

    def to_json(self, first_label: int = 0) -> dict[str, JsonValue]:
        """The index from a label on, for the process that holds the other end of the descriptor."""
        self.flush()
        return {
            "size_bytes": self.size_bytes,
            "lines": self.lines,
            "broken": self.broken,
            "labels": [label.to_json() for label in self.labels[first_label:]],
        }

    @classmethod
    def from_json(cls, value: JsonValue, descriptor: int) -> Spool:
        """The spool behind `descriptor` with the index another process wrote.

        Raises:
            Malformed: it is not what `to_json` writes.
        """
        fields = Fields(value, what="the spool's index")
        labels = [Label.from_json(item) for item in fields.items("labels")]
        return cls(
            descriptor, 0, labels, fields.integer("size_bytes"), fields.integer("lines"), fields.boolean("broken")
        )

    def learn(self, value: JsonValue) -> None:
        """Takes over what the writing process has added since it last told.

        Raises:
            Malformed: it is not what `to_json` writes.
        """
        news = self.from_json(value, self.descriptor)
        written = os.fstat(self.descriptor).st_size
        places = [self.size_bytes, *(at for label in news.labels for at in (label.start, label.end)), news.size_bytes]
        if places != sorted(places) or (news.size_bytes > written and not news.broken):
            raise Malformed("the spool's index speaks of bytes that are not there")
        self.labels += news.labels
        news.size_bytes = min(news.size_bytes, written)
        self.size_bytes, self.lines, self.broken = news.size_bytes, news.lines, news.broken

    def absorb(self, other: Spool) -> int:
        """Takes over what another one holds, so that both are searched at once; says what is to be added to its labels.

        Nothing may be written by another process any more.
        """
        first = len(self.labels)
        self._write(SEPARATOR)
        size, lines = self.size_bytes, self.lines
        for _, part in other.chunks():
            self._write(part)
        for label in other.labels:
            self.labels.append(label.moved(size, lines))
        return first

    def clear(self) -> None:
        """Empties the file and the index, for another session of the same writer."""
        os.ftruncate(self.descriptor, 0)
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        self.labels, self.size_bytes, self.lines, self.broken = [], 0, 0, False

    def close(self) -> None:
        """Gives the file up; its bytes are gone."""
        os.close(self.descriptor)
