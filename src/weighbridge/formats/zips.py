"""The directory of a zip archive, held against its local headers, and readers of its members.

Written after APPNOTE.TXT 6.3.10, sections 4.3 to 4.6. The last end record counts, as for Python's and torch's readers;
wherever another reader could see another archive, there is a `ZipProblem`. Problems are collected and not raised: an
archive with problems still has members to look at.

Reads: the tail (with it most directories), the rest of the directory, and the local header of every member that is
opened, in one go with what lies next to it. A member that nobody opens (a stored tensor) is placed by its neighbours
alone: when the room up to the next header is its size and a header, nothing else fits in. What is lost is a second
opinion on the name, method and checksum of such a member, that only a reader from front to back would hear; the bytes
it would find there are those of the tensor, which can spell a local header anywhere anyway.

Limits: `MAX_MEMBERS` members and `MAX_DIRECTORY_BYTES` of directory; members are read in place when they are stored,
and held in memory or unpacked again and again when they are not (`formats.members`).
"""

from __future__ import annotations

import stat
import struct
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.errors import Truncated
from weighbridge.core.ports import RangeReader
from weighbridge.formats.bounded import read_exactly
from weighbridge.formats.members import Blocks

MAX_MEMBERS = 30_000
MAX_DIRECTORY_BYTES = 8 * 1024 * 1024
MAX_RATIO = 200
RATIO_COUNTS_FROM_BYTES = 64 * 1024 * 1024
"""Less than that exhausts nobody; arrays of zeros are packed a thousand to one by honest writers."""

MAX_TOTAL_BYTES = 512 * 1024 * 1024
MAX_PROBLEMS = 200
STORED, DEFLATED, BZIP2, LZMA, ZSTD = 0, 8, 12, 14, 93
METHODS: Final = frozenset((STORED, DEFLATED, BZIP2, LZMA, ZSTD))

_TAIL_BYTES = 22 + 65_535 + 20
_AHEAD_BYTES = 64 * 1024
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_WORD32: Final = 0xFFFFFFFF
_ENCRYPTED, _DESCRIBED_AFTER, _STRONG, _MASKED = 1, 8, 64, 1 << 13
_WIDE_NUMBERS, _UNICODE_NAME = 0x0001, 0x7075
_UNIX, _MACOS = 3, 19
_MAX_SLACK_BYTES = 192
"""A local header's extra field and the numbers behind the data: torch aligns storages to 64 bytes with the former."""


@dataclass(frozen=True, slots=True)
class ZipProblem:
    """Something no honest writer leaves behind; `rule` is its stable id without `zip-`."""

    rule: str
    message: str
    offset: int


@dataclass(frozen=True, slots=True)
class ZipMember:
    """One file in the archive. `data_offset` is where its bytes begin, -1 before its local header was read."""

    name: str
    flags: int
    method: int
    crc32: int
    packed_bytes: int
    size_bytes: int
    header_offset: int
    name_bytes: int
    mode: int = 0
    """The Unix file mode; 0 where the archive was not written on Unix."""

    data_offset: int = -1

    @property
    def encrypted(self) -> bool:
        """Whether its bytes cannot be read without a key."""
        return bool(self.flags & (_ENCRYPTED | _STRONG | _MASKED))

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, and nothing else."""
        return self.name.endswith("/") and not self.packed_bytes

    @property
    def is_link(self) -> bool:
        """Whether unpacking it makes a symbolic link."""
        return stat.S_ISLNK(self.mode)

    @property
    def grows_too_much(self) -> bool:
        """Whether it says of itself that it unpacks to far more than it is."""
        return self.size_bytes > RATIO_COUNTS_FROM_BYTES and self.size_bytes > MAX_RATIO * max(1, self.packed_bytes)

    @property
    def end_offset(self) -> int:
        """Where its bytes end, once it is located."""
        return self.data_offset + self.packed_bytes


class _Unreadable(Exception):
    def __init__(self, rule: str, message: str, offset: int) -> None:
        super().__init__(message)
        self.problem = ZipProblem(rule, message, offset)


class ZipArchive:
    """Members in order of the directory, and what is wrong. `readable` is false when there is no directory at all.

    Raises:
        Truncated: the reader returned less than the artifact's size promises.
    """

    def __init__(self, reader: RangeReader) -> None:
        self.blocks = Blocks(reader)
        self.problems: list[ZipProblem] = []
        self.members: list[ZipMember] = []
        self.readable = True
        self.start = 0
        """Where the directory begins."""
        self.base = 0
        """What the archive counts as its own offset 0."""
        self._located: dict[int, ZipMember] = {}
        self._ends: list[int] = []
        try:
            self.start, length, self.base = self._find_directory()
            self.members.extend(self._entries(length))
        except _Unreadable as unreadable:
            self.problems.append(unreadable.problem)
            self.members.clear()
            self.readable = False
        self._check_names()

    def say(self, rule: str, message: str, offset: int) -> None:
        """Notes a problem, up to `MAX_PROBLEMS`."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(ZipProblem(rule, message, offset))

    # --- the directory ---------------------------------------------------------------------------

    def _find_directory(self) -> tuple[int, int, int]:
        """Where the directory starts, its length, and by how much its offsets are off."""
        size = self.blocks.size_bytes
        base = max(0, size - _TAIL_BYTES)
        tail = read_exactly(self.blocks, base, size - base)
        self.blocks.keep(base, tail)
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or at + _END.size > len(tail):
            raise _Unreadable("broken", "there is no end record", size)
        _, disk, first, here, total, length, offset, comment = _END.unpack_from(tail, at)
        self._ends = [base + place for place in _places(tail, b"PK\x05\x06") if place != at]
        if at + _END.size + comment != len(tail):
            self.say("extra-data", "the archive's comment is not what ends the file", base + at)
        elif comment and not _is_plain(tail[at + _END.size :]):
            self.say("extra-data", "the archive's comment is no text", base + at)
        short = (disk, first, here, total, length, offset)
        locator = tail[max(0, at - _LOCATOR.size) : at]
        end, values = self._end64(locator, base + at) or (base + at, short)
        if any(small not in (large, 0xFFFF, _WORD32) for small, large in zip(short, values, strict=True)):
            self.say("header-mismatch", "the two end records disagree", base + at)
        disk, first, here, total, length, offset = values
        if disk or first or here != total:
            self.say("broken", "the archive claims to have several parts", end)
        if total > MAX_MEMBERS or length > MAX_DIRECTORY_BYTES:
            raise _Unreadable("limit", f"the directory has {total} members and {length} bytes", end)
        start = end - length
        if start < 0 or offset > start:
            raise _Unreadable("broken", f"the directory is not at {offset}, where the end record says", end)
        if offset != start:
            self.say("extra-data", f"{start - offset} bytes lie where the archive counts none", 0)
        self._total = total
        return start, length, start - offset

    def _end64(self, locator: bytes, at: int) -> tuple[int, tuple[int, int, int, int, int, int]] | None:
        """Where the zip64 end record begins, and its numbers; None when no locator points to one."""
        if len(locator) < _LOCATOR.size or not locator.startswith(b"PK\x06\x07"):
            return None
        _, _, place, _ = _LOCATOR.unpack(locator)
        expected = at - _LOCATOR.size - _END64.size
        if expected < 0 or place > expected:
            raise _Unreadable("broken", "the zip64 end record is not where its locator says", at)
        data = read_exactly(self.blocks, expected, _END64.size)
        signature, _, _, _, disk, first, here, total, length, offset = _END64.unpack(data)
        if signature != b"PK\x06\x06":
            raise _Unreadable("broken", "the zip64 end record is not before its locator", at)
        return expected, (disk, first, here, total, length, offset)

    def _entries(self, length: int) -> Iterator[ZipMember]:
        data = read_exactly(self.blocks, self.start, length)
        at = count = 0
        while at < length:
            if count >= MAX_MEMBERS:
                raise _Unreadable("limit", f"the directory has more than {MAX_MEMBERS} members", self.start + at)
            if at + _CENTRAL.size > length or data[at : at + 4] != b"PK\x01\x02":
                self.say("broken", "the directory breaks off", self.start + at)
                return
            fields = _CENTRAL.unpack_from(data, at)
            name_length, extra_length, comment_length = fields[10:13]
            name_at = at + _CENTRAL.size
            raw = data[name_at : name_at + name_length]
            extra = data[name_at + name_length : name_at + name_length + extra_length]
            noted_at = name_at + name_length + extra_length
            at = noted_at + comment_length
            count += 1
            member = self._entry(fields, raw, extra)
            if comment_length and not _is_plain(data[noted_at:at]):
                self.say("extra-data", f"the comment of {shown(member)} is no text", member.header_offset)
            yield member
        if count != self._total:
            self.say("header-mismatch", f"the end record counts {self._total} members of {count}", self.start)

    def _entry(self, fields: tuple[int, ...], raw: bytes, extra: bytes) -> ZipMember:
        size, packed, offset = fields[9], fields[8], fields[16]
        wide = _wide(extra, [value == _WORD32 for value in (size, packed, offset)])
        size, packed, offset = (
            value if wanted is None else wanted for value, wanted in zip((size, packed, offset), wide, strict=True)
        )
        name = _decode(raw)
        self._check_extra(extra, name, offset)
        if wide == [None] * 3 and _contradicted(extra, (size, packed)):
            self.say("header-mismatch", f"{name[:100]!a} has other sizes beside its own", offset)
        mode = fields[15] >> 16 if fields[1] >> 8 in (_UNIX, _MACOS) else 0
        return ZipMember(name, fields[3], fields[4], fields[7], packed, size, offset + self.base, len(raw), mode)

    def _check_extra(self, extra: bytes, name: str, place: int) -> None:
        """Fields beside a header by which some readers take a member for another."""
        for other in _fields(extra, _UNICODE_NAME):
            if other[:1] == b"\x01" and _decode(other[5:]) != name:
                message = f"{name[:100]!a} has the other name {_decode(other[5:])[:100]!a}"
                self.say("header-mismatch", message, place)
        for tag in (_WIDE_NUMBERS, _UNICODE_NAME):
            if len(set(_fields(extra, tag))) > 1:
                self.say("header-mismatch", f"{name[:100]!a} has two different fields {tag:#06x}", place)

    def _check_names(self) -> None:
        seen: set[str] = set()
        for member in self.members:
            folded = unicodedata.normalize("NFC", member.name.replace("\\", "/")).casefold().rstrip("/")
            if folded in seen:
                self.say("duplicate-name", f"{shown(member)} is there twice", member.header_offset)
            seen.add(folded)
            parts = member.name.replace("\\", "/").split("/")
            if ".." in parts or not parts[0] or ":" in parts[0] or not member.name.isprintable():
                message = f"{shown(member)} would be written outside, or nowhere"
                self.say("traversal", message, member.header_offset)
            if member.encrypted:
                self.say("encrypted", f"{shown(member)} is encrypted", member.header_offset)
            elif member.method not in METHODS:
                message = f"{shown(member)} is packed by the method {member.method}"
                self.say("method", message, member.header_offset)
            if member.grows_too_much:
                message = f"{shown(member)} grows from {member.packed_bytes} to {member.size_bytes} bytes"
                self.say("bomb", message, member.header_offset)
        total = sum(member.size_bytes for member in self.members)
        if total > MAX_TOTAL_BYTES and total > MAX_RATIO * self.blocks.size_bytes:
            self.say("bomb", f"all members together grow to {total} bytes", self.start)

    # --- local headers ---------------------------------------------------------------------------

    def locate(self, index: int) -> ZipMember:
        """A member with the place of its bytes; disagreements between its two headers are problems."""
        if index not in self._located:
            self._located[index] = self._with_local_header(self.members[index])
        return self._located[index]

    def _with_local_header(self, member: ZipMember) -> ZipMember:
        place, name = member.header_offset, shown(member)
        if place + _LOCAL.size > self.blocks.size_bytes:
            self.say("broken", f"{name} lies beyond the end", place)
            return member
        wanted = _LOCAL.size + member.name_bytes + _MAX_SLACK_BYTES
        ahead = _AHEAD_BYTES if member.packed_bytes < _AHEAD_BYTES else wanted
        data = self.blocks.read_ahead(place, wanted, max(ahead, wanted))
        if len(data) < min(wanted, self.blocks.size_bytes - place):
            raise Truncated(f"'{self.blocks.path}' gave {len(data)} bytes at {place} where it has {wanted}")
        signature, _, flags, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL.unpack_from(data)
        if signature != b"PK\x03\x04":
            self.say("broken", f"{name} has no local header", place)
            return member
        raw = data[_LOCAL.size : _LOCAL.size + name_length]
        extra = data[_LOCAL.size + name_length :][:extra_length]
        wide = _wide(extra, [size == _WORD32, packed == _WORD32])
        self._check_extra(extra, member.name, place)
        size, packed = (old if new is None else new for old, new in zip((size, packed), wide, strict=True))
        same = _agree((crc, packed, size), member, later=bool(flags & _DESCRIBED_AFTER))
        if _decode(raw) != member.name or method != member.method or flags != member.flags or not same:
            self.say("header-mismatch", f"{name} is described in two ways", place)
        start = place + _LOCAL.size + name_length + extra_length
        if start + member.packed_bytes > self.blocks.size_bytes:
            self.say("broken", f"{name} ends beyond the end of the file", place)
        if member.method == STORED and member.packed_bytes != member.size_bytes and not member.encrypted:
            self.say("header-mismatch", f"{name} is stored and has two sizes", place)
        return replace(member, data_offset=start)

    # --- the whole -------------------------------------------------------------------------------

    def overlaps(self) -> bool:
        """Whether members share bytes, as far as the directory tells: then unpacking all of them has no bound."""
        position = 0
        for member in sorted(self.members, key=lambda one: one.header_offset):
            if member.header_offset < position:
                return True
            position = member.header_offset + _LOCAL.size + member.name_bytes + member.packed_bytes
        return False

    def settle(self) -> None:
        """Checks that each byte before the directory belongs to exactly one member. Call once, at the end."""
        order = sorted(range(len(self.members)), key=lambda index: self.members[index].header_offset)
        followers = [*(self.members[index].header_offset for index in order[1:]), self.start][: len(order)]
        position, described = 0, False
        spans: list[tuple[int, int]] = []
        for index, following in zip(order, followers, strict=True):
            member = self.members[index]
            self._check_gap(position, member.header_offset, described=described)
            room = following - member.header_offset - _LOCAL.size - member.name_bytes - member.packed_bytes
            if index not in self._located and 0 <= room <= _MAX_SLACK_BYTES:
                position, described = following, False
                spans.append((member.header_offset, following))
                continue
            member = self.locate(index)
            if member.data_offset >= 0:
                position, described = max(position, member.end_offset), bool(member.flags & _DESCRIBED_AFTER)
                spans.append((member.data_offset, member.end_offset))
        self._check_gap(position, self.start, described=described)
        self._check_ends(spans)

    def _check_gap(self, position: int, following: int, *, described: bool) -> None:
        gap = following - position
        if gap < 0:
            self.say("overlap", f"{-gap} bytes belong to more than one thing", following)
        elif gap and not (described and gap in (12, 16, 20, 24)):
            self.say("extra-data", f"{gap} bytes belong to nothing", position)

    def _check_ends(self, spans: list[tuple[int, int]]) -> None:
        """End records other than the last: those within a member are that member's own."""
        if self.readable and any(not any(start <= end < stop for start, stop in spans) for end in self._ends):
            self.say("ambiguous", "there is more than one end record", self._ends[0])

    _total = 0


def zip_at_the_end(reader: RangeReader) -> int | None:
    """Where the archive begins that readers from the end find in an artifact that is something else; None for none.

    An end record that bytes spell by chance does not point to a directory.

    Raises:
        Truncated: the reader returned less than the artifact's size promises.
    """
    size = reader.size_bytes
    base = max(0, size - _TAIL_BYTES)
    tail = read_exactly(reader, base, size - base)
    at = tail.rfind(b"PK\x05\x06")
    while at >= 0:
        if at + _END.size <= len(tail):
            *_, length, offset, _ = _END.unpack_from(tail, at)
            start = base + at - length
            wide = tail[max(0, at - _LOCATOR.size - _END64.size) : at]
            if wide.startswith(b"PK\x06\x06") and wide.startswith(b"PK\x06\x07", _END64.size):
                length, offset = _END64.unpack_from(wide)[8:]
                start = base + at - len(wide) - length
            if 0 <= start < base + at and offset <= start and read_exactly(reader, start, 4) == b"PK\x01\x02":
                return int(start - offset)
        at = tail.rfind(b"PK\x05\x06", 0, at)
    return None


def shown(member: ZipMember) -> str:
    """The name as it is written in messages."""
    return f"{member.name[:100]!a}"


def _agree(told: tuple[int, int, int], member: ZipMember, *, later: bool) -> bool:
    expected = (member.crc32, member.packed_bytes, member.size_bytes)
    return told == expected or (
        later and all(one in (0, other, _WORD32) for one, other in zip(told, expected, strict=True))
    )


def _places(data: bytes, word: bytes) -> Iterable[int]:
    at = data.find(word)
    while at >= 0:
        yield at
        at = data.find(word, at + 1)


def _is_plain(comment: bytes) -> bool:
    """Whether a comment is a line or two of text."""
    try:
        return all(char.isprintable() or char in "\r\n\t" for char in comment.decode("utf-8"))
    except UnicodeDecodeError:
        return False


def _decode(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp437")


def _fields(extra: bytes, wanted: int) -> list[bytes]:
    found, at = [], 0
    while at + 4 <= len(extra):
        tag, length = struct.unpack_from("<2H", extra, at)
        if tag == wanted:
            found.append(extra[at + 4 : at + 4 + length])
        at += 4 + length
    return found


def _contradicted(extra: bytes, sizes: tuple[int, int]) -> bool:
    """Whether 64-bit sizes are given where nobody asks for them, and are others."""
    return any(
        len(field) >= 16 and struct.unpack_from("<2Q", field) != sizes for field in _fields(extra, _WIDE_NUMBERS)
    )


def _wide(extra: bytes, wanted: list[bool]) -> list[int | None]:
    """The 64-bit values of those of size, packed size and offset that did not fit."""
    values: list[int | None] = [None] * len(wanted)
    field = next(iter(_fields(extra, _WIDE_NUMBERS)), b"")
    for place, asked in enumerate(wanted):
        if asked and len(field) >= 8:
            values[place] = int.from_bytes(field[:8], "little")
            field = field[8:]
    return values


def crc_of(reader: RangeReader, step: int = 1024 * 1024) -> int:
    """The checksum of an artifact, read front to back."""
    crc, position = 0, 0
    while position < reader.size_bytes:
        length = min(step, reader.size_bytes - position)
        crc = zlib.crc32(read_exactly(reader, position, length), crc)
        position += length
    return crc
