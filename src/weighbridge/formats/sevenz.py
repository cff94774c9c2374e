"""The header of a 7z archive: its folders, what each is packed with, and the files in them.

Written after 7zFormat.txt of the LZMA SDK. The header is small and usually packed itself; it is unpacked within
`MAX_HEADER_BYTES` and read with every count held against what is left of it. A folder is one run of packed bytes (of
the kinds unpacked here) and may hold many files one after the other.

Unpacked: Copy, LZMA, LZMA2, BZip2 and Deflate, the former two behind Delta and branch filters as well. Everything else,
and folders of several packed streams (BCJ2), is named in `Folder.method`; AES is encryption.
"""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Iterator
from dataclasses import field
from typing import Final

from weighbridge.core.dataclass import dataclass
from weighbridge.core.ports import RangeReader
from weighbridge.formats.bounded import read_exactly
from weighbridge.formats.decoders import (
    MAX_DICTIONARY_BYTES,
    STEP_BYTES,
    Cursor,
    Decoder,
    Inflate,
    StreamDefect,
    bzip2,
    decode,
    lzma_properties,
    raw_lzma,
)
from weighbridge.formats.held import Held

MAX_HEADER_BYTES: Final = 8 * 1024 * 1024
MAX_FILES: Final = 30_000
MAX_FOLDERS: Final = 10_000
SIGNATURE: Final = b"7z\xbc\xaf\x27\x1c"
HEAD_BYTES: Final = 32

_COPY, _LZMA, _LZMA2, _BZIP2, _DEFLATE, _AES = (
    b"\x00",
    b"\x03\x01\x01",
    b"\x21",
    b"\x04\x02\x02",
    b"\x04\x01\x08",
    b"\x06\xf1\x07\x01",
)
_FILTERS: Final = {
    b"\x03": lzma.FILTER_DELTA,
    b"\x03\x03\x01\x03": lzma.FILTER_X86,
    b"\x04": lzma.FILTER_X86,
    b"\x03\x03\x02\x05": lzma.FILTER_POWERPC,
    b"\x03\x03\x04\x01": lzma.FILTER_IA64,
    b"\x03\x03\x05\x01": lzma.FILTER_ARM,
    b"\x03\x03\x07\x01": lzma.FILTER_ARMTHUMB,
    b"\x03\x03\x08\x05": lzma.FILTER_SPARC,
}  # fmt: skip
_END, _HEADER, _PROPERTIES, _MORE_STREAMS, _STREAMS, _FILES = range(6)
_PACK, _UNPACK, _SUBSTREAMS, _SIZE, _CRC, _FOLDER, _UNPACK_SIZES, _COUNTS = range(6, 14)
_EMPTY_STREAM, _EMPTY_FILE, _ANTI, _NAMES = range(14, 18)
_ATTRIBUTES, _PACKED_HEADER, _DUMMY = 0x15, 0x17, 0x19


class SevenZipDefect(Exception):
    """The archive cannot be read; `rule` says why, in one word, without `7z-`."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule
        self.message = message


@dataclass(frozen=True, slots=True)
class Coder:
    """One step of unpacking."""

    method: bytes
    properties: bytes
    streams: tuple[int, int] = (1, 1)


@dataclass(slots=True)
class Folder:
    """One run of packed bytes, and what it unpacks to."""

    coders: list[Coder]
    sizes: list[int] = field(default_factory=list)
    main: int = 0
    """Which coder's output is the folder's content."""
    start: int = 0
    packed_bytes: int = 0
    crc: int | None = None
    files: list[tuple[int, int | None]] = field(default_factory=list)
    """Size and checksum of each file in it."""

    @property
    def size_bytes(self) -> int:
        """What it unpacks to."""
        return self.sizes[self.main] if self.sizes else 0

    @property
    def stored(self) -> bool:
        """Whether its packed bytes are its content."""
        return [coder.method for coder in self.coders] == [_COPY]

    @property
    def encrypted(self) -> bool:
        """Whether a key is needed."""
        return any(coder.method == _AES for coder in self.coders)

    @property
    def method(self) -> str:
        """How it is packed, for messages."""
        return "+".join(coder.method.hex() for coder in self.coders)

    def chunks(self, reader: RangeReader) -> Iterator[bytes]:
        """Its content in steps. Raises StreamDefect, Truncated."""
        cursor = Cursor(reader, self.start, self.start + self.packed_bytes)
        left = self.size_bytes
        steps = _copied(cursor) if self.stored else decode(cursor, _decoder(self.coders))
        for chunk in steps:
            yield chunk[:left]
            left -= min(left, len(chunk))
            if not left:
                return
        if left:
            raise StreamDefect("the folder unpacks to less than the header says")


@dataclass(frozen=True, slots=True)
class SevenZipFile:
    """One file: the folder it lies in (-1 for none) and where in its content."""

    name: str
    folder: int
    start: int
    size_bytes: int
    crc: int | None
    attributes: int
    anti: bool = False

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link of Unix, or a reparse point."""
        return bool(self.attributes & 0x400) or self.attributes >> 16 & 0xF000 == 0xA000


@dataclass(slots=True)
class SevenZipArchive:
    """What the header says. `holes` are bytes that belong to nothing."""

    folders: list[Folder]
    files: list[SevenZipFile]
    holes: int


def read_archive(reader: RangeReader) -> SevenZipArchive:
    """Reads the header.

    Raises:
        SevenZipDefect: it breaks, is encrypted, or is larger than is read.
        Truncated: the reader returned less than the artifact's size promises.
    """
    head = read_exactly(reader, 0, min(HEAD_BYTES, reader.size_bytes))
    if len(head) < HEAD_BYTES or not head.startswith(SIGNATURE):
        raise SevenZipDefect("broken", "the signature header is cut short")
    (crc,) = struct.unpack_from("<L", head, 8)
    offset, length, header_crc = struct.unpack_from("<QQL", head, 12)
    if zlib.crc32(head[12:32]) != crc:
        raise SevenZipDefect("checksum", "the checksum of the signature header is wrong")
    end = HEAD_BYTES + offset + length
    if end > reader.size_bytes:
        raise SevenZipDefect("broken", "the header lies beyond the end of the file")
    if length > MAX_HEADER_BYTES:
        raise SevenZipDefect("limit", f"the header has {length} bytes")
    if not length:
        return SevenZipArchive([], [], reader.size_bytes - HEAD_BYTES)
    data = read_exactly(reader, HEAD_BYTES + offset, length)
    if zlib.crc32(data) != header_crc:
        raise SevenZipDefect("checksum", "the checksum of the header is wrong")
    used = length
    for _ in range(4):
        fields = _Fields(data)
        kind = fields.byte()
        if kind == _HEADER:
            folders, files = _header(fields)
            used += sum(folder.packed_bytes for folder in folders)
            return SevenZipArchive(folders, files, reader.size_bytes - HEAD_BYTES - used)
        if kind != _PACKED_HEADER:
            break
        data, packed = _unpacked_header(reader, fields)
        used += packed
    raise SevenZipDefect("broken", "the header is of no known kind")


def _unpacked_header(reader: RangeReader, fields: _Fields) -> tuple[bytes, int]:
    folders = _streams(fields)
    if len(folders) != 1:
        raise SevenZipDefect("broken", "the header is packed in several parts")
    folder = folders[0]
    if folder.encrypted:
        raise SevenZipDefect("encrypted", "the names of the files are encrypted")
    if folder.size_bytes > MAX_HEADER_BYTES:
        raise SevenZipDefect("limit", f"the header unpacks to {folder.size_bytes} bytes")
    _check_place(folder, reader)
    try:
        data = b"".join(folder.chunks(reader))
    except StreamDefect as defect:
        raise SevenZipDefect("broken", f"the header cannot be unpacked: {defect.message}") from defect
    if folder.crc is not None and zlib.crc32(data) != folder.crc:
        raise SevenZipDefect("checksum", "the checksum of the unpacked header is wrong")
    return data, folder.packed_bytes


def _check_place(folder: Folder, reader: RangeReader) -> None:
    if folder.start + folder.packed_bytes > reader.size_bytes:
        raise SevenZipDefect("broken", "a folder lies beyond the end of the file")


class _Fields:
    """The bytes of a header, front to back."""

    def __init__(self, data: bytes) -> None:
        self._data = Held("", data)
        self.at = 0

    @property
    def left(self) -> int:
        return self._data.size_bytes - self.at

    def take(self, length: int) -> bytes:
        if length > self.left:
            raise SevenZipDefect("broken", "the header breaks off")
        self.at += length
        return self._data.read(self.at - length, length)

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        """A number of one to nine bytes: the first tells by its leading ones how many follow."""
        first, value, mask = self.byte(), 0, 0x80
        for shift in range(0, 64, 8):
            if not first & mask:
                return value + ((first & (mask - 1)) << shift)
            value |= self.byte() << shift
            mask >>= 1
        return value

    def count(self, limit: int) -> int:
        number = self.number()
        if number > limit:
            raise SevenZipDefect("limit", f"the header counts {number} of something")
        return number

    def bits(self, count: int) -> list[bool]:
        data = self.take((count + 7) // 8)
        return [bool(data[number // 8] & 0x80 >> number % 8) for number in range(count)]

    def optional_bits(self, count: int) -> list[bool]:
        return [True] * count if self.byte() else self.bits(count)

    def checksums(self, count: int) -> list[int | None]:
        return [int.from_bytes(self.take(4), "little") if there else None for there in self.optional_bits(count)]

    def expect(self, kind: int) -> None:
        if self.byte() != kind:
            raise SevenZipDefect("broken", "a part of the header is not where it should be")


def _header(fields: _Fields) -> tuple[list[Folder], list[SevenZipFile]]:
    folders: list[Folder] = []
    files: list[SevenZipFile] = []
    kind = fields.byte()
    if kind == _PROPERTIES:
        while fields.byte():
            fields.take(fields.number())
        kind = fields.byte()
    if kind == _MORE_STREAMS:
        raise SevenZipDefect("not-understood", "the header keeps streams of its own")
    if kind == _STREAMS:
        folders = _streams(fields)
        kind = fields.byte()
    if kind == _FILES:
        files = _files(fields, folders)
        kind = fields.byte()
    if kind != _END or fields.left:
        raise SevenZipDefect("broken", "something follows the header's end")
    return folders, files


def _streams(fields: _Fields) -> list[Folder]:
    position, counted = 0, False
    sizes: list[int] = []
    folders: list[Folder] = []
    kind = fields.byte()
    if kind == _PACK:
        position, sizes = _pack_sizes(fields)
        kind = fields.byte()
    if kind == _UNPACK:
        folders = _folders(fields)
        kind = fields.byte()
    if len(sizes) < len(folders):
        raise SevenZipDefect("broken", "there are fewer packed streams than folders")
    start = HEAD_BYTES + position
    streams = iter(sizes)
    for folder in folders:
        folder.start = start
        wanted = 1 + sum(coder.streams[0] - 1 for coder in folder.coders)
        folder.packed_bytes = sum(next(streams, 0) for _ in range(wanted))
        start += folder.packed_bytes
    if kind == _SUBSTREAMS:
        _substreams(fields, folders)
        kind, counted = fields.byte(), True
    if kind != _END:
        raise SevenZipDefect("broken", "the streams' description does not end")
    if not counted:
        for folder in folders:
            folder.files = [(folder.size_bytes, folder.crc)]
    return folders


def _pack_sizes(fields: _Fields) -> tuple[int, list[int]]:
    position, count = fields.number(), fields.count(MAX_FOLDERS * 4)
    sizes: list[int] = []
    kind = fields.byte()
    if kind == _SIZE:
        sizes = [fields.number() for _ in range(count)]
        kind = fields.byte()
    if kind == _CRC:
        fields.checksums(count)
        kind = fields.byte()
    if kind != _END:
        raise SevenZipDefect("broken", "the packed streams' description does not end")
    return position, sizes


def _folders(fields: _Fields) -> list[Folder]:
    fields.expect(_FOLDER)
    count = fields.count(MAX_FOLDERS)
    if fields.byte():
        raise SevenZipDefect("not-understood", "the folders are described elsewhere")
    folders = [_folder(fields) for _ in range(count)]
    fields.expect(_UNPACK_SIZES)
    for folder in folders:
        folder.sizes = [fields.number() for coder in folder.coders for _ in range(coder.streams[1])]
    kind = fields.byte()
    if kind == _CRC:
        for folder, crc in zip(folders, fields.checksums(count), strict=True):
            folder.crc = crc
        kind = fields.byte()
    if kind != _END:
        raise SevenZipDefect("broken", "the folders' description does not end")
    return folders


def _folder(fields: _Fields) -> Folder:
    coders = []
    for _ in range(max(1, fields.count(8))):
        flags = fields.byte()
        method = fields.take(flags & 15)
        streams = (fields.count(8), fields.count(8)) if flags & 0x10 else (1, 1)
        properties = fields.take(fields.count(1024)) if flags & 0x20 else b""
        if flags & 0xC0 or streams[1] != 1:
            raise SevenZipDefect("method", "a coder is of a kind that is not known")
        coders.append(Coder(method, properties, streams))
    bound = {}
    for _ in range(len(coders) - 1):
        bound[fields.number()] = fields.number()
    inputs = sum(coder.streams[0] for coder in coders)
    for _ in range(inputs - len(bound) if inputs - len(bound) > 1 else 0):
        fields.number()
    main = next((number for number in range(len(coders)) if number not in bound.values()), 0)
    return Folder(coders, main=main)


def _substreams(fields: _Fields, folders: list[Folder]) -> None:
    counts = [1] * len(folders)
    kind = fields.byte()
    if kind == _COUNTS:
        counts = [fields.count(MAX_FILES) for _ in folders]
        kind = fields.byte()
    if sum(counts) > MAX_FILES:
        raise SevenZipDefect("limit", f"the archive has {sum(counts)} files")
    sized = kind == _SIZE
    for folder, count in zip(folders, counts, strict=True):
        sizes = [fields.number() for _ in range(count - 1)] if sized or count < 2 else []
        if count:
            sizes.append(folder.size_bytes - sum(sizes))
        if len(sizes) != count or any(size < 0 for size in sizes):
            raise SevenZipDefect("broken", "a folder's files are larger than the folder")
        folder.files = [(size, folder.crc if count == 1 else None) for size in sizes]
    kind = fields.byte() if sized else kind
    if kind == _CRC:
        unknown = [(folder, at) for folder in folders for at, file in enumerate(folder.files) if file[1] is None]
        for (folder, at), crc in zip(unknown, fields.checksums(len(unknown)), strict=True):
            folder.files[at] = (folder.files[at][0], crc)
        kind = fields.byte()
    if kind != _END:
        raise SevenZipDefect("broken", "the files' sizes do not end")


def _files(fields: _Fields, folders: list[Folder]) -> list[SevenZipFile]:
    count = fields.count(MAX_FILES)
    names, empty, attributes = [""] * count, [False] * count, [0] * count
    anti: list[bool] = []
    while kind := fields.byte():
        part = _Fields(fields.take(fields.count(MAX_HEADER_BYTES)))
        if kind == _NAMES:
            names = _names(part, count)
        elif kind == _EMPTY_STREAM:
            empty = part.bits(count)
        elif kind == _ANTI:
            anti = part.bits(sum(empty))
        elif kind == _ATTRIBUTES:
            there = part.optional_bits(count)
            if part.byte():
                raise SevenZipDefect("not-understood", "the attributes are described elsewhere")
            attributes = [int.from_bytes(part.take(4), "little") if one else 0 for one in there]
        elif kind > _DUMMY:
            raise SevenZipDefect("not-understood", f"the header has the unknown part {kind:#x}")
    return list(_placed(folders, names, empty, attributes, anti))


def _placed(
    folders: list[Folder], names: list[str], empty: list[bool], attributes: list[int], anti: list[bool]
) -> Iterator[SevenZipFile]:
    places = list(_places(folders))
    if len(places) != empty.count(False):
        raise SevenZipDefect("header-mismatch", f"{len(places)} files have content and {empty.count(False)} have names")
    following, deletes = iter(places), iter(anti)
    for name, none, flags in zip(names, empty, attributes, strict=True):
        if none:
            yield SevenZipFile(name, -1, 0, 0, None, flags, next(deletes, False))
        else:
            yield SevenZipFile(name, *next(following), flags)


def _places(folders: list[Folder]) -> Iterator[tuple[int, int, int, int | None]]:
    for number, folder in enumerate(folders):
        start = 0
        for size, crc in folder.files:
            yield number, start, size, crc
            start += size


def _names(part: _Fields, count: int) -> list[str]:
    if part.byte():
        raise SevenZipDefect("not-understood", "the names are described elsewhere")
    names = part.take(part.left).decode("utf-16-le", "backslashreplace").split("\x00")
    if len(names) != count + 1 or names[-1]:
        raise SevenZipDefect("header-mismatch", f"there are {len(names) - 1} names of {count} files")
    return names[:-1]


def _copied(cursor: Cursor) -> Iterator[bytes]:
    while chunk := cursor.take(STEP_BYTES):
        yield chunk


def _decoder(coders: list[Coder]) -> Decoder:
    """Raises StreamDefect for what is not unpacked here."""
    methods = [coder.method for coder in coders]
    if methods == [_BZIP2]:
        return bzip2()
    if methods == [_DEFLATE]:
        return Inflate(-15)
    # Filters are written before what they filter, or behind it; either way LZMA reads the packed bytes.
    packers = [coder for coder in coders if coder.method in (_LZMA, _LZMA2)]
    filters = [coder for coder in coders if coder.method in _FILTERS]
    if len(packers) != 1 or len(packers) + len(filters) != len(coders) or len(filters) > 2:
        raise StreamDefect(f"the method {'+'.join(method.hex() for method in methods)} is not unpacked", "method")
    return raw_lzma([*(_filter(coder) for coder in filters), _packer(packers[0])])


def _filter(coder: Coder) -> dict[str, int]:
    kind = _FILTERS[coder.method]
    return (
        {"id": kind, "dist": coder.properties[0] + 1 if coder.properties else 1}
        if coder.method == b"\x03"
        else {"id": kind}
    )


def _packer(coder: Coder) -> dict[str, int]:
    if coder.method == _LZMA:
        return lzma_properties(coder.properties)
    if len(coder.properties) != 1 or coder.properties[0] > 40:
        raise StreamDefect("LZMA2's properties are impossible")
    bits = coder.properties[0]
    size = 0xFFFFFFFF if bits == 40 else (2 | bits & 1) << bits // 2 + 11
    if size > MAX_DICTIONARY_BYTES:
        raise StreamDefect(f"the folder asks for a dictionary of {size} bytes", "limit")
    return {"id": lzma.FILTER_LZMA2, "dict_size": size}
