"""The directory of a zip archive, held against its local headers, and readers of its members.

Written after APPNOTE.TXT 6.3.10, sections 4.3 to 4.5. The last end record counts, as for Python's and torch's readers;
wherever another reader could see another archive, there is a `ZipProblem`. Problems are collected and not raised: an
archive with problems still has members to look at.

Limits: `MAX_MEMBERS` members and `MAX_DIRECTORY_BYTES` of directory, one small read for each local header; members are
read in place when they are stored, and inflated to at most `MAX_INFLATED_BYTES` in memory otherwise.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from weighbridge.core.errors import Truncated
from weighbridge.core.ports import RangeReader

MAX_MEMBERS = 30_000
MAX_DIRECTORY_BYTES = 8 * 1024 * 1024
MAX_INFLATED_BYTES = 24 * 1024 * 1024
MAX_RATIO = 200
MAX_PROBLEMS = 200
STORED, DEFLATED = 0, 8

_TAIL_BYTES = 22 + 65_535 + 20
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_WORD32: Final = 0xFFFFFFFF
_ENCRYPTED, _DESCRIBED_AFTER, _STRONG, _MASKED = 1, 8, 64, 1 << 13
_INFLATE_STEP = 64 * 1024


@dataclass(frozen=True, slots=True)
class ZipProblem:
    """Something no honest writer leaves behind; `rule` is its stable id without `zip-`."""

    rule: str
    message: str
    offset: int


@dataclass(frozen=True, slots=True)
class ZipMember:
    """One file in the archive. `data_offset` is where its bytes begin, -1 when its local header is not there."""

    name: str
    flags: int
    method: int
    crc32: int
    packed_bytes: int
    size_bytes: int
    header_offset: int
    data_offset: int = -1

    @property
    def encrypted(self) -> bool:
        """Whether its bytes cannot be read without a key."""
        return bool(self.flags & (_ENCRYPTED | _STRONG | _MASKED))

    @property
    def end_offset(self) -> int:
        """Where its bytes end."""
        return self.data_offset + self.packed_bytes


@dataclass(frozen=True, slots=True)
class ZipDirectory:
    """Members in order of the directory, and what is wrong. `readable` is false when there is no directory at all."""

    members: tuple[ZipMember, ...]
    problems: tuple[ZipProblem, ...]
    readable: bool = True


@dataclass(frozen=True, slots=True)
class MemberBytes:
    """A member as an artifact of its own; `held` when it had to be unpacked."""

    path: str
    reader: RangeReader
    start: int
    size_bytes: int
    held: bytes | None = None

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`, fewer only at the end of the member."""
        if self.held is not None:
            return self.held[offset : offset + length]
        length = max(0, min(length, self.size_bytes - offset))
        return self.reader.read(self.start + offset, length) if length else b""


def read_directory(reader: RangeReader) -> ZipDirectory:
    """Reads the directory and every local header.

    Raises:
        Truncated: the reader returned less than the artifact's size promises.
    """
    problems: list[ZipProblem] = []
    try:
        start, length, shift = _find_directory(reader, problems)
        members = [
            _with_local_header(reader, member, problems) for member in _entries(reader, start, length, shift, problems)
        ]
    except _Unreadable as error:
        return ZipDirectory((), (*problems, error.problem), readable=False)
    _check_names(members, problems)
    _check_layout(members, start, problems)
    return ZipDirectory(tuple(members), tuple(problems[:MAX_PROBLEMS]))


def open_member(reader: RangeReader, member: ZipMember) -> tuple[MemberBytes | None, ZipProblem | None]:
    """A member's content, and why it is not (all) there or not what the directory says.

    Raises:
        Truncated: the reader returned less than the artifact's size promises.
    """
    place = member.header_offset
    if member.data_offset < 0 or member.end_offset > reader.size_bytes:
        return None, ZipProblem("broken", f"{member.name!a} is not where the directory says", place)
    if member.encrypted:
        return None, ZipProblem("encrypted", f"{member.name!a} is encrypted", place)
    if member.method == STORED:
        found = MemberBytes(reader.path, reader, member.data_offset, member.packed_bytes)
        return found, _check_stored(reader, member)
    if member.method != DEFLATED:
        return None, ZipProblem("method", f"{member.name!a} is packed by the method {member.method}", place)
    data, problem = _inflate(reader, member)
    return MemberBytes(reader.path, reader, 0, len(data), data), problem


def peek_member(reader: RangeReader, member: ZipMember, length: int) -> bytes:
    """The first bytes of a member as it unpacks; fewer when there are fewer, or they cannot be unpacked.

    Raises:
        Truncated: the reader returned less than the artifact's size promises.
    """
    if member.data_offset < 0 or member.encrypted or member.end_offset > reader.size_bytes:
        return b""
    data = _read(reader, member.data_offset, min(length, member.packed_bytes))
    if member.method == STORED:
        return data
    try:
        return zlib.decompressobj(-15).decompress(data, length) if member.method == DEFLATED else b""
    except zlib.error:
        return b""


class _Unreadable(Exception):
    def __init__(self, rule: str, message: str, offset: int) -> None:
        super().__init__(message)
        self.problem = ZipProblem(rule, message, offset)


def _read(reader: RangeReader, offset: int, length: int) -> bytes:
    data = reader.read(offset, length)
    if len(data) != length:
        raise Truncated(f"'{reader.path}' gave {len(data)} bytes at {offset} where it has {length}")
    return data


# --- the directory -------------------------------------------------------------------------------


def _find_directory(reader: RangeReader, problems: list[ZipProblem]) -> tuple[int, int, int]:
    """Where the directory starts, its length, and by how much its offsets are off."""
    size = reader.size_bytes
    base = max(0, size - _TAIL_BYTES)
    tail = _read(reader, base, size - base)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + _END.size > len(tail):
        raise _Unreadable("broken", "there is no end record", size)
    _, disk, first, here, total, length, offset, comment = _END.unpack_from(tail, at)
    if tail.count(b"PK\x05\x06") > 1:
        problems.append(ZipProblem("ambiguous", "there is more than one end record", base + at))
    if at + _END.size + comment != len(tail):
        problems.append(ZipProblem("extra-data", "the archive's comment is not what ends the file", base + at))
    end = base + at
    short = (disk, first, here, total, length, offset)
    end, values = _end64(reader, tail[max(0, at - _LOCATOR.size) : at], base + at) or (base + at, short)
    if any(small not in (large, 0xFFFF, _WORD32) for small, large in zip(short, values, strict=True)):
        problems.append(ZipProblem("header-mismatch", "the two end records disagree", base + at))
    disk, first, here, total, length, offset = values
    if disk or first or here != total:
        problems.append(ZipProblem("broken", "the archive claims to have several parts", end))
    if total > MAX_MEMBERS or length > MAX_DIRECTORY_BYTES:
        raise _Unreadable("limit", f"the directory has {total} members and {length} bytes", end)
    start = end - length
    if start < 0 or offset > start:
        raise _Unreadable("broken", f"the directory is not at {offset}, where the end record says", end)
    if offset != start:
        problems.append(ZipProblem("extra-data", f"{start - offset} bytes lie where the archive counts none", 0))
    return start, length, start - offset


def _end64(reader: RangeReader, locator: bytes, at: int) -> tuple[int, tuple[int, int, int, int, int, int]] | None:
    """Where the zip64 end record begins, and its numbers; None when no locator points to one."""
    if len(locator) < _LOCATOR.size or not locator.startswith(b"PK\x06\x07"):
        return None
    _, _, place, _ = _LOCATOR.unpack(locator)
    expected = at - _LOCATOR.size - _END64.size
    if expected < 0 or place > expected:
        raise _Unreadable("broken", "the zip64 end record is not where its locator says", at)
    data = _read(reader, expected, _END64.size)
    signature, _, _, _, disk, first, here, total, length, offset = _END64.unpack(data)
    if signature != b"PK\x06\x06":
        raise _Unreadable("broken", "the zip64 end record is not before its locator", at)
    return expected, (disk, first, here, total, length, offset)


def _entries(
    reader: RangeReader, start: int, length: int, shift: int, problems: list[ZipProblem]
) -> Iterator[ZipMember]:
    data = _read(reader, start, length)
    at = count = 0
    while at < length:
        if count >= MAX_MEMBERS:
            raise _Unreadable("limit", f"the directory has more than {MAX_MEMBERS} members", start + at)
        if at + _CENTRAL.size > length or data[at : at + 4] != b"PK\x01\x02":
            problems.append(ZipProblem("broken", "the directory breaks off", start + at))
            return
        fields = _CENTRAL.unpack_from(data, at)
        flags, method, crc, packed, size = fields[3], fields[4], fields[7], fields[8], fields[9]
        name_length, extra_length, comment_length, offset = fields[10], fields[11], fields[12], fields[16]
        name_at = at + _CENTRAL.size
        raw = data[name_at : name_at + name_length]
        extra = data[name_at + name_length : name_at + name_length + extra_length]
        wide = _wide(extra, [value == _WORD32 for value in (size, packed, offset)])
        size, packed, offset = (
            value if wanted is None else wanted for value, wanted in zip((size, packed, offset), wide, strict=True)
        )
        yield ZipMember(_decode(raw), flags, method, crc, packed, size, offset + shift)
        at = name_at + name_length + extra_length + comment_length
        count += 1


def _decode(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp437")


def _wide(extra: bytes, wanted: list[bool]) -> list[int | None]:
    """The 64-bit values of those of size, packed size and offset that did not fit."""
    values: list[int | None] = [None] * len(wanted)
    at = 0
    while at + 4 <= len(extra):
        tag, length = struct.unpack_from("<2H", extra, at)
        if tag == 1:
            field = extra[at + 4 : at + 4 + length]
            for place, asked in enumerate(wanted):
                if asked and len(field) >= 8:
                    values[place] = int.from_bytes(field[:8], "little")
                    field = field[8:]
            break
        at += 4 + length
    return values


# --- local headers -------------------------------------------------------------------------------


def _with_local_header(reader: RangeReader, member: ZipMember, problems: list[ZipProblem]) -> ZipMember:
    """The member with the place of its bytes; disagreements between its two headers are problems."""
    place, name = member.header_offset, member.name
    encoded = len(name.encode("utf-8", "replace"))
    if place + _LOCAL.size > reader.size_bytes:
        problems.append(ZipProblem("broken", f"{name!a} lies beyond the end", place))
        return member
    data = _read(reader, place, min(_LOCAL.size + encoded + 64, reader.size_bytes - place))
    signature, _, flags, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL.unpack_from(data)
    if signature != b"PK\x03\x04":
        problems.append(ZipProblem("broken", f"{name!a} has no local header", place))
        return member
    raw = data[_LOCAL.size : _LOCAL.size + name_length]
    wide = _wide(data[_LOCAL.size + name_length :], [size == _WORD32, packed == _WORD32])
    size, packed = (old if new is None else new for old, new in zip((size, packed), wide, strict=True))
    later = flags & _DESCRIBED_AFTER
    expected = (member.crc32, member.packed_bytes, member.size_bytes)
    told = (crc, packed, size)
    same = told == expected or (
        later and all(one in (0, other, _WORD32) for one, other in zip(told, expected, strict=True))
    )
    if _decode(raw) != name or method != member.method or flags != member.flags or not same:
        problems.append(ZipProblem("header-mismatch", f"{name!a} is described in two ways", place))
    start = place + _LOCAL.size + name_length + extra_length
    if start + member.packed_bytes > reader.size_bytes:
        problems.append(ZipProblem("broken", f"{name!a} ends beyond the end of the file", place))
    if member.method == STORED and member.packed_bytes != member.size_bytes and not member.encrypted:
        problems.append(ZipProblem("header-mismatch", f"{name!a} is stored and has two sizes", place))
    if member.size_bytes > 1_000_000 and member.size_bytes > MAX_RATIO * max(1, member.packed_bytes):
        problems.append(ZipProblem("bomb", f"{name!a} grows from {member.packed_bytes} to {member.size_bytes}", place))
    return ZipMember(
        name, member.flags, member.method, member.crc32, member.packed_bytes, member.size_bytes, place, start
    )


def _check_names(members: list[ZipMember], problems: list[ZipProblem]) -> None:
    seen: set[str] = set()
    for member in members:
        folded = member.name.replace("\\", "/").casefold().rstrip("/")
        if folded in seen:
            problems.append(ZipProblem("duplicate-name", f"{member.name!a} is there twice", member.header_offset))
        seen.add(folded)
        parts = member.name.replace("\\", "/").split("/")
        bad = ".." in parts or not parts[0] or ":" in parts[0] or not member.name.isprintable()
        if bad:
            message = f"{member.name!a} would be written outside, or nowhere"
            problems.append(ZipProblem("traversal", message, member.header_offset))
        if member.encrypted:
            problems.append(ZipProblem("encrypted", f"{member.name!a} is encrypted", member.header_offset))
        if member.method not in (STORED, DEFLATED):
            message = f"{member.name!a} is packed by the method {member.method}"
            problems.append(ZipProblem("method", message, member.header_offset))


def _check_layout(members: list[ZipMember], directory: int, problems: list[ZipProblem]) -> None:
    """Each byte before the directory belongs to exactly one member."""
    position, described = 0, False
    for member in sorted((one for one in members if one.data_offset >= 0), key=lambda one: one.header_offset):
        _check_gap(position, member.header_offset, described, problems)
        position, described = max(position, member.end_offset), bool(member.flags & _DESCRIBED_AFTER)
    _check_gap(position, directory, described, problems)


def _check_gap(position: int, following: int, described: bool, problems: list[ZipProblem]) -> None:
    gap = following - position
    if gap < 0:
        problems.append(ZipProblem("overlap", f"{-gap} bytes belong to more than one thing", following))
    elif gap and not (described and gap in (12, 16, 20, 24)):
        problems.append(ZipProblem("extra-data", f"{gap} bytes belong to nothing", position))


# --- content -------------------------------------------------------------------------------------


def _check_stored(reader: RangeReader, member: ZipMember) -> ZipProblem | None:
    if member.packed_bytes > MAX_INFLATED_BYTES:
        return None
    crc, position = 0, member.data_offset
    while position < member.end_offset:
        length = min(_INFLATE_STEP, member.end_offset - position)
        crc = zlib.crc32(_read(reader, position, length), crc)
        position += length
    if crc == member.crc32:
        return None
    return ZipProblem("checksum", f"{member.name!a} has another checksum", member.header_offset)


def _inflate(reader: RangeReader, member: ZipMember) -> tuple[bytes, ZipProblem | None]:
    unpack, out, position = zlib.decompressobj(-15), bytearray(), member.data_offset
    place, name = member.header_offset, member.name
    try:
        while not unpack.eof and len(out) <= MAX_INFLATED_BYTES:
            data = unpack.unconsumed_tail
            if not data:
                length = min(_INFLATE_STEP, member.end_offset - position)
                if length <= 0:
                    return bytes(out), ZipProblem("broken", f"{name!a} is cut short", place)
                data = _read(reader, position, length)
                position += length
            out += unpack.decompress(data, 1024 * 1024)
    except zlib.error as error:
        return bytes(out), ZipProblem("broken", f"{name!a} cannot be unpacked: {error}", place)
    if len(out) > MAX_INFLATED_BYTES:
        return bytes(out), ZipProblem("limit", f"{name!a} unpacks to more than {MAX_INFLATED_BYTES} bytes", place)
    if len(out) != member.size_bytes or zlib.crc32(out) != member.crc32:
        return bytes(out), ZipProblem("checksum", f"{name!a} unpacks to something else than the directory says", place)
    if position != member.end_offset or unpack.unused_data:
        return bytes(out), ZipProblem("extra-data", f"{name!a} is followed by bytes nobody unpacks", place)
    return bytes(out), None
